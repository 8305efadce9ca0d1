"""What the runs of a study are compared by, and whether they can be compared at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas_lightning.errors import UserError
from nas_lightning.runs import stretches
from nas_lightning.runs.config import at, differences
from nas_lightning.runs.folder import LONGEST_NAME
from nas_lightning.terminal import called, words

SHARED = ("search_space", "data")
"""What must be the same for numbers of two runs to stand side by side."""

NOT_AN_ARM = (
    "seed",
    "seeds",
    "study",
    "threads",
    "logger",
    "executor",
    "callbacks",
    "trainer",
    "hydra",
)
"""What two runs of one arm may differ in."""

SEED = re.compile(r"(?:^|,)seed=(\d+)")
HASH = re.compile(r"-[0-9a-f]{8}$")


def refuse_mixed(configs: Mapping[Path, Mapping[str, Any]], nodes: Sequence[str] = SHARED) -> None:
    """Raise UserError if the runs are not of one search space and one data set.

    Args:
        configs: Of the runs.
        nodes: What must be the same.
    """
    (first, one), *others = configs.items()
    for path, other in others:
        for node in nodes:
            for key, old, new in differences(one.get(node), other.get(node), node):
                of_spaces = f"; what can be compared is on the page of {called('report', 'STUDY')}"
                raise UserError(
                    f"{key}={new}: {path.name} has it, but {first.name} has {key}={old}; numbers "
                    "of different search spaces or data do not compare: put the runs of each into "
                    "a folder of their own, or give one run's folder"
                    + of_spaces
                    * (node == "search_space")
                )
        for split, old, new in differences(_data(first), _data(path)):
            if old is not None and new is not None:
                raise UserError(
                    f"{path.name}: its {split} data are {new}, those of {first.name} {old}; they "
                    "were altered in between, and numbers do not compare: put the runs of each "
                    "into a folder of their own, or give one run's folder"
                )


def _data(run: Path) -> Mapping[str, str]:
    """The fingerprint of what a run was searched on, as far as that is known."""
    known, _ = stretches.read(run)
    return (known[-1].data if known else None) or {}


def named_by_folder(folders: Iterable[Path]) -> dict[Path, tuple[str, int]]:
    """Arm and seed of those folders whose names have a `seed=N`; none if a name was cut.

    A name that was cut may have lost the seed, or a digit of it.
    """
    folders = sorted(folders)
    if any(len(HASH.sub("", folder.name)) >= LONGEST_NAME for folder in folders):
        return {}
    found = [
        (folder, int(named[1]), HASH.sub("", SEED.sub("", folder.name)).strip(",").split(","))
        for folder in folders
        if (named := SEED.search(folder.name))
    ]
    shared = set.intersection(*(set(settings) for _, _, settings in found)) if found else set()
    return {
        folder: (_arm([s for s in settings if s not in shared] or settings), seed)
        for folder, seed, settings in found
    }


def _arm(settings: Sequence[str]) -> str:
    """`arm=random` and `controller=random` are the arm `random`, with which others are compared."""
    return ",".join(settings).removeprefix("arm=").removeprefix("controller=")


def named_by_config(configs: Mapping[Path, Mapping[str, Any]]) -> dict[Path, tuple[str, int]]:
    """Arm and seed of runs whose folders' names do not tell.

    An arm is called by what it does not share with all others: `key=value`, or, where another class
    stands at a node, by the class; random search by the name that it has everywhere.
    """
    (_, first), *others = configs.items()
    varied = {key: None for _, other in others for key, *_ in differences(first, other)}
    keys = [key for key in varied if key.split(".")[0] not in NOT_AN_ARM]
    classes = [key.removesuffix("_target_") for key in keys if key.endswith("._target_")]
    own = [
        key for key in keys if not any(key.startswith(c) and key != f"{c}_target_" for c in classes)
    ]
    return {
        path: (", ".join(_named(config, key) for key in own) or "all", int(config.get("seed", 0)))
        for path, config in configs.items()
    }


def controller_of(config: Mapping[str, Any]) -> str:
    """A run's controller in words: `LSTM controller` where a learner trains an LSTM policy."""
    trained = at(config, "controller.policy._target_")
    if trained is None:
        return words(at(config, "controller._target_"))
    return words(trained).replace("policy", "controller")


def _named(config: Mapping[str, Any], key: str) -> str:
    if key == "controller._target_":
        name = controller_of(config)
        uniform = name == "random policy" and at(config, "controller.support") is None
        return "random" if uniform else name
    if key.endswith("._target_"):
        return words(at(config, key))
    if key == "controller.warm_start":
        return f"warm start of {len(at(config, key) or ())}"
    return f"{key.rpartition('.')[2]}={at(config, key)}"
