"""What the shell's tab key is answered, by each of the ways to call a command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas_lightning import __main__ as program
from tests.processes import Command
from tests.shell import Shell

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("nas-lightning report stu", ["study="]),
        ("nas-lightning cross-evaluate study=x ", ["study=", "architectures="]),
        ("nas-lightning retrain ru", ["run="]),
        ("nas-lightning tune tri", ["trials="]),
        ("nas-lightning doctor ", []),
    ],
)
def test_commands_of_their_own(
    typed: str,
    offered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["nas-lightning", "-sc", "query=bash"])
    monkeypatch.setenv("COMP_LINE", typed)
    program.main()
    out, err = capsys.readouterr()
    assert set(offered) <= set(out.split())
    assert bool(offered) == bool(out.split())
    assert err == ""


@pytest.mark.parametrize(
    ("typed", "offered", "module"),
    [
        ("nas-lightning re", ["report", "retrain", "reward="], "nas_lightning.__main__"),
        ("nas-lightning train controller=lst", ["controller=lstm"], "nas_lightning.__main__"),
        ("nas-lightning controller=lst", ["controller=lstm"], "nas_lightning.__main__"),
        (
            "python train.py search_space=ena",
            ["search_space=enas_rnn"],
            "nas_lightning.commands.train",
        ),
    ],
)
def test_searches(
    typed: str, offered: list[str], module: str, tmp_path: Path, shell: Shell
) -> None:
    """Their arguments are completed by Hydra, as often as they are named in two ways."""
    asked = Command(
        ("-sc", "query=bash"), tmp_path / "here", environment={"COMP_LINE": typed}, module=module
    )
    ended = shell.run(asked)
    assert (ended.code, ended.err) == (0, "")
    assert set(offered) <= set(ended.out.split())


def test_fish_finds_what_it_looks_for() -> None:
    """Hydra's own function for fish completes a script only if this word is in it."""
    assert "@hydra.main" in (ROOT / "train.py").read_text(encoding="utf-8")
