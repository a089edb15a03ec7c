"""Compares the FairnessEvaluator with TFMA's own evaluator and with NumPy."""
