import html.parser
import json

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import report
from tfx_federated.report_pages import pages

from .report_content import HOSTILE, content, rules

PLOTLY = pages.plotly_script()
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
FINISHED = "run FairnessEvaluator again"


class Page(html.parser.HTMLParser):
    """What a browser would make of the page: its elements, and the text of its headers, scripts and data."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.links, self.scopes, self.labels = [], [], [], [], []
        self.scripts, self.row_headers, self.text, self.ids, self.references = [], [], "", [], []
        # Five megabytes that hold no markup, as the browser's test shows.
        self.feed(text.replace(PLOTLY, ""))
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [value for name, value in attributes.items() if name in ("src", "href", "srcset", "action")]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [attributes["aria-labelledby"]] if "aria-labelledby" in attributes else []
        if attributes.get("role") == "img":
            self.labels.append(attributes.get("aria-label"))
        if tag == "th":
            self.scopes.append(attributes.get("scope"))
            self.row_headers += [""] if attributes.get("scope") == "row" else []
        if tag == "script":
            self.scripts.append("")
        self.text += " " if tag == "small" else ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " if tag in ("td", "th", "p") else ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif "th" in self.open and self.row_headers:
            self.row_headers[-1] += data
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def words(page):
    return " ".join(page.text.split())


def test_the_content_of_the_tests_is_that_of_the_schema():
    schema = json.loads(report._resource("report_schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for values in (content(hostile=True), content(3, models=()), content(1, seed=1)):
        jsonschema.validate(json.loads(json.dumps(values, allow_nan=False)), schema)
    silo = {**content()["silos"][0], "evidence": "too_small"}
    with pytest.raises(jsonschema.ValidationError, match="too_small"):
        jsonschema.validate({**content(), "silos": [silo]}, schema)


def test_hostile_names_are_text_and_never_markup():
    page = Page(report.render(content(hostile=True)))
    assert page.open == []
    assert page.tags.count("script") == 5
    assert "img" not in page.tags
    assert page.links == []
    for name in HOSTILE:
        assert any(name in header for header in page.row_headers)
    assert json.loads(page.scripts[0])["name"].count(HOSTILE[0]) == 1
    assert page.scripts[0].isascii()
    assert "window.ran" not in page.scripts[2] + page.scripts[3]


def test_figures_escape_what_plotly_would_read_as_markup():
    embedded = json.loads(Page(report.render(content(hostile=True))).scripts[1])
    texts = json.dumps(embedded["figures"])
    assert "&lt;script&gt;" in texts
    for figure in embedded["figures"].values():
        figure["layout"].pop("meta")
    assert "<script" not in json.dumps(embedded["figures"])
    assert "<a " not in json.dumps(embedded["figures"])


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_any_name_leaves_the_page_whole(name):
    values = content(3, models=())
    values["silos"][0]["name"] = name
    values["metric"] = name
    page = Page(report.render(values))
    assert page.open == []
    assert page.tags.count("script") == 5
    assert name in json.loads(page.scripts[0])["name"]


def test_the_page_loads_nothing_and_is_accessible():
    text = report.render(content())
    page = Page(text)
    assert page.links == []
    assert "default-src 'none'" in text
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert set(page.scopes) == {"row", "col"}
    assert {"main", "h1", "caption", "label", "noscript"} <= set(page.tags)
    assert len(page.labels) >= 5
    assert all(page.labels)
    assert set(page.references) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize(
    ("judged", "blessed", "headline"),
    [
        ([], False, "Not blessed: no rule was given"),
        (rules()[:1], True, "Blessed: the model passes its rule"),
        (rules()[:1] * 2, True, "Blessed: the model passes all of its 2 rules"),
        (
            rules()[::2],
            True,
            "Blessed: the model passes all of its 2 rules; 1 could not be decided and counts as passed",
        ),
        (rules()[1:2], False, "Not blessed: the model fails 1 of 1 rule"),
        (rules(), False, "Not blessed: the model fails 1 of 3 rules"),
        (
            [*rules()[:2], {**rules()[2], "passed": False}],
            False,
            "Not blessed: the model fails 2 of 3 rules; 1 of these could not be decided",
        ),
    ],
)
def test_the_headline_says_the_verdict(judged, blessed, headline):
    page = Page(report.render({**content(), "rules": judged, "blessed": blessed}))
    assert f"Fairness report {headline} Over all" in words(page)


def test_every_rule_has_its_verdict_and_reason():
    text = words(Page(report.render(content())))
    assert "✓ passed auc over all rows is at least 0.7 Overall 0.7500 0.7000 auc over all rows is 0.75" in text
    assert (
        "✗ failed auc of the worst silo is at least 0.6 WorstSilo 0.5000 0.6000 auc of silo silo 00000 is 0.5" in text
    )
    assert "? undecided counts as passed silo north" in text
    assert f"NonInferiority {DASH} {MINUS}0.0200 silo north has 12 rows, fewer than 50" in text


@pytest.mark.parametrize(("higher_is_better", "first"), [(True, "low"), (False, "high")])
def test_the_worst_silos_come_first_and_those_with_too_few_rows_last(higher_is_better, first):
    values = content(4, models=())
    named = [("few", 10, 0.1), ("high", 300, 0.9), ("low", 300, 0.5), ("none", 5, None)]
    for silo, (name, rows, value) in zip(values["silos"], named, strict=True):
        silo.update(name=name, rows=rows, value=value, evidence="enough" if rows > 50 else "too_few_rows")
        silo.update({"lower": value, "upper": value} if rows > 50 else {"lower": None, "upper": None})
    values["higher_is_better"] = higher_is_better
    names = json.loads(Page(report.render(values)).scripts[0])["name"]
    assert names[0] == first
    assert set(names[2:]) == {"few", "none"}
    assert names[-1] == "none"


def test_a_small_plot_in_the_table_stands_where_the_numbers_are():
    values = content(2, models=())
    values["overall"]["value"] = 0.5
    for silo, (lower, value, upper) in zip(values["silos"], [(0.2, 0.4, 0.5), (0.6, 0.7, 1.2)], strict=True):
        silo.update(lower=lower, value=value, upper=upper, evidence="enough")
    # The scale is from 0.2 to 1.2, and 3 % more at either end: 0.17 to 1.23.
    text = report.render(values)
    assert f"left:{100 * 0.03 / 1.06:.2f}%;width:{100 * 0.3 / 1.06:.1f}" in text
    assert f'class="value" style="left:{100 * 0.53 / 1.06:.1f}' in text


def test_what_is_not_said_is_said():
    values = content(4, models=())
    for silo, (evidence, rows) in zip(
        values["silos"], [("too_few_rows", 7), ("too_few_rows", 8), ("undefined", 60), ("enough", 900)], strict=True
    ):
        silo.update(evidence=evidence, rows=rows)
    values["privacy_minimum"] = {"minimum_rows": 20, "pooled_silos": 12, "pool": "small <silos>"}
    text = words(Page(report.render(values)))
    assert "2 silos, 15 rows: too few rows to say" in text
    assert "1 silo, 60 rows: undefined" in text
    assert "at least 50 rows, 10 positives and 10 negatives" in text
    assert "fewer than 20 rows are not named: 12 of them are pooled as “small <silos>”." in text
    assert "5 rows name no silo" in text


def test_a_report_without_a_single_claim_is_a_page():
    values = content(2, models=())
    for silo in values["silos"]:
        silo.update(value=None, lower=None, upper=None, evidence="undefined", difference_to_overall=None)
    values.update(worst_silo=None, parity=[], slices=[], calibration=[])
    values["across_silos"] = {"silos": 0, "statistics": {}}
    values["overall"].update(value=None, lower=None, upper=None)
    page = Page(report.render(values))
    assert page.open == []
    assert page.labels == []
    assert "No silo has enough rows to say how it fares." in words(page)


def test_the_static_table_and_the_lists_stay_short_with_many_silos():
    text = report.render(content(3000))
    page = Page(text)
    assert "The 50 silos, of 3,000, with the worst auc; all are in silos.parquet" in words(page)
    assert len(page.row_headers) < 100
    assert len(json.loads(page.scripts[0])["name"]) == 3000
    assert len(page.scripts[0]) < 3000 * 250
    assert len(page.scripts[1]) < 500_000


def test_written_reports_are_read_back(tmp_path):
    values = content(hostile=True)
    report.write(str(tmp_path), values)
    assert report.read(str(tmp_path)) == values
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.json", "silos.parquet"]
    silos = pd.read_parquet(tmp_path / "silos.parquet")
    assert silos["name"].tolist() == [silo["name"] for silo in values["silos"]]
    assert silos.baseline_gain.tolist() == [silo["gains"]["baseline"]["gain"] for silo in values["silos"]]
    assert set(silos.columns) >= {"baseline", "baseline_gain_lower", "local_models_gain_verdict", "mean_label"}


def test_a_report_that_could_not_be_drawn_is_no_report(tmp_path):
    broken = content()
    del broken["overall"]
    with pytest.raises(KeyError):
        report.write(str(tmp_path), broken)
    with pytest.raises(ValueError, match=f"{tmp_path} is missing or broken .*{FINISHED}"):
        report.read(str(tmp_path))


@pytest.mark.parametrize("text", ['{"schema": 1}', "[]", "{}"])
def test_other_schemas_are_refused(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path} has schema .*this version reads 2: {FINISHED}"):
        report.read(str(tmp_path))


@pytest.mark.parametrize("data", [b"{", b"\xff"])
def test_broken_files_are_refused(tmp_path, data):
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(ValueError, match=f"missing or broken .*{FINISHED}"):
        report.read(str(tmp_path))
