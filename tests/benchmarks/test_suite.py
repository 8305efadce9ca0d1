"""The command `python scripts/benchmark.py`: what it leaves, and what a wrong argument comes to."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks import suite
from benchmarks.measurements import measurements
from benchmarks.numbers import Number, over_rounds

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark.py"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("onl=3", "onl"),
        ("quick=3", "quick=3 is not allowed: must be true or false"),
        ("figure=a.txt", "figure=a.txt is not allowed: must end in .svg or .png"),
        ("only=zz", "only=zz: nothing has this in its name; there are: children, digits"),
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


def test_what_was_measured_is_kept_whatever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table, and the file after every measurement; beside the file of a whole run."""

    def broken(rounds: int) -> list[Number]:
        raise KeyboardInterrupt

    def first(rounds: int) -> list[Number]:
        return [over_rounds("ratio", [1.0, 3.0, 2.0], at_least=2.5, beside={"rounds": rounds})]

    known = {"one: first": first, "one: second": broken}
    monkeypatch.setattr("benchmarks.measurements.measurements", lambda *, quick, figure: known)
    monkeypatch.chdir(tmp_path)
    cfg = OmegaConf.create(suite.SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        suite.measured(cfg)
    whole = json.loads((tmp_path / "outputs/benchmark.json").read_text(encoding="utf-8"))
    (number,) = whole["measured"]["one: first"]
    assert (number["value"], number["met"], number["beside"]) == (2, False, {"rounds": 5})
    suite.measured(OmegaConf.create({**suite.SETTINGS, "only": "first", "quick": True}))
    assert (tmp_path / "outputs/benchmark_part.json").exists()
    out = capsys.readouterr().out
    assert "missed" in out
    assert out.endswith("written outputs/benchmark_part.json\n")


def test_all_measurements_have_a_name_and_no_more_than_one() -> None:
    """None is begun."""
    whole, quick = (measurements(quick=less, figure=Path("growth.svg")) for less in (False, True))
    assert list(whole) == list(quick)
    assert {name.partition(",")[0] for name in whole} == {
        "children",
        "softmax",
        "recurrence",
        "scoring",
        "controller",
        "startup",
        "growth",
        "memory",
        "overhead",
        "beside",
    }
