"""How many rows came in and were put aside, and whether that lets the run go on."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import row_judgement

_NAMES_SHOWN = 10
_FAULTS_SHOWN = 20

_FAULT_TEXTS = {
    row_judgement.UNPARSABLE_RECORD: "is not a tf.Example",
    row_judgement.MALFORMED_SILO_KEY: "has several values, a float or other than UTF-8 text in silo key",
    row_judgement.NON_FINITE_VALUE: "has NaN or infinity in feature",
}


class RowsError(ValueError):
    """The rows cannot be partitioned as they are."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of rows.

    Attributes:
        rows_in: Rows read, per split.
        assigned: Rows without silo that were given one, per split.
        features: In how many rows each feature occurs.
        set_aside: Rows put aside, per (split, reason, feature, silo).
    """

    rows_in: collections.Counter[str]
    assigned: collections.Counter[str]
    features: collections.Counter[str]
    set_aside: collections.Counter[tuple[str, str, str, str]]

    @classmethod
    def from_counts(cls, counts: Iterable[tuple[Sequence[str], int]]) -> Tally:
        """Sums the output of `row_judgement.JudgeRows`.

        Args:
            counts: Pairs of a key and a number of rows. A key is `("rows_in", split)`, `("assigned", split)`,
                `("feature", name)` or `("set_aside", split, reason, feature, silo)`; it may occur several times.
        """
        tally = cls(collections.Counter(), collections.Counter(), collections.Counter(), collections.Counter())
        for (kind, *key), rows in counts:
            if kind == "set_aside":
                split, reason, feature, silo = key
                tally.set_aside[split, reason, feature, silo] += rows
            else:
                {"rows_in": tally.rows_in, "assigned": tally.assigned, "feature": tally.features}[kind][key[0]] += rows
        return tally

    def malformed(self, split: str | None = None) -> int:
        """Returns the malformed rows of one split, or of all."""
        return sum(
            rows
            for (in_split, reason, _, _), rows in self.set_aside.items()
            if reason in row_judgement.MALFORMED and split in (None, in_split)
        )

    def without_silo(self, split: str | None = None) -> int:
        """Returns the rows of one split, or of all, that were put aside because they have no silo."""
        return sum(
            rows
            for (in_split, reason, _, _), rows in self.set_aside.items()
            if reason == row_judgement.WITHOUT_SILO and split in (None, in_split)
        )


def problem(tally: Tally, parameters: parameters_lib.PartitionParameters) -> str | None:
    """Returns why the run must fail, None if it may go on. The text names features and silos, never a value."""
    rows_in = tally.rows_in.total()
    if not rows_in:
        return "no rows for any silo: the Examples hold no row in the chosen splits; check the producer of the Examples"
    if tally.features and parameters.silo_key not in tally.features:
        return (
            f"silo_key {parameters.silo_key!r} occurs in none of {rows_in} rows; give the name of a feature that does: "
            f"{_shown(sorted(tally.features), 100)}"
        )
    malformed = tally.malformed()
    if malformed > parameters.maximum_malformed_share * rows_in:
        return _too_many_malformed(tally, malformed, rows_in, parameters.maximum_malformed_share)
    without_silo = tally.without_silo()
    if parameters.rows_without_silo == "error" and without_silo:
        per_split = ", ".join(f"{tally.without_silo(split)} in split {split!r}" for split in sorted(tally.rows_in))
        return (
            f"{without_silo} of {rows_in} rows have no silo in {parameters.silo_key!r} ({per_split}); correct the rows "
            "where they are made, or set rows_without_silo to 'skip' or 'assign:<silo name>'"
        )
    if malformed + without_silo == rows_in:
        return f"no rows for any silo: of {rows_in} rows {malformed} are malformed and {without_silo} have no silo"
    return None


def _too_many_malformed(tally: Tally, malformed: int, rows_in: int, maximum_share: float) -> str:
    rows_of: collections.Counter[tuple[str, str, str]] = collections.Counter()
    silos_of: dict[tuple[str, str, str], set[str]] = collections.defaultdict(set)
    for (split, reason, feature, silo), rows in tally.set_aside.items():
        if reason in row_judgement.MALFORMED:
            rows_of[split, reason, feature] += rows
            silos_of[split, reason, feature].update({silo} - {""})
    lines = []
    for (split, reason, feature), rows in sorted(rows_of.items(), key=lambda item: (-item[1], item[0]))[:_FAULTS_SHOWN]:
        named = f" {feature!r}" if feature else ""
        silos = silos_of[split, reason, feature]
        lines.append(
            f"{rows} rows of split {split!r}: {reason}, each {_FAULT_TEXTS[reason]}{named}"
            + (f" (silos: {_shown(sorted(silos), _NAMES_SHOWN)})" if silos else "")
        )
    if len(rows_of) > _FAULTS_SHOWN:
        lines.append(f"and {len(rows_of) - _FAULTS_SHOWN} more kinds")
    return (
        f"{malformed} of {rows_in} rows are malformed ({malformed / rows_in:.4%}), more than maximum_malformed_share = "
        f"{maximum_share:.4%} allows: {'; '.join(lines)}. Correct the rows where they are made, or raise "
        "maximum_malformed_share to put them aside"
    )


def _shown(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more
