"""The edges: Kafka, Faust, Redis, settings, command line. Imports `profiler`, never the reverse."""
