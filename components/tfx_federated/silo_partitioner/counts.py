"""What became of every row: the content of `counts.json`."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import row_judgement
from tfx_federated.silo_partitioner import tally as tally_lib


def count_rows(
    splits: Sequence[str],
    parameters: parameters_lib.PartitionParameters,
    tally: tally_lib.Tally,
    index: pa.Table,
    below_minimum: pa.Table,
) -> dict[str, Any]:
    """Returns the counts over all splits, and per split under `splits`.

    Each count has `rows_in` = `kept` + `without_silo` + `malformed` + `below_minimum`; `assigned`, the rows without
    silo that were given one, are among `kept` and `below_minimum`.

    Args:
        splits: Names of the splits.
        parameters: The component's parameters; they are repeated in the counts.
        tally: What was counted on reading.
        index: The index, `silo_examples.INDEX_SCHEMA`.
        below_minimum: The rows of skipped silos, `shard_writer.BELOW_MINIMUM_SCHEMA`.

    Raises:
        RuntimeError: Rows were lost or doubled.
    """
    per_split = {split: _count_split(split, tally, index, below_minimum) for split in splits}
    sums = {
        name: sum(count[name] for count in per_split.values())
        for name in ("rows_in", "kept", "without_silo", "malformed", "below_minimum", "assigned")
    }
    skipped = below_minimum.select(["silo", "decisive_rows"]).group_by(["silo", "decisive_rows"]).aggregate([])
    return {
        **dataclasses.asdict(parameters),
        **sums,
        "silos": pc.count_distinct(index["silo"]).as_py(),
        "malformed_reasons": _reasons(tally, None),
        "skipped_silos": [
            {"silo": row["silo"], "rows": row["decisive_rows"]} for row in skipped.sort_by("silo").to_pylist()
        ],
        "splits": per_split,
    }


def _count_split(split: str, tally: tally_lib.Tally, index: pa.Table, below_minimum: pa.Table) -> dict[str, Any]:
    kept = index.filter(pc.equal(index["split"], split))
    below = below_minimum.filter(pc.equal(below_minimum["split"], split))
    count = {
        "rows_in": tally.rows_in[split],
        "kept": pc.sum(kept["rows"]).as_py() or 0,
        "without_silo": tally.without_silo(split),
        "malformed": tally.malformed(split),
        "below_minimum": pc.sum(below["rows"]).as_py() or 0,
        "assigned": tally.assigned[split],
        "silos": kept.num_rows,
        "malformed_reasons": _reasons(tally, split),
    }
    accounted = count["kept"] + count["without_silo"] + count["malformed"] + count["below_minimum"]
    if accounted != count["rows_in"]:
        raise RuntimeError(
            f"split {split!r}: {count['rows_in']} rows were read but {accounted} are accounted for ({count}); "
            "this is a fault of SiloPartitioner or of the Beam runner, please report it"
        )
    return count


def _reasons(tally: tally_lib.Tally, split: str | None) -> list[dict[str, Any]]:
    rows_of: collections.Counter[tuple[str, str]] = collections.Counter()
    for (in_split, reason, feature, _), rows in tally.set_aside.items():
        if reason in row_judgement.MALFORMED and split in (None, in_split):
            rows_of[reason, feature] += rows
    return [{"reason": reason, "feature": feature, "rows": rows} for (reason, feature), rows in sorted(rows_of.items())]
