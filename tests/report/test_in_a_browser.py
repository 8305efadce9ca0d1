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
from xml.etree import ElementTree

import pytest

from nas_lightning.commands.report import space_of
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.study import read_study
from tests.written_runs import simulate, write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

LOOK = """
<script>
const column = (n) => [...document.querySelector("#ledger table").tBodies[0].rows]
  .map((row) => row.children[n].textContent);
const heads = [...document.querySelector("#ledger table").querySelectorAll("th")];
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


USE = """
<script>
const seen = {};
const figure = document.querySelector("#course figure");
const mark = figure.querySelector("[data-marks] use:not(defs *)");
const place = mark.getBoundingClientRect();
const at = [place.x + place.width / 2, place.y + place.height / 2];
mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, clientX: at[0] }));
seen.tip = [tip.hidden, tip.textContent];
figure.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
seen.left = tip.hidden;
seen.csv = lines(figure.querySelector("svg"));
seen.cells = cells('"a, ""b"" c",1,2.5');
seen.saved = drawing(figure.querySelector("svg"));
seen.buttons = [...figure.querySelectorAll(".save button")].map((b) => b.textContent);
seen.labels = all("button").filter((b) => !(b.getAttribute("aria-label") || b.textContent)).length;
const shown = () => all('#course svg [style*="#2f7fd1"]').filter((e) => e.getClientRects().length);
seen.drawn = [shown().length];
const [button] = all('.legend [data-colour="#2f7fd1"]');
button.click();
seen.drawn.push(shown().length);
seen.pressed = all('.legend [data-colour="#2f7fd1"]').map((b) => b.getAttribute("aria-pressed"));
button.click();
seen.drawn.push(shown().length);
parent.postMessage(JSON.stringify(seen), "*");
</script>
"""


@pytest.mark.slow
def test_pointing_switching_off_and_saving(page: Path) -> None:
    seen, said = looked_at(page, script=USE)
    assert said == []
    assert seen["tip"] == [False, "lstm · controller step 0 · middle 1 · smallest 1 · largest 1"]
    assert seen["left"]
    assert seen["csv"][0] == "name,controller step,middle,smallest,largest"
    assert seen["csv"][1] == "lstm,0,1,1,1"
    assert len(seen["csv"]) == 1 + 2 * 3
    assert seen["cells"] == ['a, "b" c', "1", "2.5"]
    saved = ElementTree.fromstring(seen["saved"])
    assert saved.tag == "{http://www.w3.org/2000/svg}svg"
    assert seen["buttons"] == ["SVG", "CSV"]
    assert seen["labels"] == 0
    whole, off, again = seen["drawn"]
    assert (off, again) == (0, whole)
    assert whole > 0
    assert set(seen["pressed"]) == {"false"}


CONTRAST = """
<script>
const channel = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
const light = (c) => c.match(/[0-9.]+/g).slice(0, 3).map(Number).map(channel)
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
for (const details of all("details")) details.open = true;
const [low, clipped] = [[], []];
for (const e of all("body *:not(svg *, script, style)")) {
  const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!text || !e.getClientRects().length) continue;
  const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort();
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) low.push([e.textContent, ratio]);
}
for (const text of all("figure svg text")) {
  const [t, box] = [text, text.closest("figure")].map((e) => e.getBoundingClientRect());
  if (t.left < box.left || t.right > box.right + 1) clipped.push(text.textContent);
}
const [root, answer] = [document.documentElement, document.querySelector(".alike")];
parent.postMessage(JSON.stringify({ low, clipped, overflow: root.scrollWidth - root.clientWidth,
  answer: answer.getBoundingClientRect().bottom }), "*");
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_is_clipped_or_pale(tmp_path: Path, width: int) -> None:
    """Contrast of 4.5 in light and dark; the answer of eight arms is in the first screen."""
    arms = {"replay": (-0.04, 0.006), "late": (0.0, 0.01), "metric": (0.03, 0.008)}
    arms |= {f"searcher-{n}": (-0.01 * n, 0.01) for n in range(4)}
    study = read_study(simulate(tmp_path, arms, seeds=5))
    space = space_of(study.runs[0].config)
    (page,) = write_page(page_of(study, space), tmp_path, markdown=False)
    assert page.stat().st_size < 2_000_000
    for scheme in (0, 1):
        flag = f"--blink-settings=preferredColorScheme={scheme}"
        seen, said = looked_at(page, flag, width=width, script=CONTRAST)
        assert said == []
        assert seen["low"] == []
        assert seen["clipped"] == []
        assert seen["overflow"] <= 0
    if width >= 1280:
        closed, _ = looked_at(page, width=width, script=CONTRAST.replace("details.open = true", ""))
        assert closed["answer"] < 720


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
