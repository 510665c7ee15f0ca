"""What the benchmarks of sampling share."""
