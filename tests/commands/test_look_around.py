"""`list`, `show` and `doctor`: what there is, what a run has found, what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from nas_lightning import __version__, load
from nas_lightning.assembly.configuration import CONF
from nas_lightning.commands import doctor, show
from nas_lightning.commands.list import GROUPS, listed, said
from nas_lightning.errors import UserError
from tests.written_runs import write_run


@pytest.mark.parametrize("width", [60, 80])
def test_every_option_has_a_line_that_fits(width: int) -> None:
    text = listed([], width)
    assert max(map(len, text.splitlines())) <= width
    for group in GROUPS:
        for file in (CONF / group).glob("*.yaml"):
            assert f"\n  {file.stem}  " in text, file
            assert said(file), f"{file}: no comment at its head"


def test_a_sentence_ends_where_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "# @package _global_\n# Search (Liu et al. 2019) of\n# cells: more. Not this.\n"
    )
    assert said(file) == "Search (Liu et al. 2019) of cells"


def test_some_groups() -> None:
    text = listed(["reward"], 80)
    assert text.startswith("reward: ")
    assert "lstm" not in text
    with pytest.raises(UserError, match="tables: no such group; there are controller"):
        listed(["tables"], 80)


def test_a_run_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", kl=5.0)
    run = load(tmp_path / "run")
    for width in (60, 80):
        console = Console(width=width, no_color=True)
        with console.capture() as caught:
            console.print(show.summary(run))
        text = caught.get()
        assert max(map(len, text.splitlines())) <= width
        words = " ".join(text.replace("│", " ").split())
        assert "state finished" in words
        assert "KL to uniform 5 nats · reward minus uniform's +" in words
        assert "best architecture perplexity" in words
    show.show([str(tmp_path / "run")])
    assert "search on  " in (shown := capsys.readouterr().out)
    assert f"trainer.max_epochs={2 * run.record.epochs}\n" in shown
    with pytest.raises(UserError, match="takes one folder of a run"):
        show.show([])
    with pytest.raises(UserError, match="no such folder"):
        show.show([str(tmp_path / "elsewhere")])


def test_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    (tmp_path / "nas-lightning/mnist").mkdir(parents=True)
    (tmp_path / "nas-lightning/mnist/t10k-labels-idx1-ubyte.gz").touch()
    found = doctor.findings({"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"})
    assert found["nas-lightning"].startswith(__version__)
    assert found["W&B"] == "offline, by WANDB_MODE"
    assert found["processors"].endswith("OMP_NUM_THREADS=1")
    assert found["data mnist"] == f"in {tmp_path / 'nas-lightning/mnist'}"
    assert found["data cifar10"].startswith("downloaded when")


def test_an_extra_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda _: ["torch>=2", "nosuchlibrary>=5; extra == 'optuna'", "rich; extra == 'docs'"],
    )
    said = doctor.extras()
    assert said["optuna"] == "lacks nosuchlibrary: pip install 'nas-lightning[optuna]'"
    assert said["docs"].startswith("rich ")
