"""Batch inference on Beam, partitioned by silo."""
