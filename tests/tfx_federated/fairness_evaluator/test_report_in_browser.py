"""The page in a real browser."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from tfx_federated.fairness_evaluator import figures, report

from .report_content import HOSTILE, content

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is on PATH")

# Before the page: what goes wrong. After it: `steps`, whose value is handed out; KFP shows the page in such a frame.
LISTEN = """<script>
const problems = [];
addEventListener("error", event => problems.push(String(event.message)), true);
addEventListener("unhandledrejection", event => problems.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => problems.push(`${event.violatedDirective} ${event.blockedURI}`));
for (const level of ["error", "warn"]) console[level] = (...values) => problems.push(values.join(" "));
const texts = (selector) => [...document.querySelectorAll(selector)].map(element => element.textContent);
</script>"""
ACT = """<script>
(async () => {
  const results = await (async () => { STEPS })();
  const requests = performance.getEntriesByType("resource").map(entry => entry.name);
  const text = JSON.stringify({...results, problems, requests, ran: window.ran ?? null});
  const out = Object.assign(document.createElement("pre"), {id: "out", textContent: text});
  if (parent === window) document.body.append(out); else parent.postMessage(text, "*");
})();
</script>"""
FRAME = """<!doctype html><iframe sandbox="allow-scripts" style="width:1100px;height:800px" srcdoc="PAGE"></iframe>
<script>addEventListener("message", event => {
  document.body.append(Object.assign(document.createElement("pre"), {id: "out", textContent: event.data}));
});</script>"""


def browse(folder, values, steps, framed=False, dark=False):
    """Opens the page of a content, runs the steps in it and returns their value, with problems and requests."""
    page = report.render(values).replace("<head>", f"<head>{LISTEN}", 1)
    before, end, after = page.rpartition("</body>")
    page = before + ACT.replace("STEPS", steps) + end + after
    file = folder / "page.html"
    file.write_text(FRAME.replace("PAGE", html.escape(page)) if framed else page, encoding="utf-8")
    command = [
        BROWSER,
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}/profile",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--window-size=1200,900",
        "--virtual-time-budget=5000",
        "--dump-dom",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert found, done.stderr.decode()[-2000:]
    return json.loads(html.unescape(found[1]))


DRAWN = """
const drawn = [...document.querySelectorAll(".plot")].map(plot => plot.querySelector("svg.main-svg") !== null);
const background = element => element.style.background || getComputedStyle(element).backgroundColor;
"""


@pytest.mark.parametrize(("framed", "colours"), [(False, figures.LIGHT), (True, figures.DARK)])
def test_hostile_names_are_inert_and_nothing_is_loaded(tmp_path, framed, colours):
    steps = f"""{DRAWN} return {{
      drawn,
      links: document.querySelectorAll("a").length,
      names: texts("#silos tbody th .name"),
      page: getComputedStyle(document.body).backgroundColor,
      figures: [...document.querySelectorAll(".plot svg.main-svg:first-child")].map(background),
    }};"""
    results = browse(tmp_path, content(hostile=True), steps, framed, dark=colours is figures.DARK)
    assert results["problems"] == []
    assert results["requests"] == []
    assert results["ran"] is None
    assert results["links"] == 0
    assert set(HOSTILE) <= set(results["names"])
    assert results["drawn"] == [True] * 6
    red, green, blue = (int(colours["page"][place : place + 2], 16) for place in (1, 3, 5))
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
    results = browse(tmp_path, values, steps)
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
