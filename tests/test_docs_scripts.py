"""Every `python scripts/…` and `nas-lightning COMMAND` of the documentation can be read.

What the commands do is tested in `tests/commands`. Here their own readers of arguments are given
what stands in the pages, so that no page names a key or an option that is not there.
`tests/test_docs.py` composes the searches.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.retraining import full_budget
from nas_lightning.assembly.trainer_arguments import check_retraining
from nas_lightning.commands.ground_truth import SETTINGS
from nas_lightning.commands.list import listed
from nas_lightning.commands.report import arguments
from nas_lightning.commands.script import given
from nas_lightning.commands.tune import parted
from nas_lightning.errors import UserError
from tests.test_docs import REMARK, commands

CALLED = re.compile(r"(?:python scripts/(\w+)\.py|nas-lightning ([a-z]+(?:-[a-z]+)*)(?= |$)) ?(.*)")

ALONE = ("additivity", "benchmark", "doctor", "ground_truth", "list")
"""Commands that need no argument; of others the name alone is a mention."""


def scripts() -> list[tuple[str, str]]:
    """Name and arguments of every command but a search."""
    found = [CALLED.search(REMARK.split(line)[0]) for _, line in commands()]
    named = [((m[1] or m[2]).replace("-", "_"), m[3]) for m in found if m]
    return sorted({(name, line) for name, line in named if line or name in ALONE})


def composed(words: list[str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose("config", [word for word in words if "…" not in word])


@pytest.fixture(scope="module")
def retraining(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """A run's configuration, as a retraining has it."""
    folder = tmp_path_factory.mktemp("run")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(compose("config")))
    return full_budget(folder / "config.yaml")


def retrains(words: list[str], known: DictConfig) -> None:
    """`run=RUN`, and keys that there are."""
    overrides = [w for w in words if not w.startswith(("-m", "run=", "architecture="))]
    check_retraining(overrides)
    for key in (override.partition("=")[0] for override in overrides):
        OmegaConf.update(known, key, None)  # of a key that is not there an error


def reports(words: list[str], folder: Path) -> None:
    """One folder or two."""
    names = [word for word in words if "=" not in word]
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    assert len(arguments([str(folder / name) for name in names])[0]) == len(names)


def trains_all(words: list[str]) -> None:
    """Keys of its own, the others a search's."""
    own = [word for word in words if word.partition("=")[0] in SETTINGS]
    given(own, SETTINGS)
    composed(["experiment=ground_truth", *(word for word in words if word not in own)])


def one_folder(words: list[str]) -> None:
    assert len(words) == 1
    assert "=" not in words[0]


READERS: dict[str, Callable[[list[str]], object]] = {
    "additivity": lambda words: composed(["experiment=table", *words]),
    "doctor": lambda words: pytest.fail("it takes no arguments") if words else None,
    "ground_truth": trains_all,
    "list": lambda words: listed(words, 80),
    "show": one_folder,
    "tune": lambda words: parted([word for word in words if "…" not in word]),
}
"""Of the commands that are not `script`."""


@pytest.mark.parametrize(("name", "line"), scripts())
def test_it_is_read(
    name: str,
    line: str,
    retraining: DictConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [word for word in shlex.split(line) if word != "…"]
    if name == "retrain":
        retrains(words, retraining)
    elif name == "report":
        reports(words, tmp_path)
    elif name in READERS:
        READERS[name](words)
    else:
        place = "benchmarks.suite" if name == "benchmark" else f"nas_lightning.commands.{name}"
        module = import_module(place)
        monkeypatch.setattr(module, "script", lambda _, known: given(sys.argv[1:], known))
        monkeypatch.setattr(sys, "argv", [name, *words])
        module.main()


def test_what_is_wrong_is_seen(retraining: DictConfig) -> None:
    """The readers refuse what there is not."""
    assert len(scripts()) > 30
    with pytest.raises(UserError, match="no such key"):
        given(["outputs=x"], SETTINGS)
    with pytest.raises((ConfigKeyError, ConfigAttributeError)):
        retrains(["run=RUN", "retrain.rate=1"], retraining)
