"""Adds up the records of the shards, and refuses what must not pass for a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfx_federated.beam_batch_inferrer import partitions
from tfx_federated.beam_batch_inferrer.shard_scoring import ShardRecord
from tfx_federated.beam_batch_inferrer.silo_parts import SiloCounts
from tfx_federated.example_shards import ExampleShard

# An error names so many culprits and counts the rest.
_NAMED = 5


def make_manifest(
    shards: Sequence[ExampleShard],
    records: Sequence[ShardRecord],
    inputs: Mapping[str, Any],
    output_format: str,
    skipped_reason: str | None,
) -> dict[str, Any]:
    """Returns the content of the manifest; `inference_results` explains its fields.

    Args:
        shards: All shards of the run.
        records: One record per shard, in the same order; none if nothing was scored.
        inputs: Fields that name the inputs.
        output_format: Format of the parts.
        skipped_reason: Why nothing was scored; None if the model was applied.

    Raises:
        ValueError: A shard has a problem, a prediction is NaN, the shards' outputs differ in type or shape, or rows
            were lost on the way.
    """
    _require_no_problem(records)
    silos = _add_silos(records)
    _require_no_nan(silos)
    rows_in = sum(record.rows for record in records)
    rows_scored = sum(counts.rows for counts in silos)
    if rows_in != rows_scored:
        raise ValueError(f"{rows_in} rows were read and {rows_scored} written; run the component again")
    scored = list(zip(shards, records, strict=True)) if skipped_reason is None else []
    return {
        "scored": skipped_reason is None,
        "skipped_reason": skipped_reason,
        **inputs,
        "output_format": output_format,
        "outputs": _common_outputs(scored),
        "rows_in": rows_in,
        "rows_scored": rows_scored,
        "rows_without_silo": sum(counts.rows for counts in silos if counts.silo is None),
        "shards": [{"split": shard.split, "source": shard.source, "rows": record.rows} for shard, record in scored],
        "silos": [
            {
                "silo": counts.silo,
                "folder": partitions.folder_name(counts.silo),
                "rows": counts.rows,
                "bytes": counts.bytes,
                "files": counts.files,
            }
            for counts in silos
        ],
    }


def _require_no_problem(records: Sequence[ShardRecord]) -> None:
    problems = [record.problem for record in records if record.problem]
    if problems:
        raise ValueError(f"{len(problems)} of {len(records)} shards cannot be scored. " + _few(problems))


def _add_silos(records: Sequence[ShardRecord]) -> list[SiloCounts]:
    """Sums over the shards; rows without a silo come first, then the silos by id."""
    totals: dict[str | None, SiloCounts] = {}
    for record in records:
        for counts in record.silos:
            total = totals.setdefault(counts.silo, SiloCounts(counts.silo))
            total.rows += counts.rows
            total.bytes += counts.bytes
            total.files += counts.files
            for name, rows in counts.nan_rows.items():
                total.nan_rows[name] = total.nan_rows.get(name, 0) + rows
    return [totals[silo] for silo in sorted(totals, key=lambda silo: (silo is not None, silo or ""))]


def _require_no_nan(silos: Sequence[SiloCounts]) -> None:
    found = [
        f"output {name!r} is NaN for {rows} of {counts.rows} rows "
        + ("without a silo" if counts.silo is None else f"of silo {counts.silo!r}")
        for counts in silos
        for name, rows in counts.nan_rows.items()
    ]
    if found:
        raise ValueError(
            _few(found) + ". Check the model, and whether these rows have values that it was not trained on"
        )


def _common_outputs(scored: Sequence[tuple[ExampleShard, ShardRecord]]) -> dict[str, Any]:
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
