"""The first screen beside the one that was looked at, coarsely: a layout that broke is noticed.

Each screenshot is averaged over squares of `SQUARE` pixels, so that another version of the browser
or of a font makes little difference. To look anew and keep what is seen:
`pytest tests/report/test_screenshots.py -m slow` with `KEEP_SCREENSHOTS=1` in the environment.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas_lightning.commands.report import space_of
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.study import read_study
from tests.report.test_in_a_browser import BROWSER
from tests.written_runs import simulate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine"),
]
KEPT = Path(__file__).parent / "screenshots"
SQUARE = 20
TOLERANCE = 6
"""Of 255: mean absolute difference over all squares and colours."""

ARMS = {
    "searcher-1": (-0.040, 0.006),
    "searcher-2": (-0.035, 0.006),
    "searcher-3": (-0.030, 0.010),
    "searcher-4": (-0.012, 0.012),
    "searcher-5": (-0.004, 0.010),
    "searcher-6": (0.0, 0.010),
    "searcher-7": (0.030, 0.008),
}
SIZES = {"phone": (360, 800), "narrow": (600, 1200), "desktop": (1280, 760), "wide": (1920, 900)}
LEAST = 600
"""Of a window; a narrower page stands in a frame."""

PRINTED = """
<script>
dispatchEvent(new Event("beforeprint"));
for (const sheet of document.styleSheets)
  for (const rule of [...sheet.cssRules])
    if (rule.conditionText === "print")
      for (const inner of rule.cssRules) sheet.insertRule(inner.cssText, sheet.cssRules.length);
</script>
"""
"""What is for paper alone, shown on a screen."""


def squares(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Colours, averaged over squares: `(rows, columns, 3)`."""
    small = image.convert("RGB").reduce(SQUARE)
    return np.asarray(small, np.float64)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = simulate(tmp_path_factory.mktemp("page") / "simulated", ARMS, seeds=5)
    study = read_study(folder)
    return write_page(page_of(study, space_of(study.runs[0].config)), folder, markdown=False)[0]


def shot(page: Path, folder: Path, size: str, scheme: str) -> Image.Image:
    """A picture of the page, as a browser draws it."""
    width, height = SIZES[size]
    shown, path = page, folder / "shot.png"
    if scheme == "print":
        shown = folder / "printed.html"
        shown.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{PRINTED}</body>"))
    if width < LEAST:
        frame = f'<body style="margin:0"><iframe src="{shown.as_uri()}" style="border:0" '
        shown = folder / "frame.html"
        shown.write_text(f"{frame}width={width} height={height}></iframe>")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'browser'}", f"--window-size={max(width, LEAST)},{height}",
        f"--blink-settings=preferredColorScheme={int(scheme != 'dark')}",
        f"--screenshot={path}", shown.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    with Image.open(path) as image:
        return image.crop((0, 0, width, height))


@pytest.mark.parametrize(
    ("size", "scheme"),
    [*((size, scheme) for size in SIZES for scheme in ("dark", "light")), ("desktop", "print")],
)
def test_looks_as_it_did(page: Path, tmp_path: Path, size: str, scheme: str) -> None:
    seen = squares(shot(page, tmp_path, size, scheme))
    kept = KEPT / f"{size}-{scheme}.png"
    if "KEEP_SCREENSHOTS" in os.environ:
        kept.parent.mkdir(exist_ok=True)
        Image.fromarray(seen.round().astype(np.uint8)).save(kept)
    with Image.open(kept) as image:
        expected = np.asarray(image, np.float64)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < TOLERANCE
    assert np.abs(seen[:, ::-1] - expected).mean() > TOLERANCE, "another layout would be noticed"
