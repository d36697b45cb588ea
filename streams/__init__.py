"""The edges: Kafka, Faust, Redis, settings, the command line. Imports `profiler`, never the reverse."""
