"""Adds up the records of the shards, and refuses what must not pass for a result."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.shard_record import ShardRecord

# An error names so many culprits and counts the rest.
_NAMED = 5
INDEX_SCHEMA = pa.schema(
    [("silo", pa.string()), ("path", pa.string()), ("first_row", pa.int64()), ("rows", pa.int64())]
)


def make_manifest(
    shards: Sequence[Shard],
    records: Sequence[ShardRecord],
    fields: Mapping[str, Any],
    skipped_reason: str | None,
    own_silos: Collection[str] | None,
) -> dict[str, Any]:
    """Returns the content of the manifest; `inference_results` explains its fields.

    Args:
        shards: All shards of the run.
        records: One record per shard, in the same order; none if nothing was scored.
        fields: Fields that name the inputs and settings.
        skipped_reason: Why nothing was scored; None if the model was applied.
        own_silos: Silos that are scored by their own model; None if there are no such models.

    Raises:
        ValueError: The shards' outputs differ in type or shape, or rows were lost on the way.
    """
    rows_in = sum(record.rows for record in records)
    rows_of_silo: Counter[str | None] = Counter()
    letters: dict[str | None, Counter[str]] = {}
    for record in records:
        for silo, rows in zip(record.index.silo, record.index.rows, strict=True):
            rows_of_silo[silo] += rows
        for silo, reason, rows in record.dead_letters:
            letters.setdefault(silo, Counter())[reason] += rows
    dead_letters = sum(letters.values(), Counter())
    if rows_in != rows_of_silo.total() + dead_letters.total():
        raise ValueError(
            f"{rows_in} rows were read, {rows_of_silo.total()} written and {dead_letters.total()} put aside; run the "
            "component again"
        )
    scored = list(zip(shards, records, strict=True)) if skipped_reason is None else []
    silos = sorted({*rows_of_silo, *letters}, key=lambda silo: (silo is not None, (silo or "").encode("utf-8")))
    by_model_of_all = {silo for silo in silos if silo not in own_silos} if own_silos is not None else set()
    return {
        "scored": skipped_reason is None,
        "skipped_reason": skipped_reason,
        **fields,
        "outputs": _common_outputs(scored),
        "rows_in": rows_in,
        "rows_scored": rows_of_silo.total(),
        "rows_without_silo": rows_of_silo[None],
        "rows_by_global_model": None if own_silos is None else sum(rows_of_silo[silo] for silo in by_model_of_all),
        "dead_letters": dict(sorted(dead_letters.items())),
        "shards": [{"split": shard.split, "source": shard.source, "rows": record.rows} for shard, record in scored],
        "files": [dataclasses.asdict(file) for record in records for file in record.files],
        "dead_letter_files": [dataclasses.asdict(file) for record in records for file in record.dead_letter_files],
        "silos": [
            {
                "silo": silo,
                "rows": rows_of_silo[silo],
                "dead_letters": dict(sorted(letters.get(silo, Counter()).items())),
                **({} if own_silos is None else {"own_model": silo not in by_model_of_all}),
            }
            for silo in silos
        ],
    }


def make_index(records: Sequence[ShardRecord]) -> pa.Table:
    """Returns where each silo's rows are, sorted by silo (rows without one first) and by file."""
    tables = [pa.table(dataclasses.asdict(record.index), schema=INDEX_SCHEMA) for record in records]
    index = pa.concat_tables([INDEX_SCHEMA.empty_table(), *tables])
    order = [("silo", "ascending"), ("path", "ascending"), ("first_row", "ascending")]
    return index.take(pc.sort_indices(index, order, null_placement="at_start"))


def require_no_problem(records: Sequence[ShardRecord]) -> None:
    """Refuses shards that cannot be scored.

    Raises:
        ValueError: Names them.
    """
    problems = [record.problem for record in records if record.problem]
    if problems:
        raise ValueError(
            f"{len(problems)} of {len(records)} shards cannot be scored. {_few(problems)}. The other shards are kept "
            "for the next attempt"
        )


def require_few_dead_letters(manifest: Mapping[str, Any], maximum_share: float) -> None:
    """Refuses results with too many rows that could not be scored.

    Raises:
        ValueError: The share is above the maximum; names reasons and silos.
    """
    count, rows = sum(manifest["dead_letters"].values()), manifest["rows_in"]
    if count <= maximum_share * rows:
        return
    found = [
        f"{number} {_whose(entry)} ({reason})"
        for entry in manifest["silos"]
        for reason, number in entry["dead_letters"].items()
    ]
    raise ValueError(
        f"{count} of {rows} rows cannot be scored, more than maximum_dead_letter_share={maximum_share:g} allows: "
        f"{_few(found)}"
    )


def _whose(entry: Mapping[str, Any]) -> str:
    if entry["silo"] is None:
        return "without a known silo"
    return f"of silo {entry['silo']!r}, which has {entry['rows']} others"


def _common_outputs(scored: Sequence[tuple[Shard, ShardRecord]]) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for shard, record in scored:
        if record.outputs and outputs and record.outputs != outputs:
            raise ValueError(
                f"the model's outputs are {record.outputs} for shard {shard.source} and {outputs} for an earlier one; "
                "they must have a fixed shape"
            )
        outputs = outputs or record.outputs
    return outputs


def _few(items: Sequence[str]) -> str:
    rest = len(items) - _NAMED
    return "; ".join(items[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
