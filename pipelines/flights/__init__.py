"""Which flights from New York arrive late? Sixteen competing airlines learn it together."""
