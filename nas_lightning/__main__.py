"""The command `nas-lightning`: `nas-lightning retrain run=…` is `python scripts/retrain.py run=…`.

Without the name of a command it searches, like `python train.py`.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module

from nas_lightning.commands.script import command_of_line, completing, in_one_line
from nas_lightning.errors import UserError

COMMANDS = (
    "train",
    "retrain",
    "report",
    "export",
    "tune",
    "study-table",
    "cross-evaluate",
    "rank-agreement",
    "sample-efficiency",
    "ground-truth",
    "additivity",
    "wandb-workspace",
    "doctor",
    "list",
    "show",
)
"""The names of the commands, each a module of `nas_lightning.commands`."""

RENAMED = {"evaluations": "sample-efficiency", "wandb-dashboard": "wandb-workspace"}
"""Names of version 0.1 -> those of today."""


def main() -> None:
    """The command `nas-lightning [COMMAND] …`."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if completing():
        first = command_of_line(COMMANDS)
    elif first in COMMANDS:
        del sys.argv[1]
    elif re.fullmatch(r"[\w-]+", first) and not first.startswith("-"):
        in_one_line(lambda: refuse(first))
    module = (first if first in COMMANDS else "train").replace("-", "_")
    import_module(f"nas_lightning.commands.{module}").main()


def refuse(word: str) -> None:
    """Raise UserError for a word that is no command, or is none any more."""
    if word in RENAMED:
        raise UserError(f"{word}: is called {RENAMED[word]} now")
    raise UserError(f"{word}: no such command; there are {', '.join(COMMANDS)}, or KEY=VALUE …")


if __name__ == "__main__":
    main()
