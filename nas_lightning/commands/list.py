"""The command `python scripts/list.py`: what there is to choose from, one line each.

    python scripts/list.py                    every group
    python scripts/list.py controller data    two of them

The words are those at the head of each YAML in `conf/`. `train --help` is made here, too: Hydra
would compose the whole configuration for it, and copy it for every group.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from string import Template

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.configuration import CONF
from nas_lightning.commands.script import helped, in_one_line
from nas_lightning.errors import UserError

GROUPS = {
    "controller": "what proposes architectures. Search by gradient (darts, drnas, gdas) needs "
    "search_space=darts_rnn or modules, or nas_bench_201 with estimator=weight_sharing; the "
    "others take every space",
    "search_space": "what is searched; brings data, estimator, reward and budget that suit it",
    "estimator": "how an architecture is judged. table fits the spaces that have a table, "
    "function fits models of your own",
    "data": "what networks learn: texts for recurrent cells, images for convolutional networks",
    "memory": "a second loss of the controller; for controllers with a hidden state, the LSTMs",
    "reward": "what the controller is told",
    "experiment": "whole settings; budget=smoke makes each a matter of seconds",
}
"""Group -> what it is, and what fits what."""

INDENT = "  "
SENTENCE = re.compile(r"(?<!\bal)[.:;](?:\s|$)")


def listed(groups: Sequence[str], width: int) -> str:
    """The options of some groups, or of all.

    Args:
        groups: Their names; none for all.
        width: Of a line.

    Raises:
        UserError: If there is no such group.
    """
    for group in groups:
        if group not in GROUPS:
            raise UserError(f"{group}: no such group; there are {', '.join(GROUPS)}")
    parts = []
    for group in groups or GROUPS:
        lines = [textwrap.fill(f"{group}: {GROUPS[group]}", width)]
        files = sorted((CONF / group).glob("*.yaml"))
        longest = max(len(file.stem) for file in files)
        for file in files:
            name = f"{INDENT}{file.stem:<{longest}}{INDENT}"
            lines.append(
                textwrap.fill(
                    said(file),
                    width,
                    initial_indent=name,
                    subsequent_indent=" " * len(name),
                    break_on_hyphens=False,
                )
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def said(file: Path) -> str:
    """The first sentence of a file's head comment."""
    words: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            words += line.lstrip("#").split()
    return SENTENCE.split(" ".join(words))[0]


def overview() -> str:
    """The text of `hydra.help` in conf/config.yaml, with every group and its options."""
    config = OmegaConf.load(CONF / "config.yaml")
    assert isinstance(config, DictConfig)
    return Template(config.hydra.help.template).substitute(APP_CONFIG_GROUPS=_groups())


def _groups() -> str:
    """A line for every group: its name, its options."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.glob("*/**/*.yaml")):
        found.setdefault(path.parent.relative_to(CONF).as_posix(), []).append(path.stem)
    return "".join(
        f"{group}: {', '.join(sorted(options))}\n"
        for group, options in sorted(found.items())
        if not group.startswith("hydra/")
    )


def main() -> None:
    """The command."""
    if not helped(str(__doc__)):
        width = min(shutil.get_terminal_size().columns, 100)
        in_one_line(lambda: print(listed(sys.argv[1:], width)))
