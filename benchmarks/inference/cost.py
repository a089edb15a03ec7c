"""What many rows cost in node-hours, from the rates that `make benchmark-inference` measured.

`python -m benchmarks.inference.cost --rows 500000000`. docs/inference_cost.md has the table and the assumptions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Node:
    """A machine to rent.

    Attributes:
        name: Its size in Azure.
        cores: Cores, two threads each counting as two.
        has_gpu: Whether the model itself runs on a GPU.
    """

    name: str
    cores: int
    has_gpu: bool = False


NODES = (
    Node("Standard_D8ds_v5", 8),
    Node("Standard_D16ds_v5", 16),
    Node("Standard_NC4as_T4_v3", 4, has_gpu=True),
    Node("Standard_NC24ads_A100_v4", 24, has_gpu=True),
)
WORKLOADS = ("small_tfrecord", "small_parquet", "wide_tfrecord", "personal_heads")
# A small network takes less of a row's time than its way to a GPU and back.
_FOR_GPUS = ("wide_tfrecord",)


def seconds_of_core(contenders: Mapping[str, Mapping[str, float]], contender: str = "ours") -> float:
    """Returns the processor seconds of one more row: what the start costs is left out.

    Args:
        contenders: Results of one workload.
        contender: `ours`, measured with all rows and with a quarter of them.
    """
    whole, quarter = contenders[contender], contenders[f"{contender}_quarter"]
    used = [one["cpu_microseconds_per_row"] * one["rows"] for one in (whole, quarter)]
    return 1e-6 * (used[0] - used[1]) / (whole["rows"] - quarter["rows"])


def seconds_of_model(contenders: Mapping[str, Mapping[str, float]]) -> float:
    """Returns the seconds of one row in the model alone, on all cores of the measuring machine.

    Its processor seconds are at least as many, so that a GPU saves at least so much.
    """
    return 1 / contenders["model_only"]["rows_per_second"]


def node_hours(node: Node, rows: int, of_core: float, of_model: float) -> float:
    """Returns the node-hours of so many rows.

    Args:
        node: The machine.
        rows: Number of rows.
        of_core: Processor seconds a row.
        of_model: Part of them that a GPU takes over; the rest, reading, parsing and writing, stays with the cores.
    """
    seconds = max(0.0, of_core - of_model) if node.has_gpu else of_core
    return rows * seconds / node.cores / 3600


def table(workloads: Mapping[str, Any], rows: int) -> list[str]:
    """Returns the lines of a Markdown table: a workload in each row, node-hours in each column."""
    lines = [
        "| workload | core us a row | " + " | ".join(f"{node.name} ({node.cores} cores)" for node in NODES) + " |",
        "|---|---|" + "---|" * len(NODES),
    ]
    for name in WORKLOADS:
        contenders = workloads[name]["contenders"]
        of_core = seconds_of_core(contenders)
        of_model = seconds_of_model(contenders) if name in _FOR_GPUS else None
        hours = [_hours(node, rows, of_core, of_model) for node in NODES]
        lines.append(f"| `{name}` | {1e6 * of_core:.2f} | " + " | ".join(hours) + " |")
    return lines


def _hours(node: Node, rows: int, of_core: float, of_model: float | None) -> str:
    if node.has_gpu and of_model is None:
        return "-"
    return f"{node_hours(node, rows, of_core, of_model or 0.0):.2f}"


def main() -> None:
    """Reads the command line and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference.cost")
    parser.add_argument("--rows", type=int, default=500_000_000)
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/benchmarks/inference.json"))
    arguments = parser.parse_args()
    workloads = json.loads(arguments.results.read_text("utf-8"))["workloads"]
    print("\n".join(table(workloads, arguments.rows)))


if __name__ == "__main__":
    main()
