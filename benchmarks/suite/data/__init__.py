"""Populations of silos, made from real rows by a manifest that reproduces them."""
