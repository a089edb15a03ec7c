"""Compares the BeamBatchInferrer with others and with what no pipeline can beat: `make benchmark-inference`."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.inference import workloads
from benchmarks.trainer import machine, process_tree

REPOSITORY = pathlib.Path(__file__).parents[2]
_RIVALS = ("bulk_inferrer", "beam_run_inference")
PLAN = {
    "small_tfrecord": ("ours", "ours_two_workers", "floor", "model_only", *_RIVALS),
    "small_tfrecord_plain": ("ours", "floor"),
    "small_parquet": ("ours", "ours_two_workers", "floor", "model_only"),
    "wide_tfrecord": ("ours", "floor", "model_only", *_RIVALS),
    "single_head": ("ours",),
    "personal_heads": ("ours", "numpy"),
}
# The others take so much longer for a row that they score one of so many.
_SHARE_OF_ROWS = {"bulk_inferrer": 20, "beam_run_inference": 8}
_TIME_LIMIT = 1800.0
_TOLERANCE = 1e-5


def main() -> int:
    """Reads the command line, runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference")
    parser.add_argument("--workloads", nargs="*", choices=PLAN, default=list(PLAN))
    parser.add_argument("--contenders", nargs="*", default=None)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--tff-python", default=".environments/tff/bin/python")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/benchmarks/inference.json"))
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    folder = output.parent / "inference"
    shutil.rmtree(folder / "expected", ignore_errors=True)
    (folder / "expected").mkdir(parents=True)
    workloads.write_models(folder / "models", arguments.tff_python)
    for share in {1, 4, *_SHARE_OF_ROWS.values()}:
        workloads.write_rows(arguments.rows // share, folder / str(arguments.rows // share))
    results: dict[str, Any] = {
        "machine": machine.description(REPOSITORY),
        "rows": arguments.rows,
        "workloads": {},
    }
    for name in arguments.workloads:
        contenders = [one for one in PLAN[name] if arguments.contenders is None or one in arguments.contenders]
        measured = {contender: _measure(name, contender, arguments.rows, folder) for contender in contenders}
        if "ours" in measured:
            measured["ours_quarter"] = _measure(name, "ours", arguments.rows // 4, folder)
        results["workloads"][name] = {**_ratios(measured), "contenders": measured}
        _show(name, results["workloads"][name])
    _compare_heads(results["workloads"])
    results["goals"] = _goals(results["workloads"])
    for goal in results["goals"]:
        print(f"{'met' if goal['met'] else 'missed':7} {goal['goal']}: {goal['value']:.3g}")
    output.write_text(json.dumps(results, indent=1), "utf-8")
    print(f"Written to {output}.")
    return 0


def _measure(name: str, contender: str, rows: int, folder: pathlib.Path) -> dict[str, Any]:
    rows //= _SHARE_OF_ROWS.get(contender, 1)
    data, output = folder / str(rows), folder / "runs" / name / contender
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.inference.contenders", contender, name, str(data), str(output)]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    found = process_tree.measure(command, variables, _TIME_LIMIT, folder / f"{name}-{contender}.txt")
    if found.exit_code != 0:
        raise RuntimeError(f"{contender} failed on {name}; see {folder}/{name}-{contender}.txt")
    seconds = json.loads((output / "work.json").read_text("utf-8"))["wall_seconds"]
    _require_equal(output / "predictions.npy", name, contender, rows, folder)
    return {
        "rows": rows,
        "wall_seconds": seconds,
        "rows_per_second": rows / seconds,
        "cpu_microseconds_per_row": 1e6 * found.cpu_seconds / rows,
        "peak_gb": found.peak_mebibytes / 1024,
    }


def _require_equal(found: pathlib.Path, name: str, contender: str, rows: int, folder: pathlib.Path) -> None:
    """Raises AssertionError unless the predictions are those that the first contender made of these rows."""
    predictions = np.load(found)
    assert len(predictions) == rows, (name, contender, len(predictions), rows)
    model = "personal" if workloads.WORKLOADS[name].has_personal_models else workloads.WORKLOADS[name].model
    expected = folder / "expected" / f"{model}-{rows}.npy"
    if not expected.exists():
        shutil.copy(found, expected)
    np.testing.assert_allclose(predictions, np.load(expected), atol=_TOLERANCE, err_msg=f"{contender} on {name}")


def _ratios(measured: Mapping[str, Any]) -> dict[str, float]:
    """Returns by how much faster ours is, in rows a second of the work."""
    if "ours" not in measured:
        return {}
    rate = measured["ours"]["rows_per_second"]
    rivals = ("floor", "model_only", *_RIVALS)
    ratios = {f"ours/{name}": rate / measured[name]["rows_per_second"] for name in rivals if name in measured}
    return {"rows_per_second": rate, "peak_gb": measured["ours"]["peak_gb"], **ratios}


def _compare_heads(measured: dict[str, Any]) -> None:
    if {"single_head", "personal_heads"} <= measured.keys():
        single, personal = measured["single_head"], measured["personal_heads"]
        personal["personal/single"] = personal["rows_per_second"] / single["rows_per_second"]
        print(f"personal/single {personal['personal/single']:.3g}")


def _goals(measured: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    goals = [
        ("small_tfrecord", "ours/floor", 0.7, "rows a second over the floor's, one worker, at least 0.7"),
        ("wide_tfrecord", "ours/floor", 0.7, "the same with the wide network"),
        ("small_parquet", "ours/floor", 0.7, "the same from Parquet"),
        ("small_tfrecord", "ours/bulk_inferrer", 40.0, "rows a second over BulkInferrer's, at least 40"),
        ("small_parquet", "rows_per_second", 1e6, "rows a second from Parquet to Parquet, at least 1,000,000"),
        ("personal_heads", "personal/single", 0.7, "rows a second with 10,000 heads over those with one, at least 0.7"),
    ]
    return [
        {"goal": text, "value": measured[workload][field], "met": measured[workload][field] >= limit}
        for workload, field, limit, text in goals
        if field in measured.get(workload, {})
    ]


def _show(name: str, fields: Mapping[str, Any]) -> None:
    print(f"\n{name:22} {'rows':>9} {'wall s':>8} {'rows/s':>10} {'CPU us/row':>11} {'peak GB':>8}")
    for contender, values in fields["contenders"].items():
        print(
            f"{contender:22} {values['rows']:9,} {values['wall_seconds']:8.2f} {values['rows_per_second']:10,.0f} "
            f"{values['cpu_microseconds_per_row']:11.2f} {values['peak_gb']:8.2f}",
            flush=True,
        )
    for field, value in fields.items():
        if field.startswith("ours/"):
            print(f"{field:26} {value:9.3g}")


if __name__ == "__main__":
    sys.exit(main())
