"""Every key of the YAML is used, every target exists, every option composes."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import nn

from nas_lightning.assembly.configuration import ASIDE, CONF

FLAGS = {"_target_", "_partial_", "_convert_", "_recursive_"}
NODES = {
    "data",
    "reward",
    "estimator",
    "controller",
    "memory",
    "executor",
    "callbacks",
    "logger",
    "trainer",
    "search_space",
    "child",
    "search",
    "retrain",
    "reference",
    "second_reference",
}
PLAIN = {"seed", "seeds", "study", "threads", "retrain_with"}
# What `assembly.search` hands over to those who ask for it by name; `data.sizes` comes with it.
OFFERS = {
    "space",
    "child",
    "data",
    "controller",
    "estimator",
    "reward",
    "memory",
    "executor",
    "ledger",
    "metrics",
    "generators",
    "folder",
    "run_config",
    "max_epochs",
}
SIZES = {"vocabulary_size", "num_classes", "channels", "height", "width", "image_size"}


def options() -> list[str]:
    """Every YAML in a group's folder as the override that chooses it; "" for the defaults."""
    chosen = [""]
    for file in sorted(CONF.rglob("*/*.yaml")):
        group, option = file.parent.relative_to(CONF).as_posix(), file.stem
        has_it = "controller=predictor " * (group == "controller/predictor")
        chosen.append(f"{has_it}{group}={option}")
    return chosen


def composed(overrides: str) -> dict[str, Any]:
    """What a run would save: without the nodes that only others read."""
    return {key: node for key, node in resolved(overrides).items() if key not in ASIDE}


def resolved(overrides: str) -> dict[str, Any]:
    return copy.deepcopy(_resolved(overrides))


@functools.cache
def _resolved(overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides.split(), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    wanted = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    plain = OmegaConf.to_container(wanted, resolve=True)
    HydraConfig.instance().cfg = None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def targets(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All nodes with a target, with their full keys."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, inner in node.items():
            yield from targets(inner, f"{key}.{name}".strip("."))


@pytest.mark.parametrize("option", options())
def test_every_key_reaches_a_constructor(option: str) -> None:
    cfg = composed(option)
    assert set(cfg) <= NODES | PLAIN
    assert all("_target_" in (cfg[key] or {}) for key in cfg if key in NODES - {"callbacks"})
    assert all("_target_" in callback for callback in cfg["callbacks"].values())
    for key, node in targets(cfg):
        target = get_object(node["_target_"])
        takes_nothing = getattr(target, "__init__", None) is nn.Module.__init__
        parameters = {} if takes_nothing else inspect.signature(target).parameters
        kinds = {parameter.kind for parameter in parameters.values()}
        given = node.keys() - FLAGS
        assert given <= parameters.keys(), f"{key}: {target} does not take all of {given}"
        ours = target.__module__.startswith("nas_lightning")
        if not ours:
            continue
        assert kinds <= {inspect.Parameter.KEYWORD_ONLY}, f"{key}: not keyword-only"
        for name, parameter in parameters.items():
            assert parameter.default is parameter.empty, f"{key}.{name}: a default beside the YAML"
            assert name in given or name in OFFERS | SIZES, f"{key}.{name}: nobody gives it"


def test_the_walk_sees_nested_nodes() -> None:
    keys = {key for key, _ in targets(composed("controller=lstm"))}
    assert {"search", "controller", "controller.baseline", "controller.optimizer"} <= keys
    assert "callbacks.checkpoint" in keys


@pytest.mark.parametrize(
    "option", [o for o in options() if o.startswith(("experiment=", "search_space="))]
)
def test_global_options_say_nothing_in_vain(option: str) -> None:
    """Each value that the file of a space or an experiment sets is in the configuration."""
    cfg = resolved(option)
    file = CONF / f"{option.replace('=', '/')}.yaml"
    for key, value in leaves(yaml.safe_load(file.read_text())):
        if key.startswith("hydra.") or "${" in str(value):
            continue
        found: Any = cfg
        for part in key.split("."):
            found = found[part]
        # YAML of Python reads 1e-4 as text, Hydra's as a number.
        assert found == value or float(found) == float(value), key


def test_children_are_trained_as_their_space_says() -> None:
    """For a short while as at full budget, and for as long as the budget has it."""
    cells = composed("search_space=enas_rnn estimator=from_scratch")
    assert cells["estimator"]["training"] == {**cells["retrain"], "epochs": 3}
    assert (cells["estimator"]["objective"], cells["estimator"]["copies"]) == ("perplexity", 10)
    images = composed("search_space=nas_cnn")["estimator"]
    assert (images["training"]["learning_rate"], images["training"]["epochs"]) == (0.1, 3)
    assert images["training"]["gradient_clip"] is None
    smoke = composed("experiment=smoke estimator=from_scratch")["estimator"]
    assert smoke["training"]["epochs"] == 1, "an experiment has the last word"


def leaves(node: dict[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        full = f"{key}.{name}".strip(".")
        if full == "defaults":
            continue
        if isinstance(value, dict):
            yield from leaves(value, full)
        else:
            yield full, value


def test_the_package_finds_its_conf() -> None:
    assert (CONF / "config.yaml").is_file()
    assert Path(__file__).parents[2] / "conf" == CONF
