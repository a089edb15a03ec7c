"""The tables that are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.trainer import goals as goals_lib

_COLUMNS = (
    "contender",
    "rounds x runs",
    "first s",
    "steady ms",
    "least..most",
    "x floor",
    "ms/silo",
    "wall s",
    "CPU s",
    "peak MiB",
)


def table(rows: Iterable[Sequence[str]], columns: Sequence[str]) -> str:
    """Returns rows under a head, the first column to the left and the others to the right."""
    lines = [columns, *rows]
    widths = [max(len(cell) for cell in cells) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def workload_table(name: str, fields: Mapping[str, Any]) -> str:
    """Returns what was measured on a workload, the fastest first, and then who has nothing to show and why.

    Args:
        name: Name of the workload.
        fields: What `comparison.summary` returned.
    """
    head = f"{name}: {fields['silos']:,} silos, {fields['rows']:,} rows, {fields['steps_per_round']:,} steps a round"
    by_time = sorted(fields["contenders"].items(), key=lambda item: item[1]["steady_seconds"])
    errors = [f"{contender}: {error}" for contender, error in fields["errors"].items()]
    return "\n".join([head, table([_row(contender, values) for contender, values in by_time], _COLUMNS), *errors])


def goal_line(goal: goals_lib.Goal, value: float | None) -> str:
    """Returns one line on a goal: what it asks for, what was reached and whether that is enough."""
    bound = "at least" if goal.figure is goals_lib.Figure.SPEED_UP else "at most"
    asked = f"{goal.workload}: {goal.contender} and {goal.rival}: {goal.figure.value} {bound} {goal.limit:g}"
    if value is None:
        return f"not measured  {asked}"
    return f"{'met' if goal.is_met(value) else 'MISSED':12}  {asked}: {value:.3g}"


def _row(contender: str, fields: Mapping[str, Any]) -> list[str]:
    steady = fields["steady_seconds_of_repeats"]
    return [
        contender,
        f"{fields['rounds']} x {fields['repeats']}",
        f"{fields['first_round_seconds']:.2f}",
        f"{1000 * fields['steady_seconds']:.2f}",
        f"{1000 * min(steady):.2f}..{1000 * max(steady):.2f}",
        _optional(fields.get("ratio_to_floor"), ".2f"),
        _optional(fields.get("overhead_milliseconds_per_silo_and_round"), ".3f"),
        f"{fields['wall_seconds']:.1f}",
        f"{fields['cpu_seconds']:.1f}",
        f"{fields['peak_mebibytes']:.0f}",
    ]


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
