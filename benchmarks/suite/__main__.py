"""Asks the questions of the suite: `make benchmark-suite`."""

from __future__ import annotations

import argparse
import importlib
import pathlib
import resource
import sys
import time
from typing import cast

from benchmarks.suite import answers, report, scales, trainings
from benchmarks.trainer import machine

REPOSITORY = pathlib.Path(__file__).parents[2]
QUESTIONS = (
    "unequal_data",
    "benefit",
    "heterogeneity",
    "newcomers",
    "free_riding",
    "privacy",
    "scale",
    "entrants",
)


def main() -> int:
    """Reads the command line, asks the questions and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite")
    parser.add_argument("--scale", choices=scales.SCALES, default="small")
    parser.add_argument("--questions", nargs="*", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/benchmarks/suite"))
    arguments = parser.parse_args()
    output = arguments.output.resolve() / arguments.scale
    about = machine.description(REPOSITORY)
    start = time.monotonic()
    train = trainings.Trainings(output / "trainings")
    context = answers.Context(train, scales.SCALES[arguments.scale])
    found = []
    for name in arguments.questions:
        question = cast(answers.Question, importlib.import_module(f"benchmarks.suite.questions.{name}"))
        found.append(question.answer(context))
        _show(found[-1], time.monotonic() - start)
    run = {
        "machine": about,
        "scale": arguments.scale,
        "seeds": list(context.scale.seeds),
        "seconds": time.monotonic() - start,
        "cpu_seconds": _cpu_seconds(),
        "trainings": train.count,
    }
    report.write(output, found, train.manifest_texts, run)
    print(f"\n{train.count} trainings. Written to {output / report.HTML_FILE}.")
    return 0


def _cpu_seconds() -> float:
    """Returns the processor time of this process and of all children that ended."""
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _show(answer: answers.Answer, seconds: float) -> None:
    print(f"\n{answer.title}  ({seconds:.0f} s since the start)\n")
    print(answer.table.to_string(index=False))
    print("\n".join(f"- {sentence}" for sentence in answer.sentences), flush=True)


if __name__ == "__main__":
    sys.exit(main())
