"""The command `python scripts/show.py RUN`: what a run has found so far, also while it runs.

    python scripts/show.py outputs/default/RUN

A search prints much of it when it ends, and how it has got there.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from nas_lightning.commands.script import helped, in_one_line
from nas_lightning.errors import UserError
from nas_lightning.metrics import number
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nas_lightning.api import Run as Loaded
    from nas_lightning.runs.run import Run


def rows_of(run: Run) -> dict[str, str]:
    """What is known of a run, in words, by what it is."""
    rows = {"state": run.status}
    value, best = run.best_value, run.best
    if best is not None and value is not None:
        rows["best architecture"] = f"{run.objective.said(value)} ({best.get('kind')})"
        if "found_in_epoch" in best:
            rows["found in epoch"] = str(best["found_in_epoch"])
    beside = run.last(f"derive/beside_{run.objective.name}")
    if beside is not None:
        rows["made by hand"] = f"{run.objective.said(beside)}, judged as the best one is"
    gain, moved = run.last("derive/reward_minus_uniform"), run.last("derive/kl_to_uniform")
    if gain is not None:
        noise = run.last("derive/reward_minus_uniform_se")
        kl = "not defined" if moved is None else f"{moved:.3g} nats"
        sure = "" if noise is None else f" (standard error {number(noise, 1)})"
        rows["has it learned?"] = f"KL to uniform {kl} · reward minus uniform's {gain:+.3g}{sure}"
    rows["architectures judged"] = f"{run.judged.rows:,}"
    if run.finals[0]:
        rows["trained from scratch"] = ", ".join(shown(path) for path, _ in run.finals[0])
    return rows


def summary(run: Loaded) -> RenderableType:
    """The best architecture of a run and what is known of it."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, said in rows_of(run.record).items():
        table.add_row(name, Text(said))
    try:
        drawn = [Text(f"{run.draw()}\n")]
    except UserError:  # nothing has been found yet, or its space cannot be made here
        drawn = []
    return Panel(Group(*drawn, table), title=Text(run.folder.name))


def show(arguments: list[str]) -> None:
    """Print it.

    Raises:
        UserError: If not one folder of a run is given.
    """
    from rich import print as print_rich

    from nas_lightning.api import load

    if len(arguments) != 1:
        raise UserError(f"show: takes one folder of a run, {called('show', 'outputs/default/RUN')}")
    run = load(arguments[0])
    print_rich(summary(run))
    quoted = shlex.quote(shown(run.folder))
    further = f" trainer.max_epochs={2 * run.record.epochs}" if run.status == "finished" else ""
    print(f"search on  {called('train', f'resume={quoted}{further}')}")
    print(f"retrain    {called('retrain', f'run={quoted}')}")
    print(f"page       {called('report', quoted)}")


def main() -> None:
    """The command."""
    if not helped(str(__doc__)):
        in_one_line(lambda: show(sys.argv[1:]))
