import html.parser
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import gate, report
from tfx_federated.fairness_evaluator.silo_table import SiloTable, SliceMetrics

HOSTILE = "<script>alert(1)</script>"
TABLE = SiloTable(
    SliceMetrics("", 1112, 505, 0.75, 0.7, None),
    (
        SliceMetrics(HOSTILE, 1000, 450, 0.8, 0.7, 0.7),
        SliceMetrics('O\'Hara & "Söhne"\n', 100, 50, 0.6, 0.65, None),
        SliceMetrics("tiny", 10, 5, 0.1, 0.2, 0.1),
        SliceMetrics("one class", 2, 0, None, None, None),
    ),
)


class Page(html.parser.HTMLParser):
    VOID = {"meta", "link", "img", "br", "hr", "input"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.scripts, self.headers, self.links, self.scopes = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [value for name, value in attributes.items() if name in ("src", "href")]
        if tag == "th":
            self.scopes.append(attributes.get("scope"))
        if tag == "th" and attributes.get("scope") == "row":
            self.headers.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
        if self.open and self.open[-1] == "th" and self.headers:
            self.headers[-1] += data


def content(table=TABLE, rules=()):
    return report.content(table, list(rules), "auc", 50, "/models/1")


def rendered(table=TABLE, rules=()):
    return report.render(content(table, rules), table)


def test_the_json_holds_what_can_be_derived_by_hand():
    values = content(rules=[gate.judge_worst_silo(TABLE, "auc", 0.7, 50)])
    assert values["schema"] == 1
    assert (values["rows"], values["rows_without_silo"], values["overall"]) == (1112, 0, 0.75)
    assert values["worst_silo"] == {"name": 'O\'Hara & "Söhne"\n', "value": 0.6, "rows": 100}
    assert values["mean_over_silos"] == pytest.approx(0.7)
    assert values["blessed"] is False
    assert values["rules"][0]["reason"].endswith("is 0.6000, below 0.7000")
    first, second, tiny, one_class = values["silos"]
    assert first["difference_to_overall"] == pytest.approx(0.05)
    assert first["difference_to_baseline"] == pytest.approx(0.1)
    assert first["gain"] == pytest.approx(0.1)
    assert (second["local"], second["gain"], second["enough_rows"]) == (None, None, True)
    assert tiny["enough_rows"] is False
    assert (one_class["value"], one_class["difference_to_overall"]) == (None, None)
    json.dumps(values, allow_nan=False)


def test_a_hostile_silo_name_is_text_and_never_markup():
    text = rendered(rules=[gate.judge_worst_silo(TABLE, "auc", 0.7, 50), gate.judge_thresholds(False, [HOSTILE])])
    page = Page(text)
    assert HOSTILE not in text
    assert page.tags.count("script") == 1
    assert "alert" not in "".join(page.scripts)
    assert HOSTILE in page.headers


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_any_silo_name_leaves_the_page_whole(name):
    name = name.encode("utf-8", "replace").decode()
    silo = SliceMetrics(name, 100, 50, 0.5, None, None)
    page = Page(rendered(SiloTable(SliceMetrics("", 100, 50, 0.5, None, None), (silo,))))
    assert page.open == []
    assert page.tags.count("script") == 1
    assert page.tags.count("circle") == 1


def test_the_page_loads_nothing_and_is_accessible():
    text = rendered()
    page = Page(text)
    assert page.open == []
    assert page.links == []
    assert "@import" not in text
    assert "url(" not in text
    assert set(page.scopes) <= {"row", "col"}
    assert {"desc", "title", "main", "h1"} <= set(page.tags)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_small_silos_are_marked_and_come_last():
    page = Page(rendered())
    assert page.headers[0] == 'O\'Hara & "Söhne"\n'
    assert page.headers[-2:] == ["tiny", "one class"]
    assert rendered().count("too few rows to say") == 2


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "Not blessed: no rule was given"),
        ([gate.judge_overall(TABLE, "auc", 0.7)], "Blessed: the model passes its rule"),
        ([gate.judge_overall(TABLE, "auc", 0.7)] * 2, "Blessed: the model passes all of its 2 rules"),
        (
            [gate.judge_overall(TABLE, "auc", 0.7), gate.judge_overall(TABLE, "auc", 0.8)],
            "Not blessed: the model fails 1 of 2 rules",
        ),
    ],
)
def test_the_headline_says_the_verdict(rules, words):
    assert words in rendered(rules=rules)


def test_written_reports_are_read_back_and_unknown_schemas_refused(tmp_path):
    values = content()
    report.write(str(tmp_path), values, TABLE)
    assert report.read(str(tmp_path)) == values
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.json"]
    (tmp_path / "report.json").write_text(json.dumps({**values, "schema": 2}))
    with pytest.raises(ValueError, match="schema 2"):
        report.read(str(tmp_path))
    with pytest.raises(ValueError, match="missing or broken"):
        report.read(str(tmp_path / "nowhere"))


def test_a_page_without_any_defined_metric_has_no_plot():
    table = SiloTable(SliceMetrics("", 5, 0, None, None, None), (SliceMetrics("a", 5, 0, None, None, None),))
    assert "svg" not in Page(rendered(table)).tags
