"""The scored rows and the models: the same files for every contender."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from pipelines.flights import data as flights_data
from tfx_bsl.coders import example_coder

from benchmarks.inference import columns
from tfx_federated.federated_trainer import serving_model

SHARDS = 8
SPLIT = "all"
_ROWS_AT_ONCE = 50_000
# Rows of a row group, and of a batch that is read from one.
PARQUET_BATCH = 65_536


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is scored by which model.

    Attributes:
        form: `gz` or `plain` TFRecords, or `parquet`.
        model: One of the networks of `models`.
        silo_key: Feature that holds the silo.
        layout: The component's layout of the results.
        has_personal_models: Whether each silo has a head of its own.
    """

    form: str = "gz"
    model: str = "small"
    silo_key: str = columns.SILO_KEY
    layout: str = "silo_folders"
    has_personal_models: bool = False


WORKLOADS = {
    "small_tfrecord": Workload(),
    "small_tfrecord_plain": Workload(form="plain"),
    "small_parquet": Workload(form="parquet"),
    "wide_tfrecord": Workload(model="wide"),
    "single_head": Workload(silo_key=columns.PERSONAL_SILO_KEY, layout="sorted_shards"),
    "personal_heads": Workload(silo_key=columns.PERSONAL_SILO_KEY, layout="sorted_shards", has_personal_models=True),
}


def rows_table(rows: int) -> pa.Table:
    """Returns so many flights, in the order of the data set and again from its start; what is not known is 0."""
    flights = flights_data.load_flights()
    places = np.arange(rows) % len(flights)
    arrays = {name: flights[name].fillna(0).to_numpy().astype(dtype)[places] for name, dtype in columns.NUMERIC.items()}
    texts = {name: pa.array(flights[name]).dictionary_encode().take(pa.array(places)) for name in columns.TEXTS}
    customers = np.random.default_rng(rows).integers(0, columns.PERSONAL_SILOS, rows)
    texts[columns.PERSONAL_SILO_KEY] = pa.DictionaryArray.from_arrays(
        pa.array(customers.astype(np.int32)), pa.array(columns.personal_silos())
    )
    return pa.table({**arrays, **texts})


def write_rows(rows: int, folder: pathlib.Path) -> None:
    """Writes `<form>/Split-all/` for each form, unless they are there: shards of the same rows in the same order."""
    if (folder / "rows.json").exists():
        return
    table = rows_table(rows)
    bounds = np.linspace(0, rows, SHARDS + 1).astype(int)
    for form in ("gz", "plain", "parquet"):
        (folder / form / f"Split-{SPLIT}").mkdir(parents=True, exist_ok=True)
    for shard, (start, end) in enumerate(itertools.pairwise(bounds)):
        _write_shard(table.slice(start, end - start), folder, f"data-{shard:05d}-of-{SHARDS:05d}")
    (folder / "rows.json").write_text(json.dumps({"rows": rows}))


def _write_shard(table: pa.Table, folder: pathlib.Path, name: str) -> None:
    plain = pa.table({field: table[field].cast(_value_type(table[field].type)) for field in table.column_names})
    pq.write_table(plain, folder / "parquet" / f"Split-{SPLIT}" / f"{name}.parquet", row_group_size=PARQUET_BATCH)
    encoder = example_coder.RecordBatchToExamplesEncoder()
    with (
        tf.io.TFRecordWriter(str(folder / "gz" / f"Split-{SPLIT}" / f"{name}.gz"), "GZIP") as compressed,
        tf.io.TFRecordWriter(str(folder / "plain" / f"Split-{SPLIT}" / name)) as uncompressed,
    ):
        for batch in plain.to_batches(max_chunksize=_ROWS_AT_ONCE):
            for record in encoder.encode(pa.RecordBatch.from_arrays([*map(_lists, batch.columns)], batch.schema.names)):
                compressed.write(record)
                uncompressed.write(record)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _lists(values: pa.Array) -> pa.ListArray:
    values = values.cast(pa.large_binary()) if pa.types.is_string(values.type) else values
    return pa.LargeListArray.from_arrays(np.arange(len(values) + 1), values)


def write_models(folder: pathlib.Path, tff_python: str) -> None:
    """Writes Model artifacts `small` and `wide` and the SiloModels artifact `personal` anew.

    Args:
        folder: Folder of the artifacts; what is in it goes.
        tff_python: The TFF interpreter.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([tff_python, "-m", "benchmarks.inference.models", str(folder / "inner")], check=True)
    specs = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in columns.NUMERIC.items()}
    for name in ("small", "wide"):
        features = serving_model.ModelFeatures(specs, "delayed")
        serving_model.save(f"{folder}/{name}/Format-Serving", folder / "inner" / name, features)
    with_silo = {**specs, columns.PERSONAL_SILO_KEY: tf.io.FixedLenFeature([], tf.string)}
    serving_model.save(
        f"{folder}/personal/Format-Serving",
        folder / "inner" / "personal",
        serving_model.ModelFeatures(with_silo, "delayed"),
        serving_model.SiloFeature(columns.PERSONAL_SILO_KEY, None),
    )
    (folder / "personal" / "silos.json").write_text(json.dumps(columns.personal_silos()))
