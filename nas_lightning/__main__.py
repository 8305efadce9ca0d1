"""The command `nas-lightning`: `nas-lightning retrain run=…` is `python scripts/retrain.py run=…`.

Without the name of a command it searches, like `python train.py`.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module

from nas_lightning.command import in_one_line
from nas_lightning.errors import UserError

COMMANDS = {
    "train": "command",
    "retrain": "retrain",
    "report": "reporting",
    "study-table": "study",
    "cross-evaluate": "cross_evaluate",
    "rank-agreement": "rank_agreement",
    "evaluations": "evaluations",
    "ground-truth": "ground_truth",
    "wandb-dashboard": "dashboard",
    "benchmark": "benchmarks.suite",
}
"""The name of a command -> the module whose `main` it is."""


def main() -> None:
    """The command `nas-lightning [COMMAND] …`."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in COMMANDS:
        del sys.argv[1]
    elif re.fullmatch(r"[\w-]+", first) and not first.startswith("-"):
        in_one_line(lambda: refuse(first))
    import_module(f"nas_lightning.{COMMANDS.get(first, 'command')}").main()


def refuse(word: str) -> None:
    """Raise UserError for a word that is no command."""
    raise UserError(f"{word}: no such command; there are {', '.join(COMMANDS)}, or KEY=VALUE …")


if __name__ == "__main__":
    main()
