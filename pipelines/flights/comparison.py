"""Several trainers behind one SiloPartitioner, and a table of what each does to large and small silos.

Components composed anew: the data and the module of the flights pipeline, no evaluation by TFMA, and a trainer for each
variant of an example. `unequal_silos`, `record_level_privacy`, `personalization` and `robust_aggregation` define the
variants.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.proto import example_gen_pb2

from pipelines.flights import data, local_runner, pipeline, summary
from tfx_federated import FederatedTrainer, SiloPartitioner, beam_options

# The settings of a FederatedTrainer that a variant changes, by name of the variant.
Variants = Mapping[str, Mapping[str, Any]]


def create_pipeline(
    name: str,
    variants: Variants,
    pipeline_root: str,
    data_root: str,
    module_file: str,
    rounds: int,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig,
) -> tfx_pipeline.Pipeline:
    """Defines the pipeline.

    Args:
        name: Name of the pipeline.
        variants: A trainer for each; its node has the variant's name.
        pipeline_root: Where the artifacts go.
        data_root: A folder like those that `pipelines.flights.data.prepare` writes.
        module_file: Path of `flights_module.py`.
        rounds: Rounds of each training, at least 1.
        metadata_connection_config: The metadata store.
    """
    splits = [example_gen_pb2.Input.Split(name=split, pattern=f"{split}/*.csv") for split in data.SPLITS]
    example_gen = CsvExampleGen(input_base=data_root, input_config=example_gen_pb2.Input(splits=splits))
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=False)
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        module_file=module_file,
        disable_statistics=True,
    )
    silo_partitioner = SiloPartitioner(
        examples=transform.outputs["transformed_examples"], silo_key=data.SILO_KEY, shards=1
    )
    trainers = [
        FederatedTrainer(
            silo_examples=silo_partitioner.outputs["silo_examples"],
            transform_graph=transform.outputs["transform_graph"],
            module_file=module_file,
            label_key=data.LABEL_KEY,
            rounds=rounds,
            batch_size=pipeline.BATCH_SIZE,
            client_learning_rate=pipeline.CLIENT_LEARNING_RATE,
            evaluation_interval=rounds,
            **settings,
        ).with_id(variant)
        for variant, settings in variants.items()
    ]
    return tfx_pipeline.Pipeline(
        pipeline_name=name,
        pipeline_root=pipeline_root,
        components=[example_gen, statistics_gen, schema_gen, transform, silo_partitioner, *trainers],
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_options.direct()),
    )


def measure(lines: Sequence[Mapping[str, Any]], training_rows: Mapping[str, int]) -> dict[str, float]:
    """Sums up a training: the silos' own models where they have some, else the federated one.

    Args:
        lines: The lines of `silo_metrics.jsonl` of a FederatedRun.
        training_rows: Training rows of each silo.

    Returns:
        Of the AUC on the silos' test rows after the last round: the mean weighted by rows, and over the silos with
        at least 50 test rows the mean, the mean over the small ones (below 4,000 training rows), and the least. Of the
        loss: the mean over all test rows.
    """
    last = max(line["round"] for line in lines)
    tested = [line for line in lines if (line["round"], line["split"]) == (last, "eval")]
    tested = [line for line in tested if line["model"] != "federated"] or tested
    enough = {line["silo"]: line["auc"] for line in tested if line["rows"] >= summary.MINIMUM_TEST_ROWS}
    small = [auc for silo, auc in enough.items() if training_rows[silo] < summary.SMALL_SILO_TRAINING_ROWS]
    rows = sum(line["rows"] for line in tested)
    return {
        "AUC by rows": sum(line["rows"] * line["auc"] for line in tested) / rows,
        "by silos": sum(enough.values()) / len(enough),
        "small silos": sum(small) / len(small),
        "worst silo": min(enough.values()),
        "loss by rows": sum(line["rows"] * line["loss"] for line in tested) / rows,
    }


def read_measures(run: pathlib.Path) -> dict[str, float]:
    """Returns what `measure` does of a FederatedRun, and the epsilon of a row of any silo if there is privacy."""
    lines = [json.loads(line) for line in (run / "silo_metrics.jsonl").read_text("utf-8").splitlines()]
    silos = json.loads((run / "settings.json").read_text("utf-8"))["silos"]
    measured = measure(lines, {silo: entry["rows"] for silo, entry in silos.items()})
    privacy = run / "privacy.json"
    return measured | ({"epsilon": json.loads(privacy.read_text("utf-8"))["epsilon"]} if privacy.exists() else {})


def as_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the results as text, a line for each variant."""
    columns = list(dict.fromkeys(column for values in results.values() for column in values))
    width = max(map(len, results)) + 1
    lines = [" " * width + "".join(f"{column:>13}" for column in columns)]
    lines += [
        f"{name:<{width}}" + "".join(_cell(values.get(column)) for column in columns)
        for name, values in results.items()
    ]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>13}" if value is None else f"{value:>13.4f}"


def run(
    name: str, variants: Variants, data_root: pathlib.Path, output: pathlib.Path, rounds: int
) -> dict[str, dict[str, float]]:
    """Runs the pipeline and returns what each variant came to."""
    root = output / local_runner.ARTIFACTS_FOLDER
    metadata_file = output / local_runner.METADATA_FILE
    output.mkdir(parents=True, exist_ok=True)
    local_dag_runner.LocalDagRunner().run(
        create_pipeline(
            name=name,
            variants=variants,
            pipeline_root=str(root),
            data_root=str(data_root),
            module_file=str(local_runner.MODULE_FILE),
            rounds=rounds,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(metadata_file)),
        )
    )
    runs = {variant: (root / variant / "federated_run").iterdir() for variant in variants}
    return {
        variant: read_measures(max(folders, key=lambda folder: int(folder.name))) for variant, folders in runs.items()
    }


def _unchanged(flights: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    return flights


def main(
    name: str,
    description: str,
    variants: Variants,
    change: Callable[[pathlib.Path, pathlib.Path], pathlib.Path] = _unchanged,
) -> None:
    """Compares variants as the command line says, and prints the table.

    Args:
        name: Name of the example: of its pipeline, and of its folder below `build`.
        description: For the help text.
        variants: The variants.
        change: Takes the folder of the prepared flights and the folder of the output, and returns the folder of the
            flights to train on.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default="build/flights/data",
        help="folder of the prepared data; it is written if it is missing",
    )
    parser.add_argument("--output", type=pathlib.Path, default=f"build/{name}", help="folder of artifacts and metadata")
    parser.add_argument("--rounds", type=int, default=pipeline.ROUNDS)
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    flights = data.prepare(arguments.data.resolve(), "sample").folder
    print(as_table(run(name, variants, change(flights, output), output, arguments.rounds)))
