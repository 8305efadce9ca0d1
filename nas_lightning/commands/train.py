"""The command `python train.py …`, or `nas-lightning …`: a search, or the rest of one."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from nas_lightning import terminal
from nas_lightning.assembly.composition import quoted
from nas_lightning.assembly.run import run
from nas_lightning.assembly.versions import refuse_other_version
from nas_lightning.commands.application import Outcome, command, job
from nas_lightning.commands.script import in_one_line
from nas_lightning.errors import UserError

BESIDE_RESUME = ("trainer.max_epochs=", "trainer.max_time=")
"""What may be another than when the run began."""


def task(cfg: DictConfig) -> Outcome:
    """One search; its objective is the best value."""
    return job(cfg, run)


def resumed(arguments: list[str]) -> list[str]:
    """Rewrite `resume=F` into Hydra's own flags: the configuration and the folder of run F.

    Raises:
        UserError: If F is no run, or another override stands beside it.
    """
    from nas_lightning.runs.config import read_config
    from nas_lightning.runs.state import state_of

    folders = [a.removeprefix("resume=") for a in arguments if a.startswith("resume=")]
    if not folders:
        return arguments
    others = [a for a in arguments if not a.startswith("resume=")]
    refused = [a for a in others if not a.startswith(BESIDE_RESUME)]
    refused += [f"resume={folder}" for folder in folders[1:]]
    if refused:
        raise UserError(
            f"{refused[0]}: resume={folders[0]} goes on with the run's own configuration; only "
            "trainer.max_epochs=… and trainer.max_time=… may stand beside it"
        )
    folder = Path(folders[0]).expanduser().absolute()
    state = state_of(folder)
    if state is None:
        raise UserError(
            f"resume={folders[0]}: no run there; give a folder that holds its config.yaml and "
            "ledger.jsonl"
        )
    if not state.begun:
        raise UserError(f"resume={folders[0]}: the run there {state.said}")
    # Hydra would not say in a line that it is damaged.
    refuse_other_version(folder, read_config(folder))
    return [
        f"--config-path={folder}",
        "--config-name=config",
        f"hydra.run.dir={quoted(folder)}",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        *others,
    ]


def main() -> None:
    """The command `python train.py …`, or `nas-lightning …`."""
    if sys.argv[1:] in (["--help"], ["-h"]):  # of more than this Hydra has something to say
        from nas_lightning.commands.list import overview

        terminal.forgive()
        print(overview())
        return
    if "plan=true" not in sys.argv[1:]:
        command(task, resumed)
        return
    from nas_lightning.commands.planning import plan

    in_one_line(lambda: plan(sys.argv[1:]))


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.train import main as imported

    imported()
