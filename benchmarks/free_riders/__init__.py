"""Plants known behaviour in real data and measures what the ContributionEvaluator finds of it."""
