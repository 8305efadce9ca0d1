"""The commands in README.md do what they promise: they are run, at small sizes."""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from processes import Command, train_all

from nas_lightning.data.text_sources import PennTreebank
from nas_lightning.experiment import CONF

ROOT = Path(__file__).parents[1]
NOT_HERE = ("pip install", "pytest", "git clone")


def commands() -> list[str]:
    """The lines of the fenced bash blocks, without those that install something or run tests."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    kept = [block for block in blocks if not any(word in block for word in NOT_HERE)]
    return [line for block in kept for line in block.replace("\\\n", " ").splitlines() if line]


def searches() -> list[list[str]]:
    """The arguments of every `python train.py …`."""
    words = [shlex.split(line, comments=True) for line in commands()]
    return [arguments for _, script, *arguments in filter(None, words) if script == "train.py"]


def sizes(arguments: list[str]) -> list[str]:
    """What `experiment=smoke` would set beside the arguments, which win."""
    plain = [a for a in arguments if not a.startswith("-")]
    chosen = [re.sub(r"=(.*?),.*", r"=\1", a) for a in plain]  # one job of a multirun
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", chosen, return_hydra_config=True)
    estimator = cfg.hydra.runtime.choices.estimator
    given = {argument.partition("=")[0] for argument in plain}
    files = ("smoke.yaml", f"sized/smoke_{estimator}.yaml")
    return [
        f"{key}={value}"
        for file in files
        for key, value in leaves(yaml.safe_load((CONF / "experiment" / file).read_text()))
        if key not in given
    ]


def leaves(node: dict[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        full = f"{key}.{name}".strip(".")
        if isinstance(value, dict):
            yield from leaves(value, full)
        else:
            yield full, value


def write_texts(folder: Path) -> None:
    """The texts that the README speaks of: one of one's own, and one of Penn Treebank's size."""
    folder.mkdir()
    for name, tokens in {"my_text": (9000, 3000, 3000), "ptb": PennTreebank.WORDS}.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for split, count in zip(("train", "valid", "test"), tokens, strict=True):
                words = [f"w{i * i % 997}" for i in range(count - 1)]  # and the end of the line
                archive.writestr(f"{split}.txt", " ".join(words) + "\n")


def run_all(folder: Path, extra: dict[int, list[str]]) -> None:
    write_texts(folder)
    called = [
        Command((*arguments, *extra.get(number, [])), folder)
        for number, arguments in enumerate(searches())
    ]
    for command, ended in zip(called, train_all(called), strict=True):
        assert ended.code == 0, (command, ended)
        assert "search finished" in ended.out


def test_there_are_commands() -> None:
    assert len(searches()) >= 5
    assert len(searches()) == len(commands()), "a command that this test does not run"


@pytest.mark.timeout(600)
def test_shortened(tmp_path: Path) -> None:
    extra = {n: [*sizes(a), "threads=1"] for n, a in enumerate(searches())}
    run_all(tmp_path / "here", extra)


@pytest.mark.slow
@pytest.mark.timeout(10_000)
def test_as_typed(tmp_path: Path) -> None:
    run_all(tmp_path / "here", {})
