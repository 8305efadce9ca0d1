"""Every command in docs/laptop-to-cluster.md composes, and launches with what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas_lightning.assembly.configuration import CONF

PAGE = Path(__file__).parents[2] / "docs/laptop-to-cluster.md"


def searches() -> list[str]:
    """What stands behind every `python train.py` in a block of commands."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("python train.py ") for line in lines if "train.py" in line]


def test_there_are_commands() -> None:
    assert len(searches()) >= 10
    assert any("launcher=slurm" in line for line in searches())
    assert any("executor=ray" in line for line in searches())


@pytest.mark.parametrize("line", searches())
def test_it_composes(line: str) -> None:
    """Every job of it, resolved; a sweep says `-m`."""
    words = shlex.split(line)
    overrides = [word for word in words if not word.startswith("-")]
    sweeps = any(re.search(r"=[^\[]*,", word) for word in overrides)
    assert sweeps == ("-m" in words)
    last = [re.sub(r"=(.*,)", "=", word) for word in overrides]
    first = [re.sub(r"=(.*?),.*", r"=\1", word) for word in overrides]
    for job in (first, last):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", job, return_hydra_config=True)
        for word in job:
            key, _, value = word.partition("=")
            found = OmegaConf.select(cfg, key)
            if not (CONF / key).is_dir() and key != "hydra/launcher":
                assert str(found) == value, word
