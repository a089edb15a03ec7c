import copy
import html.parser
import json

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.report_content import HOSTILE, content, empty
from tfx_federated import contributions
from tfx_federated.contribution_evaluator import content as content_lib
from tfx_federated.contribution_evaluator import gate, report, report_page, rules
from tfx_federated.report_pages import pages


class Page(html.parser.HTMLParser):
    """The elements that a page is made of, and its text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        # Megabytes that hold no markup.
        self.feed(text.replace(pages.plotly_script(), ""))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def words(page):
    return " ".join(Page(page).text.split())


@pytest.fixture(scope="module")
def made_up():
    return content()


def test_what_the_evaluation_writes_and_what_is_made_up_here_follows_the_schema(ledger, function, made_up):
    found = small_evaluation.evaluate(ledger, function)
    written = content_lib.of_evaluation(found, gate.judge(found, [rules.NoFindings()]))
    for values in (written, made_up, empty()):
        jsonschema.validate(json.loads(json.dumps(values, allow_nan=False)), report.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**made_up, "extra": 1}, report.schema())


def test_a_report_comes_back_with_a_typed_row_for_each_silo(tmp_path, made_up):
    report.write(str(tmp_path), made_up)
    loaded = contributions.load_report(str(tmp_path))
    assert loaded.content == made_up
    table = pd.read_parquet(tmp_path / "silos.parquet")
    assert table["name"].tolist() == [f"silo {place}" for place in range(8)]
    assert table.rows.tolist() == [10 * (place + 1) for place in range(8)]
    assert table.contribution.isna().tolist() == [place % 4 == 3 for place in range(8)]
    assert table.federated_gain_verdict[3] == "too few rows"
    assert table.findings[0] == "no_update, duplicates"
    assert repr(loaded).endswith("8 silos, 1 with findings)")
    assert loaded.html() == (tmp_path / "report.html").read_text()


def test_the_page_says_what_was_found_and_what_was_not_computed(made_up):
    text = words(report_page.render(made_up))
    for part in (
        "1 of 8 silos may ride free or do damage; 1 of 8 lose significantly by taking part",
        "Training changed auc on the held-out rows by +0.2000. 2 of 8 silos hold half of what was given.",
        "silo 0 may ride free It sends nothing. no_update: score 0.9900",
        "Pearson's correlation is \N{MINUS SIGN}0.4000",
        "detector dominance: needs cosines",
        "The record has no round 2.",
        "Not blessed",
    ):
        assert part in text


def test_where_nothing_could_be_computed_the_page_says_so():
    text = words(report_page.render(empty()))
    assert "No silo could be tested for free riding" in text
    assert "What the silos gave could not be computed." in text
    assert "There are no other models to compare with." in text


def sheet_of_first(values):
    return report_page.render_sheet(values, values["silos"][0]["name"])


@pytest.mark.parametrize("render", [report_page.render, sheet_of_first])
def test_hostile_names_are_text_and_never_markup(render):
    hostile, usual = (Page(render(content(names=[name, "b", "c", "d"]))) for name in (HOSTILE, "a"))
    assert hostile.tags == usual.tags
    assert " ".join(HOSTILE.split()) in " ".join(hostile.text.split())


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_name_leaves_the_page_whole(name):
    page = Page(report_page.render(content(names=[name, name + "b", name + "c"])))
    assert page.open == []
    assert page.tags.count("script") == 5


def test_a_sheet_tells_of_one_silo_and_of_no_other(made_up):
    sheet = report_page.render_sheet(made_up, "silo 0")
    assert not any(f"silo {place}" in sheet for place in range(1, 8))
    text = words(sheet)
    assert "silo 0" in text
    assert "May ride free (no_update, score 0.9900). It sends nothing." in text
    # Whose rows they are is another silo's secret.
    assert "May have another silo's rows (duplicates, score 0.9900)." in text
    mine = made_up["silos"][0]["contribution"]
    assert pages.signed(mine["value"]) in text
    changed = copy.deepcopy(made_up)
    for other in changed["silos"][1:]:
        other["rows"] += 1
        other["weight_share"] = 0.2
        other["notes"] = ["is another"]
    assert report_page.render_sheet(changed, "silo 0") == sheet


def test_of_few_silos_a_sheet_shows_no_quartiles():
    few, many = (report_page.render_sheet(content(silos), "silo 0") for silos in (5, 20))
    assert "Half of the silos lie between" not in words(few)
    assert words(many).count("Half of the silos lie between") == 2


def test_a_sheet_of_nobody_is_refused(made_up):
    with pytest.raises(ValueError, match="the report has no silo 'nobody'; it has 8 silos"):
        report_page.render_sheet(made_up, "nobody")


def test_a_page_of_many_silos_stays_small():
    page = report_page.render(content(10_000))
    assert len(page) < len(pages.plotly_script()) + 3_000_000
    assert words(page).count("no significant difference") < 1000


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99}'])
def test_a_broken_report_or_one_of_another_schema_is_refused(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match="run ContributionEvaluator again"):
        contributions.load_report(str(tmp_path))
