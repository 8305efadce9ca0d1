"""A space and a controller that the package has never seen: two files, two YAMLs, no change to it.

They lie in `tests/newcomers` as an example to copy; docs/how-to-add-a-part.md names them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas_lightning.assembly.checks import refuse_nameless
from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.assembly.run import run
from nas_lightning.commands.retrain import rewritten
from nas_lightning.commands.train import resumed
from nas_lightning.errors import UserError
from tests import processes
from tests.given import choosing, composed
from tests.processes import Command
from tests.test_population import find_them

ROOT = Path(__file__).parents[1]
NEWCOMERS = ROOT / "tests" / "newcomers"
SPACES = sorted(path.stem for path in (CONF / "search_space").glob("*.yaml"))


def search(folder: Path, *arguments: str) -> Path:
    ended = subprocess.run(
        [
            *(sys.executable, str(ROOT / "train.py"), "--config-dir", str(NEWCOMERS / "conf")),
            *arguments,
            *("logger=csv", "threads=1", f"hydra.run.dir={folder}"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(NEWCOMERS), str(ROOT)))},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_a_space_and_images_of_ones_own(tmp_path: Path) -> None:
    folder = search(
        tmp_path / "run",
        "search_space=dense",
        "experiment=smoke",
        "controller=hill_climbing",
        "data.source._target_=patterns.Stripes",
    )
    described = json.loads((folder / "data.json").read_text())
    assert described["class names"] == "columns, rows"
    best = json.loads((folder / "best_architecture.json").read_text())
    assert set(best["decisions"]) == {"layer 0 width", "layer 1 width"}
    assert best["metrics"]["parameters"] > 0


def test_a_controller_of_ones_own_learns(tmp_path: Path) -> None:
    """On a space it was not written for: at the end its best is far above uniform's."""
    arguments = (
        *("--config-dir", str(NEWCOMERS / "conf"), "logger=csv", "threads=1", "hydra.run.dir=run"),
        "experiment=pairs",
        "controller=hill_climbing",
        "trainer.max_epochs=2",
        "search.candidates=50",
        "callbacks.hidden_states.architectures=50",
        "callbacks.similarity.architectures=50",
    )
    ended = processes.run(Command(arguments, tmp_path / "here", prepare=find_them))
    assert ended.code == 0, ended
    path = tmp_path / "here/run/checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["state_dict"]["controller.reward"] == 1, "all pairs right"


def test_a_text_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines that know no batch; the loader, its sizes and its checks are the package's."""
    monkeypatch.syspath_prepend(str(NEWCOMERS))
    source = ["data.source._target_=patterns.Counting", "+data.source.highest=6"]
    cfg = composed(*source, "data.batch_size=2")
    none = composed(*source[:1])
    another = composed("data.source._target_=patterns.Stripes")
    unknown = composed(*source, "+data.source.lowest=1")
    long = composed(*source, "data.batch_size=100")
    data = make(cfg, "data")
    assert data.sizes == {"vocabulary_size": 9}  # seven numbers, <eos> and <unk>
    assert data.tokens == {"train": 640, "validation": 80, "test": 80}
    batch = data.train_batch(0)
    assert batch.inputs.shape == (2, 35)
    assert torch.equal(batch.inputs[:, :-8], batch.inputs[:, 8:]), "a line after another"
    with pytest.raises(UserError, match=r"^data\.source: needs 'highest', "):
        make(none, "data")
    with pytest.raises(UserError, match=r"^data\.source=Stripes is not allowed: must be .*text"):
        make(another, "data")
    with pytest.raises(UserError, match=r"^data\.batch_size=100: the training text has 640 "):
        make(long, "data")
    with pytest.raises(UserError, match=r"^data\.source\.lowest: no such key; Counting "):
        make(unknown, "data")


@pytest.mark.parametrize("space_name", [*SPACES, "dense"])
@pytest.mark.parametrize("name", ["hill_climbing", "population"])
def test_the_controllers_follow_every_space(
    name: str, space_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every space of conf/, grown ones included, and in the one beside it."""
    monkeypatch.syspath_prepend(str(NEWCOMERS))
    searched = f"hydra.searchpath=[file://{NEWCOMERS / 'conf'}]"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        asked = [searched, *choosing(space_name), f"controller={name}"]
        cfg = compose("config", overrides=asked)
    space = make(cfg, "search_space")
    controller = make(cfg, "controller", space=space)
    controller.reset_parameters(torch.Generator().manual_seed(0))
    shapes = {name: value.shape for name, value in controller.state_dict().items()}
    for form in (space, space.largest):
        if form is not space:
            controller.enter(form)
            forgotten = next(v for k, v in controller.state_dict().items() if "reward" in k)
            assert (forgotten == -torch.inf).all(), "rewards of smaller networks are forgotten"
        before = {key: value.clone() for key, value in controller.state_dict().items()}
        proposal = controller.ask(50, torch.Generator().manual_seed(1))
        form.validate(proposal.architectures)
        after = controller.state_dict()
        assert all(torch.equal(after[key], value) for key, value in before.items()), "asking"
        controller.tell(proposal, torch.arange(50.0), None, torch.Generator().manual_seed(2))
        kept = controller.best if name == "hill_climbing" else controller.members[-1]
        best = proposal.architectures[-1]
        assert torch.equal(kept[: len(best)], best)
    assert {key: value.shape for key, value in controller.state_dict().items()} == shapes


def test_a_module_that_is_not_found() -> None:
    cfg = OmegaConf.create({"controller": {"_target_": "no_such_file_of_mine.Mine"}})
    with pytest.raises(UserError, match=r"No module named.*PYTHONPATH=FOLDER python train.py"):
        make(cfg, "controller")


@pytest.mark.parametrize(
    "target", ["__main__.Mine", "mine.test.<locals>.Mine", "mine.<lambda>", "__main__.Outer.Mine"]
)
def test_a_part_that_no_other_process_finds(target: str) -> None:
    nested = {"data": {"parts": [{"a": {"_target_": target}}]}}
    with pytest.raises(UserError, match=r"^data\.parts\.0\.a\._target_=.*into a module"):
        refuse_nameless(nested)
    refuse_nameless({"data": {"_target_": "mine.Mine", "path": "__main__.txt"}})


def test_it_is_refused_before_the_search(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"data": {"_target_": "__main__.Mine"}})
    with pytest.raises(UserError, match=r"^data\._target_=__main__\.Mine: "):
        run(cfg, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "FAILED"]
    assert "data._target_=__main__.Mine" in (tmp_path / "run/FAILED").read_text()
    with pytest.raises(UserError, match=r"resume=.*failed before it had begun: data\._target_="):
        resumed([f"resume={tmp_path / 'run'}"])
    with pytest.raises(UserError, match=r"run=.*failed before it had begun: data\._target_="):
        rewritten([f"run={tmp_path / 'run'}"])


def test_they_are_short() -> None:
    most = {
        "dense.py": 60,
        "own_model.py": 60,
        "hill_climbing.py": 60,
        "population.py": 40,
        "bits.py": 30,
        "patterns.py": 20,
    }
    for file, lines in most.items():
        code = [line for line in (NEWCOMERS / file).read_text().splitlines() if line.strip()]
        assert len(code) <= lines, file
