"""The table at the end of a run."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.metrics import number
from nas_lightning.terminal import called, shown


def summary(search: ArchitectureSearch, seconds: float, *, stopped: bool) -> RenderableType:
    """What was found and how sure that is.

    Args:
        search: A search that has derived at least once.
        seconds: Wall-clock time of this process's part of the run.
        stopped: Whether it was stopped before its last epoch.
    """
    best = search.incumbent
    assert best is not None
    objective, kind, latest = search.objective, best["kind"], search.latest
    name = objective.name
    median, mean, std = (latest[f"derive/{name}_{of}"] for of in ("median", "mean", "std"))
    unique = latest["derive/unique_fraction"]
    more = f"mean {number(mean)}, standard deviation {number(std, 2)}"
    if failed := int(latest.get("derive/failed", 0)):  # then they have neither
        more = f"{failed} failed"
    gain, noise = (latest[f"derive/reward_minus_uniform{of}"] for of in ("", "_se"))
    learned = f"reward minus uniform's {gain:+.3g} (standard error {number(noise, 1)})"
    if "derive/kl_to_uniform" in latest:
        learned = f"KL to uniform {latest['derive/kl_to_uniform']:.3g} nats · {learned}"
    else:
        learned = f"{learned} · KL to uniform not defined for this controller"
    others = [
        cost.said(best["metrics"][cost.name])
        for cost in search.estimator.cost_metrics
        if cost.name in best["metrics"]
    ]
    if search.data_description.get("level") == "character":
        perplexity = best["metrics"].get("perplexity", math.nan)
        others.insert(0, f"{math.log2(perplexity):.4g} bits per character")
    first, now = len(search.space.decisions), int(latest["derive/decisions"])
    rows = {
        "best architecture": " · ".join(
            [f"{objective.said(best['metrics'][name])} ({kind})", *others]
        ),
        "found in epoch": f"{best['found_in_epoch']} (of 0 to {search.counters['epoch']})",
        "last sampled set": f"{objective.label(kind)} median {number(median)}, {more}; "
        f"{unique:.0%} unique",
        "has it learned?": learned
        if search.controller.learns or search.relaxed
        else "this controller does not",
        "architectures judged": f"{search.counters['architectures_judged']:,}",
        "time": f"{int(seconds // 60)} min {seconds % 60:.0f} s",
    }
    if f"derive/beside_{name}" in latest:
        value = latest[f"derive/beside_{name}"]
        rows["made by hand"] = f"{objective.said(value)} ({kind}), judged as the best one is"
    if now > first:
        rows["the space has grown"] = f"from {first} to {now} decisions"
    if "hidden/uniform_variance" in latest:
        rows["does it remember?"] = remembered(search)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in rows.items():
        table.add_row(*row)
    return Panel(
        Group(search.space.draw(best["actions"]), "", table),
        title=f"search {'stopped' if stopped else 'finished'}",
    )


def remembered(search: ArchitectureSearch) -> str:
    """What the final state knows of the architecture, and how it has moved since the first look.

    A line for each number that is there, all on uniform architectures. The similarity is that of
    the space's first kind of decision. Where the space has grown in between, first numbers are of
    another space, and are left out.
    """
    kind = search.space.decisions[0].kind
    latest = search.latest
    grown = latest["derive/decisions"] > search.first["derive/decisions"]

    def moved(name: str) -> str:
        return f"{latest[name]:.2g}" if grown else f"{search.first[name]:.2g} → {latest[name]:.2g}"

    parts = [
        f"variance between architectures {moved('hidden/uniform_variance')}",
        f"standard deviation {moved('hidden/uniform_std')}",
        f"saturated {moved('hidden/uniform_saturated')}",
    ]
    measure = f"same_{kind.replace(' ', '_')}"
    name = f"similarity/uniform_final_{measure}"
    if name in latest:
        one_hot = latest[f"similarity/uniform_one_hot_{measure}"]
        parts.append(f"Spearman with same {kind} {moved(name)} (one-hot {one_hot:.2g})")
    if math.isfinite(latest.get("probes/accuracy", math.nan)):  # of too few there is none
        untrained, read = latest["probes/untrained"], latest["probes/accuracy"]
        probes = f"{untrained:.2g} (untrained) → {read:.2g} (chance {latest['probes/chance']:.2g})"
        parts.insert(0, f"decisions read off the final state {probes}")
    return "\n".join(parts)


def next_steps(search: ArchitectureSearch, folder: Path) -> str:
    """Where everything lies and what to type next, in lines that can be copied."""
    seen = shown(folder)
    quoted = shlex.quote(seen)
    epochs = 2 * (search.counters["epoch"] + 1)
    return "\n".join(
        [
            f"folder     {seen}",
            f"search on  {called('train', f'resume={quoted} trainer.max_epochs={epochs}')}",
            f"retrain    {called('retrain', f'run={quoted}')}",
        ]
    )
