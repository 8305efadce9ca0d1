"""The command `python scripts/benchmark.py`: what it leaves, and what a wrong argument comes to."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks import compare, suite
from benchmarks.measurements import LENGTHY, measurements
from benchmarks.numbers import over_rounds
from benchmarks.row import Row, Task, measured
from nas_lightning.files import to_json

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark.py"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("onl=3", "onl"),
        ("quick=3", "quick=3 is not allowed: must be true or false"),
        ("figure=a.txt", "figure=a.txt is not allowed: must end in .svg or .png"),
        ("anew=1", "anew=1 is not allowed: must be true or false"),
        ("limit=0", "limit=0 is not allowed: must be seconds > 0"),
        ("compare=a", "compare=a is not allowed: must be two commits, compare=A,B"),
        ("compare=--help,HEAD", "compare=--help,HEAD: git knows no commit --help here"),
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


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a command that has the rows of `tiny_rows`, at a commit of its own."""
    monkeypatch.setattr(suite, "MODULE", "tests.benchmarks.tiny_rows")
    monkeypatch.setattr("nas_lightning.runs.stretches.commit", lambda: "abc")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def benchmark(**settings: object) -> None:
    suite.benchmark(OmegaConf.create({**suite.SETTINGS, **settings}))


def test_no_row_is_lost_by_another(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Some crash or lack their data; the others are measured, and the exit code says it.

    A second start measures what has failed, and nothing else.
    """
    with pytest.raises(SystemExit) as ended:
        benchmark(only="one", output="outputs/benchmark.json")
    assert ended.value.code == 1
    found = json.loads((tiny / "outputs/benchmark.json").read_text(encoding="utf-8"))
    assert {name: row["failed"] for name, row in found["measured"].items()} == {
        "one: first": "",
        "one: raises": "exit code 1: nas_lightning.errors.UserError: data.path=x: no such data set",
        "one: crashes": "exit code 3: it says why",
        "one: is killed": "killed by signal 9",
        "one: last": "",
    }
    (number,) = found["measured"]["one: last"]["numbers"]
    assert (number["value"], number["met"], number["beside"]) == (2, False, {"rounds": 5})
    assert found["measured"]["one: last"]["noise"] >= 1
    out = capsys.readouterr().out
    assert "no such data set" in out
    assert out.endswith("3 of 5 rows failed: one: raises; one: crashes; one: is killed\n")

    with pytest.raises(SystemExit):
        benchmark(only="one", limit=1, output="outputs/benchmark.json")
    assert "2 of 5 rows are in outputs/benchmark.json" in capsys.readouterr().out


def test_a_row_has_a_limit() -> None:
    module = "tests.benchmarks.tiny_rows"
    task = Task(module=module, name="hangs", quick=True, rounds=1, figure="f.svg")
    assert measured(task, limit=1).failed == "stopped after 1 s, its limit"


@pytest.mark.slow
def test_a_second_start_goes_on(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But not of another commit, with other settings, or where files differ from the commit."""

    def is_measured(**settings: object) -> bool:
        benchmark(only="first", output="rows.json", **settings)
        return "one: first, ratio: 2" in capsys.readouterr().err

    assert is_measured()
    assert not is_measured()
    assert is_measured(anew=True)
    assert is_measured(quick=True)
    assert not is_measured(quick=True)
    monkeypatch.setattr("nas_lightning.runs.stretches.commit", lambda: "abc-dirty")
    assert is_measured(quick=True)
    assert is_measured(quick=True)


def test_what_is_no_number_is_read_back() -> None:
    row = Row(numbers=[over_rounds("ratio", [float("nan")], beside={"s": 1})], reference=[2, 3])
    again = Row.from_json(json.loads(to_json(row.as_json())))
    assert repr(again) == repr(row)
    assert again.noise == 1.5


def test_two_commits_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every number the second over the first, round by round."""
    found = iter([(8, "b"), (2, "a"), (3, "a"), (9, "b"), (12, "b"), (4, "a")])

    def one(task: Task, *, limit: float, program: Path) -> Row:
        value, side = next(found)
        assert (program, task.rounds) == (Path(side), 1)
        return Row(numbers=[over_rounds("ratio", [value], beside={"s": 1})], reference=[value])

    monkeypatch.setattr(compare, "measured", one)
    task = Task(module="m", name="n", quick=True, rounds=3, figure="f.svg")
    row = compare.side_by_side(task, [Path("a"), Path("b")], limit=1)
    ratio, seconds = row.numbers
    assert (ratio.what, ratio.lowest, ratio.value, ratio.highest) == ("ratio, B over A", 3, 3, 4)
    assert (ratio.beside, row.noise) == ({"A": 3, "B": 9}, 6)
    assert (seconds.what, seconds.value) == ("ratio, s, B over A", 1)


def test_each_commit_has_its_own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the working directory."""
    for name in ("nas_lightning", "a/nas_lightning"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(__file__)")
    monkeypatch.chdir(tmp_path)
    task = Task(module="tests.benchmarks.tiny_rows", name="", quick=True, rounds=1, figure="f.svg")
    row = measured(task, limit=60, program=tmp_path / "a")
    assert row.failed == f"exit code 1: {tmp_path}/a/nas_lightning/__init__.py"


def test_all_measurements_have_a_name_and_no_more_than_one() -> None:
    """None is begun."""
    whole, quick = (measurements(quick=less, figure=Path("growth.svg")) for less in (False, True))
    assert [name for name in whole if name not in LENGTHY] == list(quick)
    assert set(LENGTHY) < set(whole)
    assert {name.partition(",")[0] for name in whole} == {
        "children",
        "softmax",
        "recurrence",
        "threads",
        "scoring",
        "controller",
        "startup",
        "growth",
        "memory",
        "long",
        "overhead",
        "beside",
    }
