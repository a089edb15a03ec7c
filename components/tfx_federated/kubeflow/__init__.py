"""TFX pipelines on open-source Kubeflow Pipelines 2: compiler, container entrypoint, submission."""
