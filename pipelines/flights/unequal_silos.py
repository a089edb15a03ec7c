"""What each way to weigh unequal silos does to the small ones: several trainers behind one SiloPartitioner.

```
python -m pipelines.flights.unequal_silos --data build/flights/data --output build/unequal_silos
```
An example of components composed anew: the same data and module, no evaluation by TFMA, a trainer for each variant.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
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
from tff_runtime.settings import aggregations, algorithms
from tfx_federated import FederatedTrainer, SiloPartitioner, beam_options

VARIANTS: dict[str, dict[str, Any]] = {
    "Examples": {},
    "SquareRoot": {"silo_weighting": "square_root"},
    "Uniform": {"silo_weighting": "uniform"},
    "AtMostATenth": {"maximum_silo_share": 0.1},
    "FedProx": {"algorithm": algorithms.FedProx(strength=0.1)},
    "QFedAvg": {"algorithm": algorithms.QFedAvg(q=1.0)},
    "Agnostic": {"algorithm": algorithms.AgnosticFederated(mixture_learning_rate=0.1)},
    "Tilted": {"algorithm": algorithms.TiltedFederated(tilt=5.0)},
    "Median": {"aggregation": aggregations.Median()},
}


def create_pipeline(
    pipeline_root: str,
    data_root: str,
    module_file: str,
    rounds: int,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig,
) -> tfx_pipeline.Pipeline:
    """Defines the pipeline; the parameters are those of `pipelines.flights.pipeline.create_pipeline`."""
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
        ).with_id(name)
        for name, settings in VARIANTS.items()
    ]
    return tfx_pipeline.Pipeline(
        pipeline_name="unequal-silos",
        pipeline_root=pipeline_root,
        components=[example_gen, statistics_gen, schema_gen, transform, silo_partitioner, *trainers],
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_options.direct()),
    )


def measure(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums up a trained model.

    Args:
        lines: The lines of `silo_metrics.jsonl` of a FederatedRun.

    Returns:
        Of the AUC on the silos' test rows after the last round: the mean weighted by rows, and over the silos with
        at least 50 test rows the mean, the mean over the small ones (below 4,000 training rows), and the least.
    """
    last = max(line["round"] for line in lines)
    of_split = {
        split: {line["silo"]: line for line in lines if (line["round"], line["split"]) == (last, split)}
        for split in data.SPLITS
    }
    tested = of_split["eval"]
    enough = {silo: line["auc"] for silo, line in tested.items() if line["rows"] >= summary.MINIMUM_TEST_ROWS}
    small = [auc for silo, auc in enough.items() if of_split["train"][silo]["rows"] < summary.SMALL_SILO_TRAINING_ROWS]
    rows = sum(line["rows"] for line in tested.values())
    return {
        "by rows": sum(line["rows"] * line["auc"] for line in tested.values()) / rows,
        "by silos": sum(enough.values()) / len(enough),
        "small silos": sum(small) / len(small),
        "worst silo": min(enough.values()),
    }


def run(data_root: pathlib.Path, output: pathlib.Path, rounds: int) -> dict[str, dict[str, float]]:
    """Runs the pipeline and measures each variant."""
    output.mkdir(parents=True, exist_ok=True)
    root = output / local_runner.ARTIFACTS_FOLDER
    local_dag_runner.LocalDagRunner().run(
        create_pipeline(
            pipeline_root=str(root),
            data_root=str(data_root),
            module_file=str(local_runner.MODULE_FILE),
            rounds=rounds,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(output / local_runner.METADATA_FILE)
            ),
        )
    )
    results = {}
    for name in VARIANTS:
        newest = max((root / name / "federated_run").iterdir(), key=lambda folder: int(folder.name))
        text = (newest / "silo_metrics.jsonl").read_text("utf-8")
        results[name] = measure([json.loads(line) for line in text.splitlines()])
    return results


def as_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the results as text, a line for each variant."""
    columns = list(next(iter(results.values())))
    lines = [f"{'AUC':<14}" + "".join(f"{column:>13}" for column in columns)]
    lines += [
        f"{name:<14}" + "".join(f"{values[column]:>13.4f}" for column in columns) for name, values in results.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Compares the variants as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder of the prepared data")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder of artifacts and metadata")
    parser.add_argument("--rounds", type=int, default=pipeline.ROUNDS)
    arguments = parser.parse_args()
    data.prepare(arguments.data, "sample")
    print(as_table(run(arguments.data.resolve(), arguments.output.resolve(), arguments.rounds)))


if __name__ == "__main__":
    main()
