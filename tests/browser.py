"""Pages in a real browser."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
REQUIRED = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is on PATH")

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


def browse(folder, page, steps, framed=False, dark=False):
    """Opens a page, runs the steps in it and returns their value, with problems and requests."""
    page = page.replace("<head>", f"<head>{LISTEN}", 1)
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


# For steps: whether each figure was drawn.
DRAWN = """
const drawn = [...document.querySelectorAll(".plot")].map(plot => plot.querySelector("svg.main-svg") !== null);
const background = element => element.style.background || getComputedStyle(element).backgroundColor;
"""
