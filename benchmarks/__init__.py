"""Benchmarks: programs that measure the whole way, or one step of it. See README.md."""
