"""How the silos' updates become one, as `tff.aggregators` factories: one module per idea."""
