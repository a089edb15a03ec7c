"""How many rows each silo has, counted before the evaluation."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated import example_shards, whole_files
from tfx_federated.fairness_evaluator import checked_examples, example_batches

_TEXT, _INTEGER = "string", "integer"


@dataclass(frozen=True)
class Census:
    """The silos of the rows to evaluate.

    Attributes:
        rows: Rows by silo, sorted by silo; an integer is in decimal text.
        are_integers: Whether the silos are integers in the rows.
    """

    rows: Mapping[str, int]
    are_integers: bool


def count_rows(
    pipeline: beam.Pipeline,
    shards: Sequence[example_shards.ExampleShard],
    silo_key: str,
    label_key: str,
    output: str,
) -> None:
    """Counts the rows of each silo, and checks every row on the way.

    Args:
        pipeline: Pipeline to add to.
        shards: Shards of tf.Examples.
        silo_key: Feature that holds the silo; rows without one are not counted.
        label_key: Feature that holds the label.
        output: File to write, for `read`.
    """
    check = functools.partial(checked_examples.check_rows, silo_key=silo_key, label_key=label_key)
    _ = (
        pipeline
        | "ReadRowsToCount" >> example_batches.read(shards)
        | "CheckRows" >> beam.Map(check)
        | "CountInBatch" >> beam.Map(_counts, silo_key=silo_key)
        | "CountInAll" >> beam.CombineGlobally(_MergeCounts())
        | "WriteCounts" >> beam.Map(lambda counts: whole_files.write_json(output, counts))
    )


def read(output: str, silo_key: str) -> Census:
    """Returns what `count_rows` counted.

    Raises:
        ValueError: There is no row, no row has a silo, or the silo is text in some rows and an integer in others.
    """
    counts = whole_files.read_json(output)
    if not counts["rows"]:
        raise ValueError("the examples hold no row; check the splits that are evaluated")
    if not counts["silos"]:
        raise ValueError(f"silo key {silo_key!r} is in no row; check the silo_key of FairnessEvaluator")
    if len(counts["types"]) > 1:
        raise ValueError(f"silo key {silo_key!r} is a string in some rows and an integer in others; give it one type")
    return Census(dict(sorted(counts["silos"].items())), are_integers=counts["types"] == [_INTEGER])


def silos_of_rows(batch: pa.RecordBatch, silo_key: str) -> pa.StringArray:
    """Returns the silo of each row of a checked batch as text; null for a row without one."""
    return example_batches.values_of_rows(batch, silo_key).cast(pa.string())


def _counts(batch: pa.RecordBatch, silo_key: str) -> dict:
    silos = silos_of_rows(batch, silo_key).drop_null()
    counted = pc.value_counts(silos)
    position = batch.schema.get_field_index(silo_key)
    is_text = position >= 0 and not pa.types.is_integer(getattr(batch.column(position).type, "value_type", pa.null()))
    return {
        "rows": batch.num_rows,
        "types": [_TEXT if is_text else _INTEGER] if len(silos) else [],
        "silos": dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)),
    }


class _MergeCounts(beam.CombineFn):
    def create_accumulator(self) -> dict:
        return {"rows": 0, "types": [], "silos": {}}

    def add_input(self, accumulator: dict, element: Mapping) -> dict:
        silos = accumulator["silos"]
        for silo, rows in element["silos"].items():
            silos[silo] = silos.get(silo, 0) + rows
        types = sorted({*accumulator["types"], *element["types"]})
        return {"rows": accumulator["rows"] + element["rows"], "types": types, "silos": silos}

    def merge_accumulators(self, accumulators: Sequence[dict]) -> dict:
        result = self.create_accumulator()
        for accumulator in accumulators:
            result = self.add_input(result, accumulator)
        return result

    def extract_output(self, accumulator: dict) -> dict:
        return accumulator
