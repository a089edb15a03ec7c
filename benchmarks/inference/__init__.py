"""The BeamBatchInferrer beside TFX's BulkInferrer, Beam's RunInference and what no pipeline can beat."""
