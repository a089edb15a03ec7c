"""The pages in a real browser."""

import pytest

from tests.browser import DRAWN, REQUIRED, browse
from tests.tfx_federated.contribution_evaluator.report_content import HOSTILE, content
from tfx_federated.contribution_evaluator import report_page

pytestmark = REQUIRED


@pytest.mark.parametrize("framed", [False, True])
def test_hostile_names_are_inert_and_nothing_is_loaded(tmp_path, framed):
    values = content(names=[HOSTILE, "b", "c", "d", "e", "f"])
    steps = f"{DRAWN} return {{drawn, names: texts('#silos tbody th .name')}};"
    results = browse(tmp_path, report_page.render(values), steps, framed, dark=framed)
    assert (results["problems"], results["requests"], results["ran"]) == ([], [], None)
    assert HOSTILE in results["names"]
    # Gave, by round, got, balance, and two findings.
    assert results["drawn"] == [True] * 6


def test_a_sheet_draws_its_rounds_and_loads_nothing(tmp_path):
    sheet = report_page.render_sheet(content(names=[HOSTILE, "b", "c"]), HOSTILE)
    results = browse(tmp_path, sheet, f"{DRAWN} return {{drawn, heading: texts('h1')[0]}};")
    assert (results["problems"], results["requests"], results["ran"]) == ([], [], None)
    assert (results["drawn"], results["heading"]) == ([True], HOSTILE)


def test_ten_thousand_silos_are_sorted_searched_and_filtered(tmp_path):
    steps = f"""{DRAWN}
    const status = () => document.getElementById("status").textContent;
    const column = place => texts(`#silos tbody tr > :nth-child(${{place}})`);
    const results = {{drawn, first: status(), gave: column(4)}};
    const rows = [...document.querySelectorAll("#silos thead button")].find(button => button.textContent === "Rows");
    rows.click();
    results.ascending = column(2).slice(0, 3);
    rows.click();
    results.descending = column(2).slice(0, 3);
    const show = document.getElementById("show");
    show.value = "found";
    show.dispatchEvent(new Event("change"));
    results.found = texts("#silos tbody th .name");
    show.value = [...show.options].find(option => option.textContent.startsWith("significantly hurt")).value;
    show.dispatchEvent(new Event("change"));
    results.hurt = status();
    return results;"""
    values = content(10_000)
    results = browse(tmp_path, report_page.render(values), steps)
    assert (results["problems"], results["requests"]) == ([], [])
    assert all(results["drawn"])
    assert results["first"] == "1 to 50 of 10,000 silos"
    gave = [float(text.replace("\N{MINUS SIGN}", "-")) for text in results["gave"]]
    assert gave == sorted(gave, reverse=True)
    assert results["ascending"] == ["10", "20", "30"]
    assert results["descending"] == ["100,000", "99,990", "99,980"]
    assert results["found"] == ["silo 0"]
    hurt = sum(silo["gains"]["federated"]["verdict"] == "significantly hurt" for silo in values["silos"])
    assert results["hurt"] == f"1 to 50 of {hurt:,} silos"
