"""The cross-silo benchmark suite: unequal data, benefit, newcomers, free riding, privacy and scale, on real rows."""
