"""FairnessEvaluator: judges a model silo by silo, and blesses it or not."""
