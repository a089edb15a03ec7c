"""The flights pipeline for Kubeflow Pipelines.

```
tfx-federated compile pipelines/flights --image IMAGE --output flights.yaml
```
"""

from __future__ import annotations

from tfx.orchestration import data_types
from tfx.orchestration import pipeline as tfx_pipeline

from pipelines.flights import pipeline

# Relative to the working folder of the image, which holds `pipelines/`.
MODULE_FILE = "pipelines/flights/flights_module.py"
# On the volume that the placement mounts; a run can name another folder.
DATA_ROOT = "/mnt/data/flights"
SERVING_DIRECTORY = "/mnt/data/serving/flights"


def create_kubeflow_pipeline() -> tfx_pipeline.Pipeline:
    """Defines the pipeline with what a run may change (`data-root`, `rounds`) as parameters."""
    return pipeline.create_pipeline(
        # A run's root is given at its submission.
        pipeline_root="",
        data_root=data_types.RuntimeParameter("data-root", str, DATA_ROOT),
        module_file=MODULE_FILE,
        serving_directory=SERVING_DIRECTORY,
        rounds=data_types.RuntimeParameter("rounds", int, pipeline.ROUNDS),
    )
