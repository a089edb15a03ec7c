"""The page in a real browser."""

import pytest

from tests.browser import DRAWN, REQUIRED, browse
from tfx_federated.fairness_evaluator import report
from tfx_federated.report_pages import colours

from .report_content import HOSTILE, content

pytestmark = REQUIRED


@pytest.mark.parametrize(("framed", "palette"), [(False, colours.LIGHT), (True, colours.DARK)])
def test_hostile_names_are_inert_and_nothing_is_loaded(tmp_path, framed, palette):
    steps = f"""{DRAWN} return {{
      drawn,
      links: document.querySelectorAll("a").length,
      names: texts("#silos tbody th .name"),
      page: getComputedStyle(document.body).backgroundColor,
      figures: [...document.querySelectorAll(".plot svg.main-svg:first-child")].map(background),
    }};"""
    results = browse(tmp_path, report.render(content(hostile=True)), steps, framed, dark=palette is colours.DARK)
    assert results["problems"] == []
    assert results["requests"] == []
    assert results["ran"] is None
    assert results["links"] == 0
    assert set(HOSTILE) <= set(results["names"])
    assert results["drawn"] == [True] * 6
    red, green, blue = (int(palette["page"][place : place + 2], 16) for place in (1, 3, 5))
    assert results["page"] == f"rgb({red}, {green}, {blue})"
    assert results["figures"] == [results["page"]] * 6


def test_ten_thousand_silos_are_sorted_searched_and_paged(tmp_path):
    values = content(10_000)
    steps = f"""{DRAWN}
    const status = () => document.getElementById("status").textContent;
    const column = place => texts(`#silos tbody tr > :nth-child(${{place}})`);
    const results = {{drawn, first: status(), worst: texts("#silos tbody th .name")[0]}};
    const rows = document.querySelectorAll("#silos thead button")[1];
    rows.click();
    results.ascending = [rows.parentElement.getAttribute("aria-sort"), ...column(2).slice(0, 50)];
    rows.click();
    results.descending = [rows.parentElement.getAttribute("aria-sort"), ...column(2).slice(0, 50)];
    results.sorted = document.querySelectorAll("#silos [aria-sort]").length;
    const value = [...document.querySelectorAll("#silos thead button")].find(button => button.textContent === "auc");
    results.few = [0, 1].map(() => {{ value.click(); return document.querySelectorAll("#silos tbody .few").length; }});
    document.getElementById("next").click();
    results.second = status();
    const search = document.getElementById("search");
    search.value = "SILO 0123";
    search.dispatchEvent(new Event("input"));
    results.found = [status(), ...texts("#silos tbody th .name").sort()];
    search.value = "nowhere";
    search.dispatchEvent(new Event("input"));
    results.none = [status(), column(1).length, document.getElementById("next").disabled];
    search.value = "";
    const show = document.getElementById("show");
    show.value = [...show.options].find(option => option.textContent.startsWith("significantly hurt")).value;
    show.dispatchEvent(new Event("change"));
    results.hurt = status();
    return results;"""
    results = browse(tmp_path, report.render(values), steps)
    assert (results["problems"], results["requests"]) == ([], [])
    assert all(results["drawn"])
    assert results["first"] == "1 to 50 of 10,000 silos"
    assert results["worst"] == values["worst_silo"]["name"]
    sizes = sorted(silo["rows"] for silo in values["silos"])
    assert results["ascending"] == ["ascending", *(f"{size:,}" for size in sizes[:50])]
    assert results["descending"] == ["descending", *(f"{size:,}" for size in sizes[:-51:-1])]
    assert results["sorted"] == 1
    # The highest and the lowest values rest on few rows: nothing is claimed about them, and they come last.
    by_value = sorted(values["silos"], key=lambda silo: silo["value"])
    assert by_value[0]["evidence"] == by_value[-1]["evidence"] == "too_few_rows"
    assert results["few"] == [0, 0]
    assert results["second"] == "51 to 100 of 10,000 silos"
    assert results["found"] == ["1 to 10 of 10 silos", *(f"silo 0123{digit}" for digit in range(10))]
    assert results["none"] == ["No silo matches.", 0, True]
    hurt = values["comparisons"][0]["significantly_hurt"]
    assert results["hurt"].endswith(f" of {hurt:,} silos")
