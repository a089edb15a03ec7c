"""Runs the flights pipeline in this process, with its metadata in a SQLite file.

```
python -m pipelines.flights.local_runner --data build/flights/data --output build/flights
```
"""

from __future__ import annotations

import argparse
import os
import pathlib

from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner

from pipelines.flights import data, pipeline

MODULE_FILE = pathlib.Path(__file__).with_name("flights_module.py")
METADATA_FILE = "metadata.sqlite"
ARTIFACTS_FOLDER = "artifacts"
SERVING_FOLDER = "serving"


def run(data_root: str | os.PathLike[str], output: str | os.PathLike[str], rounds: int = pipeline.ROUNDS) -> None:
    """Runs the pipeline.

    Args:
        data_root: A folder that `pipelines.flights.data.prepare` wrote.
        output: Takes the artifacts (`artifacts`), the metadata (`metadata.sqlite`) and the blessed model (`serving`).
        rounds: Rounds of federated averaging, at least 1.
    """
    folder = pathlib.Path(output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    local_dag_runner.LocalDagRunner().run(
        pipeline.create_pipeline(
            pipeline_root=str(folder / ARTIFACTS_FOLDER),
            data_root=str(pathlib.Path(data_root).resolve()),
            module_file=str(MODULE_FILE),
            serving_directory=str(folder / SERVING_FOLDER),
            rounds=rounds,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / METADATA_FILE)),
        )
    )


def main() -> None:
    """Prepares the data and runs the pipeline as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the prepared data; it is written if it is missing")
    parser.add_argument("--scale", choices=data.SCALES, default="sample")
    parser.add_argument("--output", required=True, help="folder of artifacts, metadata and the blessed model")
    parser.add_argument("--rounds", type=int, default=pipeline.ROUNDS)
    arguments = parser.parse_args()
    data.prepare(arguments.data, arguments.scale)
    run(arguments.data, arguments.output, arguments.rounds)


if __name__ == "__main__":
    main()
