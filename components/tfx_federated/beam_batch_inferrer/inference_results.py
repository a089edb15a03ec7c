"""Reads what BeamBatchInferrer wrote.

```
<uri>/_manifest.json                       written last; without it the results are not whole
<uri>/_index.parquet                       where each silo's rows are
<uri>/silo=<escaped silo>/part-<shard>-<part>.parquet           with the layout silo_folders
<uri>/silo=__HIVE_DEFAULT_PARTITION__/part-...                  rows without a silo
<uri>/part-<shard>-<part>.parquet                               with the layout sorted_shards
<uri>/_dead_letters/...                    rows that could not be scored, in the same layout, always Parquet
```
Files of other formats end in `.tfrecord.gz`. Names start with an underscore where readers of Parquet folders must pass
over them.

Fields of the manifest:

- `scored`: whether the model was applied. If not, `skipped_reason` says why, and there are no rows.
- `model`, `silo_models`: `uri` and `version` of the models; `examples`: URIs; `splits`: the splits that were scored;
  `output_format`, `layout`, `row_id`, `passthrough_features`.
- `outputs`: by output name of the model, `dtype` and `shape` per row.
- `rows_in`, of which `rows_scored` are in the files and the others are dead letters, by reason in `dead_letters`;
  `rows_without_silo` and `rows_by_global_model` (with SiloModels: rows of silos without a model of their own) are parts
  of the rows that were scored.
- `shards`: the input files, with `split`, `source`, `rows`. Column `source` of a row names one of them and column `row`
  a position in the file, so that results join back to the examples. A source `1/Split-eval/x.gz` is file
  `Split-eval/x.gz` below `examples[1]`. A large Parquet file is several shards.
- `files`, `dead_letter_files`: `path`, `rows`, `bytes`, `sha256`.
- `silos`: per silo `silo` (the id; null for rows without one), `rows`, `dead_letters`, and `own_model` with SiloModels.

The index has a row for each run of one silo's rows in a file: `silo`, `path`, `first_row` (from 0), `rows`. It is
sorted by silo.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
from pyarrow import dataset
from tfx.dsl.io import fileio

from tfx_federated import whole_files
from tfx_federated.beam_batch_inferrer import parquet_files

MANIFEST = "_manifest.json"
INDEX = "_index.parquet"

# Arrow on its own would guess a type from the folder names and read silo "007" as the number 7.
PARTITIONING = dataset.partitioning(pa.schema([("silo", pa.string())]), flavor="hive")


@dataclasses.dataclass(frozen=True)
class FileRows:
    """Some rows of a file.

    Attributes:
        uri: The file.
        first_row: The first row, from 0.
        rows: How many.
    """

    uri: str
    first_row: int
    rows: int


def read_manifest(uri: str) -> dict[str, Any]:
    """Reads the manifest of an InferenceResult.

    Args:
        uri: URI of the artifact.

    Raises:
        ValueError: There is none: the component failed, or another component wrote the artifact.
    """
    path = f"{uri}/{MANIFEST}"
    if not fileio.exists(path):
        raise ValueError(f"{uri} has no {MANIFEST}: BeamBatchInferrer did not finish there; run it again")
    return whole_files.read_json(path)


def silo_rows(uri: str, silo: str | None) -> list[FileRows]:
    """Returns where the rows of one silo are, in the order of the shards.

    Args:
        uri: URI of the artifact.
        silo: The silo id; None for rows without a silo.

    Raises:
        ValueError: The results are not whole.
        KeyError: They have no row of the silo.
    """
    if not read_manifest(uri)["rows_scored"]:
        raise KeyError(f"the results in {uri} have no row of silo {silo!r}")
    is_silo = dataset.field("silo").is_null() if silo is None else dataset.field("silo") == silo
    with parquet_files.opened(f"{uri}/{INDEX}") as file:
        found = file.read().filter(is_silo).to_pylist()
    if not found:
        raise KeyError(f"the results in {uri} have no row of silo {silo!r}")
    return [FileRows(f"{uri}/{run['path']}", run["first_row"], run["rows"]) for run in found]


def read_silo(uri: str, silo: str | None) -> pa.Table:
    """Reads the rows of one silo from Parquet results, in either layout.

    Args:
        uri: URI of the artifact.
        silo: The silo id; None for rows without a silo.

    Returns:
        A table with columns `split`, `source` and `row`, or `split` and `row_id`, then one per output of the model and
        feature passed through.

    Raises:
        ValueError: The results are not whole, or not Parquet.
        KeyError: They have no row of the silo.
    """
    output_format = read_manifest(uri)["output_format"]
    if output_format != "parquet":
        raise ValueError(f"the results in {uri} are {output_format}; read the files of `silo_rows` with tf.data")
    tables = [_read_rows(place) for place in silo_rows(uri, silo)]
    columns = [name for name in tables[0].column_names if name != "silo"]
    return pa.concat_tables([table.select(columns) for table in tables], promote_options="default")


def _read_rows(place: FileRows) -> pa.Table:
    """Reads the row groups that the rows are in, and cuts the others off."""
    with parquet_files.opened(place.uri) as file:
        needed, start, skipped = [], 0, 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if end <= place.first_row:
                skipped = end
            elif start < place.first_row + place.rows:
                needed.append(group)
            start = end
        return file.read_row_groups(needed).slice(place.first_row - skipped, place.rows)
