"""The parameters of SiloPartitioner, and which of their values make sense."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ASSIGN = "assign:"


def check_silo_key(silo_key: str) -> None:
    """Raises ValueError for an empty name."""
    if not silo_key:
        raise ValueError("silo_key is empty; give the name of the feature that holds the silo")


def check_splits(splits: Sequence[str] | None) -> None:
    """Raises ValueError for an empty list, an empty name or a name given twice."""
    if splits is None:
        return
    if isinstance(splits, str) or not splits or not all(isinstance(split, str) and split for split in splits):
        raise ValueError(f"splits is {splits!r}; give a list of split names, or None for all splits")
    if len(set(splits)) < len(splits):
        raise ValueError(f"splits is {splits!r}; name each split once")


def check_minimum_rows(minimum_rows: int) -> None:
    """Raises ValueError below 1."""
    if minimum_rows < 1:
        raise ValueError(f"minimum_rows is {minimum_rows}; it must be at least 1 (1 keeps every silo)")


def check_shards(shards: int) -> None:
    """Raises ValueError below 1."""
    if shards < 1:
        raise ValueError(f"shards is {shards}; it must be at least 1")


def check_rows_without_silo(rows_without_silo: str) -> None:
    """Raises ValueError for anything but 'error', 'skip' and 'assign:<silo name>'."""
    assigned = rows_without_silo.startswith(_ASSIGN) and len(rows_without_silo) > len(_ASSIGN)
    if rows_without_silo not in ("error", "skip") and not assigned:
        raise ValueError(
            f"rows_without_silo is {rows_without_silo!r}; it must be 'error', 'skip' or 'assign:<silo name>'"
        )


def check_maximum_malformed_share(maximum_malformed_share: float) -> None:
    """Raises ValueError outside [0, 1]."""
    if not (math.isfinite(maximum_malformed_share) and 0.0 <= maximum_malformed_share <= 1.0):
        raise ValueError(f"maximum_malformed_share is {maximum_malformed_share}; it must lie in [0, 1]")


CHECK_OF_PARAMETER: Mapping[str, Callable[[Any], None]] = {
    "silo_key": check_silo_key,
    "splits": check_splits,
    "minimum_rows": check_minimum_rows,
    "shards": check_shards,
    "rows_without_silo": check_rows_without_silo,
    "maximum_malformed_share": check_maximum_malformed_share,
}


@dataclasses.dataclass(frozen=True)
class PartitionParameters:
    """The checked parameters.

    Attributes:
        silo_key: Name of the feature that holds the silo: one string or integer a row.
        splits: The splits to partition; None for all.
        minimum_rows: Silos with fewer rows are not written. Counted in split `train` where that is among the splits,
            else over all splits. At least 1.
        shards: Files per split, at least 1.
        rows_without_silo: 'error', 'skip' or 'assign:<silo name>'.
        maximum_malformed_share: The run fails if a larger share of all rows is malformed, in [0, 1].

    Raises:
        ValueError: A parameter is out of its range.
    """

    silo_key: str
    splits: tuple[str, ...] | None
    minimum_rows: int
    shards: int
    rows_without_silo: str
    maximum_malformed_share: float

    def __post_init__(self) -> None:
        """Checks each parameter."""
        for name, check in CHECK_OF_PARAMETER.items():
            check(getattr(self, name))

    @classmethod
    def from_exec_properties(cls, exec_properties: Mapping[str, Any]) -> PartitionParameters:
        """Reads the execution properties; `splits` is a JSON list, or absent for all splits."""
        splits = exec_properties.get("splits")
        return cls(
            silo_key=exec_properties["silo_key"],
            splits=tuple(_split_list(splits)) if splits else None,
            minimum_rows=int(exec_properties["minimum_rows"]),
            shards=int(exec_properties["shards"]),
            rows_without_silo=exec_properties["rows_without_silo"],
            maximum_malformed_share=float(exec_properties["maximum_malformed_share"]),
        )

    @property
    def assigned_silo(self) -> str | None:
        """The silo that rows without one are given, None if they are not."""
        return self.rows_without_silo.removeprefix(_ASSIGN) if self.rows_without_silo.startswith(_ASSIGN) else None


def _split_list(splits: str) -> list[str]:
    try:
        names = json.loads(splits)
    except json.JSONDecodeError as error:
        raise ValueError(f'splits is {splits!r}; as a runtime parameter give JSON, for example ["train"]') from error
    if not isinstance(names, list):
        raise ValueError(f'splits is {splits!r}; as a runtime parameter give a JSON list, for example ["train"]')
    check_splits(names)
    return names
