"""Real rows with natural silos, for the benchmarks."""
