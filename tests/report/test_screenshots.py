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
SIZES = {"desktop": (1280, 760), "narrow": (600, 1200)}


def squares(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Colours, averaged over squares: `(rows, columns, 3)`."""
    small = image.convert("RGB").reduce(SQUARE)
    return np.asarray(small, np.float64)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = simulate(tmp_path_factory.mktemp("page") / "simulated", ARMS, seeds=5)
    study = read_study(folder)
    return write_page(page_of(study, space_of(study.runs[0].config)), folder, markdown=False)[0]


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", list(SIZES))
def test_looks_as_it_did(page: Path, tmp_path: Path, size: str, scheme: str) -> None:
    width, height = SIZES[size]
    shot = tmp_path / "shot.png"
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'browser'}", f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}",
        f"--screenshot={shot}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    with Image.open(shot) as image:
        seen = squares(image)
    kept = KEPT / f"{size}-{scheme}.png"
    if "KEEP_SCREENSHOTS" in os.environ:
        kept.parent.mkdir(exist_ok=True)
        Image.fromarray(seen.round().astype(np.uint8)).save(kept)
    with Image.open(kept) as image:
        expected = np.asarray(image, np.float64)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < TOLERANCE
    assert np.abs(seen[:, ::-1] - expected).mean() > TOLERANCE, "another layout would be noticed"
