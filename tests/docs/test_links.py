"""Links between the documents."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("benchmarks", "components", "docs", "manifests", "pipelines")
DOCUMENTS = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_heading_that_a_document_links_to_is_there(document):
    for path, heading in re.findall(r"\]\(([^)#:\s]*)#?([^)\s]*)\)", document.read_text("utf-8")):
        if "://" in path + heading:
            continue
        target = document.parent / path if path else document
        assert target.exists(), f"{path} is missing"
        if heading:
            assert heading in headings(target), f"{path} has no heading {heading}"


def headings(document):
    """Returns the anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
