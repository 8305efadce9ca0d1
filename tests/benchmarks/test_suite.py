"""The command `python scripts/benchmark.py`: what a wrong argument comes to."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark.py"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("onl=3", "onl"),
        ("quick=3", "quick=3 is not allowed: must be true or false"),
        ("figure=a.txt", "figure=a.txt is not allowed: must end in .svg or .png"),
        ("only=zz", "only=zz: nothing has this in its name; there are: children: digits"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(
    argument: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), argument])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
