"""The table at the end of a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from nas_lightning.search import ArchitectureSearch


def summary(search: ArchitectureSearch, folder: Path, seconds: float) -> RenderableType:
    """What was found, how sure that is, where everything lies, and what to type next.

    Args:
        search: A search that has derived at least once.
        folder: The run's folder.
        seconds: Wall-clock time of this process's part of the run.
    """
    best = search.incumbent
    assert best is not None
    name, kind, latest = search.objective, best["kind"], search.latest
    median, mean, std = (latest[f"derive/{name}_{of}"] for of in ("median", "mean", "std"))
    unique = latest["derive/unique_fraction"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row(
        "best architecture",
        f"{name} {best['metrics'][name]:.4g} ({kind}), derived in epoch {best['epoch'] + 1}",
    )
    table.add_row(
        "last sampled set",
        f"{name} median {median:.4g}, mean {mean:.4g} ± {std:.2g} ({kind}), {unique:.0%} unique",
    )
    table.add_row(
        "has it learned?",
        f"KL to uniform {latest['derive/kl_to_uniform']:.3g} nats · reward minus uniform's "
        f"{latest['derive/reward_minus_uniform']:+.3g}",
    )
    table.add_row("architectures judged", f"{search.counters['architectures_judged']:,}")
    table.add_row("time", f"{int(seconds // 60)} min {seconds % 60:.0f} s")
    table.add_row("folder", str(folder))
    epochs = 2 * (search.counters["epoch"] + 1)
    table.add_row(
        "search on",
        f"python train.py resume={shlex.quote(str(folder))} trainer.max_epochs={epochs}",
    )
    table.add_row("compare", "python train.py -m controller=lstm,random seed=0,1,2")
    return Panel(Group(search.space.draw(best["actions"]), "", table), title="search finished")
