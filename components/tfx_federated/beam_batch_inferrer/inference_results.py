"""Reads what BeamBatchInferrer wrote.

```
<uri>/_manifest.json                       written last; without it the results are not whole
<uri>/silo=<escaped silo>/part-<shard>-<part>.parquet           or .tfrecord.gz
<uri>/silo=__HIVE_DEFAULT_PARTITION__/part-...                  rows without a silo
```
The manifest's name starts with an underscore because readers of Hive partitions skip such files; pyarrow and pandas
fail on a JSON file that has another name. Its fields:

- `scored`: whether the model was applied. If not, `skipped_reason` says why, and there are no rows.
- `model`, `examples`: URIs of the inputs; `splits`: the splits that were scored; `output_format`.
- `outputs`: by output name of the model, `dtype` and `shape` per row.
- `rows_in` = `rows_scored`, and the part of them that is `rows_without_silo`.
- `shards`: the input files, with `split`, `source`, `rows`. Column `source` of a row names one of them and column `row`
  a position in it, so that results join back to the examples. A source `1/Split-eval/x.gz` is file `Split-eval/x.gz`
  below `examples[1]`.
- `silos`: per silo `silo` (the id; null for rows without one), `folder`, `rows`, `bytes`, `files`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import dataset
from tfx.dsl.io import fileio

from tfx_federated import whole_files

MANIFEST = "_manifest.json"

# Arrow on its own would guess a type from the folder names and read silo "007" as the number 7.
PARTITIONING = dataset.partitioning(pa.schema([("silo", pa.string())]), flavor="hive")


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


def silo_files(uri: str, silo: str | None) -> list[str]:
    """Returns the files that hold the rows of one silo, in the order of the shards.

    Args:
        uri: URI of the artifact.
        silo: The silo id; None for rows without a silo.

    Raises:
        ValueError: The results are not whole.
        KeyError: They have no row of the silo.
    """
    for entry in read_manifest(uri)["silos"]:
        if entry["silo"] == silo:
            return [f"{uri}/{entry['folder']}/{name}" for name in entry["files"]]
    raise KeyError(f"the results in {uri} have no row of silo {silo!r}")


def read_silo(uri: str, silo: str | None) -> pa.Table:
    """Reads the rows of one silo from Parquet results.

    Args:
        uri: URI of the artifact.
        silo: The silo id; None for rows without a silo.

    Returns:
        A table with columns `split`, `source`, `row` and one per output of the model.

    Raises:
        ValueError: The results are not whole, or not Parquet.
        KeyError: They have no row of the silo.
    """
    output_format = read_manifest(uri)["output_format"]
    if output_format != "parquet":
        raise ValueError(f"the results in {uri} are {output_format}; read the files of `silo_files` with tf.data")
    return dataset.dataset(silo_files(uri, silo), format="parquet").to_table()
