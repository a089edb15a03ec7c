"""The page of the benchmark says what its code is."""

import dataclasses
import pathlib
import re

from benchmarks.suite.data import manifests, populations

from benchmarks.suite import __main__ as program

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "benchmark.md").read_text(encoding="utf-8")


def _first_cells(title):
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_question_is_there():
    assert _first_cells("Questions") == set(program.QUESTIONS)


def test_every_source_and_every_field_of_a_family_is_there():
    fields = {field.name for field in dataclasses.fields(manifests.Family)} - {"rows", "least_rows"}
    assert _first_cells("Tasks") == fields | set(manifests.SOURCES)


def test_everything_that_can_be_planted_is_there():
    assert all(f"`{name}`" in PAGE for name in populations.PLANTED)
