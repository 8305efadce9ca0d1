"""Published architectures: read as ones of their space, and retrained by the settings of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from nas_lightning.assembly.retraining import retrain
from nas_lightning.commands.retrain import rewritten
from nas_lightning.errors import UserError
from nas_lightning.search_spaces.darts_rnn import DartsCellSpace
from nas_lightning.search_spaces.published import PUBLISHED, published
from tests.assembly.test_conf import composed

SMALL = (
    "search_space=darts_rnn budget=smoke controller=random child.hidden_size=4 data.batch_size=64 "
    "retrain.epochs=1"
)
V1 = [1, 5, 8, 13, 17, 7, 21, 5]
"""A number is 4 times the state read, plus the place of its operation."""


def space_of(operations: list[str]) -> DartsCellSpace:
    return DartsCellSpace(num_nodes=8, operations=operations, none=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a configuration, and nothing found yet."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(composed(SMALL)))
    return tmp_path


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_published_cell_is_one_of_the_space(name: str, turned: bool) -> None:
    space = space_of(["tanh", "relu", "sigmoid", "identity"][:: -1 if turned else 1])
    actions = published(name, space)
    space.check(actions)
    content = json.loads(PUBLISHED[name].read_text())
    assert space.describe(actions) == content["decisions"]
    assert "quark0/darts" in content["source"]


def test_the_first_order_cell_is_that_of_the_paper() -> None:
    assert published("darts_v1", space_of(["tanh", "relu", "sigmoid", "identity"])) == V1


def test_they_are_two_cells() -> None:
    space = space_of(["tanh", "relu", "sigmoid", "identity"])
    first, second = (space.canonical(published(name, space)) for name in ("darts_v1", "darts_v2"))
    assert first != second


def test_a_space_without_its_operations_refuses_it() -> None:
    with pytest.raises(ValueError, match=r"^architecture=.*darts_v2.* must be one of the space"):
        published("darts_v2", space_of(["tanh", "relu"]))


def test_it_is_trained_by_the_settings_of_a_run(run: Path) -> None:
    arguments = rewritten([f"run={run}", "architecture=darts_v1"])
    assert f"+architecture={V1}".replace(" ", "") in arguments
    assert not any(a.startswith(("run=", "architecture=")) for a in arguments)
    folder = run / "retrain_darts_v1"
    assert f"--config-path={folder}" in arguments
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, type(OmegaConf.create()))
    config.architecture = V1
    retrain(config, folder / "job")
    result = json.loads((folder / "job/retrained.json").read_text())
    assert result["decisions"]["node 6"] == "1 identity"
    assert torch.isfinite(torch.tensor(result["networks"]["architecture"]["validation"]["loss"]))


def test_alone_it_has_no_settings(run: Path) -> None:
    with pytest.raises(UserError, match="for its settings, architecture=darts_v1 or darts_v2"):
        rewritten(["architecture=darts_v1"])
    with pytest.raises(UserError, match=r"no run there, whose config\.yaml says how darts_v1"):
        rewritten([f"run={run / 'nowhere'}", "architecture=darts_v1"])


def test_of_another_space_it_is_refused_in_a_line(run: Path) -> None:
    config = composed(f"{SMALL} search_space.num_nodes=3")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError) as refused:
        rewritten([f"run={run}", "architecture=darts_v1"])
    assert "darts_v1" in str(refused.value)
    assert "\n" not in str(refused.value)
