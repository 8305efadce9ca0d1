"""The page in a real browser, where there is one: it sorts, shows its figures, and complains not.

A script that is added to a copy of the page does what a reader would, and tells what it saw to the
page around it, a frame as wide as a screen (a window cannot be as narrow as a phone), which the
browser prints.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands.report import space_of
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.study import read_study
from tests.written_runs import write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

LOOK = """
<script>
const column = (n) => [...document.querySelectorAll("table.sortable")[0].tBodies[0].rows]
  .map((row) => row.children[n].textContent);
const heads = [...document.querySelectorAll("table.sortable")[0].querySelectorAll("th")];
const wanted = heads.findIndex((head) => head.textContent.startsWith("perplexity"));
const seen = { before: column(wanted) };
heads[wanted].querySelector("button").click();
seen.ascending = column(wanted);
heads[wanted].querySelector("button").click();
seen.descending = column(wanted);
seen.sorted = heads[wanted].getAttribute("aria-sort");
const boxes = [...document.querySelectorAll("figure svg, figure img")];
seen.figures = boxes.map((box) => box.getBoundingClientRect()).map((r) => [r.width, r.height]);
seen.loaded = [...document.images].every((image) => image.naturalWidth > 0);
const [root, body] = [document.documentElement, getComputedStyle(document.body)];
seen.width = innerWidth;
seen.overflow = root.scrollWidth - root.clientWidth;
seen.colours = [body.color, body.backgroundColor];
parent.postMessage(JSON.stringify(seen), "*");
</script>
"""
FRAME = """
<pre id="seen"></pre>
<script>
addEventListener("message", (told) => {
  document.getElementById("seen").textContent = told.data;
});
</script>
<iframe src="copy.html" style="width:%dpx;height:800px"></iframe>
"""


def looked_at(
    page: Path, *flags: str, width: int = 1000, script: str = LOOK
) -> tuple[dict[str, Any], list[str]]:
    """What the script saw, and what the page said on the browser's console."""
    copy = page.with_name("copy.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME % width)
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={page.parent / 'browser'}", *flags, "--dump-dom",
        "--virtual-time-budget=5000", frame.as_uri(),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.+?)</pre>', ended.stdout, re.DOTALL)
    said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])) if found else {}, said


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "study")
    study = read_study(folder)
    return write_page(page_of(study, space_of(study.runs[0].config)), folder, markdown=False)[0]


def test_sorts_and_shows_its_figures(page: Path) -> None:
    seen, said = looked_at(page)
    assert said == []
    assert seen["ascending"] == ["40", "45"]
    assert seen["descending"] == ["45", "40"]
    assert seen["sorted"] == "descending"
    assert seen["loaded"]
    assert len(seen["figures"]) > 5
    assert all(width > 100 and height > 50 for width, height in seen["figures"])


@pytest.mark.slow
def test_on_a_phone_and_in_the_dark(page: Path) -> None:
    dark, light = (
        "--blink-settings=preferredColorScheme=0",
        "--blink-settings=preferredColorScheme=1",
    )
    bright = {}
    for width in (390, 1280):
        for scheme in (dark, light):
            seen, said = looked_at(page, scheme, width=width)
            assert said == []
            assert seen["width"] == width
            assert seen["overflow"] <= 0, "the page itself scrolls sideways"
            text, paper = (sum(map(int, re.findall(r"\d+", c)[:3])) for c in seen["colours"])
            bright[scheme] = paper > text
    assert bright == {dark: False, light: True}


@pytest.mark.slow
def test_the_console_is_heard(page: Path) -> None:
    """What the tests above would not hear, they could not refuse."""
    _, said = looked_at(page, script="<script>nothing.of.this()</script>")
    assert any("nothing is not defined" in line for line in said)
