"""Compiles the flights pipeline for Kubeflow Pipelines 2.

```
python -m pipelines.flights.kubeflow_runner --image tfx-federated:latest --output build/flights.yaml
```
Run it at the root of the source tree: the module file is named relative to it, since it has to be found in the image
too, whose working folder holds `pipelines/`.
"""

from __future__ import annotations

import argparse
import os
import pathlib

from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from pipelines.flights import pipeline

MODULE_FILE = "pipelines/flights/flights_module.py"
IMAGE = "tfx-federated:latest"
DATA_ROOT = "/data/flights"
SERVING_DIRECTORY = "/data/serving/flights"


def compile_pipeline(
    output: str | os.PathLike[str],
    image: str = IMAGE,
    data_root: str = DATA_ROOT,
    serving_directory: str = SERVING_DIRECTORY,
) -> None:
    """Writes the pipeline as one YAML document, a PipelineSpec of schema version 2.1.0.

    Args:
        output: The `.yaml` file to write.
        image: Container image of every step.
        data_root: Folder of the prepared data as the containers see it, for example on a mounted volume.
        serving_directory: Folder for the blessed model as the containers see it.
    """
    file = pathlib.Path(output).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=image, use_pipeline_spec_2_1=True)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=config, output_dir=str(file.parent), output_filename=file.name
    )
    runner.run(
        pipeline.create_pipeline(
            # Kubeflow Pipelines sets the root of each run; TFX, given none, does not package the module file.
            pipeline_root="",
            data_root=data_root,
            module_file=MODULE_FILE,
            serving_directory=serving_directory,
        )
    )


def main() -> None:
    """Compiles the pipeline as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="the .yaml file to write")
    parser.add_argument("--image", default=IMAGE)
    parser.add_argument("--data-root", default=DATA_ROOT)
    parser.add_argument("--serving-directory", default=SERVING_DIRECTORY)
    arguments = parser.parse_args()
    compile_pipeline(arguments.output, arguments.image, arguments.data_root, arguments.serving_directory)


if __name__ == "__main__":
    main()
