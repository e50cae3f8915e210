"""Benchmarks: figures, not tests. `python -m tests.benchmarks.burst` prints the main table."""
