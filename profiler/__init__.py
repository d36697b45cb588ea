"""The pure domain: events, facets, models, and the pipeline that turns one into the others.

Nothing in this package reads a clock, a file, the environment, Kafka or Redis; `streams` does.
"""
