"""Differential privacy: DP-SGD inside the silos, noise on the silos' sum, and the accounting of both.

`docs/components/federated_trainer.md` says what is protected against whom.
"""
