"""What many tests are given: what conf/ composes to, and what spaces without a model need."""

from __future__ import annotations

import copy
import functools

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas_lightning.assembly.configuration import CONF

GIVEN = {
    "nas_bench_201": [
        "data=digits",
        "child.filters=4",
        "child.cells=1",
    ],  # whose cells have a table
    "modules": ["search_space.model=tests.newcomers.own_model.Net"],
    "function": [
        "search_space.build=tests.newcomers.own_model.build",
        "search_space.decisions={width:[4,8],first:[1,3],second:[1,3]}",
    ],
}


def choosing(space: str) -> list[str]:
    """The arguments that choose a search space and make it a whole."""
    return [f"search_space={space}", *GIVEN.get(space, [])]


def composed(*overrides: str) -> DictConfig:
    """What conf/ composes to, one's own to change; the first time takes a tenth of a second."""
    return copy.deepcopy(_composed(overrides))


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))
