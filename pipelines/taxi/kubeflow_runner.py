"""The taxi pipeline for Kubeflow Pipelines.

```
tfx-federated compile pipelines/taxi --image IMAGE --output taxi.yaml
```
"""

from __future__ import annotations

from tfx.orchestration import data_types
from tfx.orchestration import pipeline as tfx_pipeline

from pipelines.taxi import pipeline

# Relative to the working folder of the image, which holds `pipelines/`.
MODULE_FILE = "pipelines/taxi/taxi_module.py"
# On the volume that the placement mounts; a run can name another folder.
DATA_ROOT = "/mnt/data/taxi"
SERVING_DIRECTORY = "/mnt/data/serving/taxi"


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
