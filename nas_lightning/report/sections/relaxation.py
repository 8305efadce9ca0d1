"""A search by gradient, seen through: its weights, its curvature, and what it derives over time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nas_lightning.files import read_json
from nas_lightning.report.charts import COLOURS, curves, grid
from nas_lightning.report.contents import Figure, Section
from nas_lightning.report.drawing import draw
from nas_lightning.report.sections.learning_curves import (
    Colours,
    bands_of,
    epochs_of,
    figures_of,
)
from nas_lightning.report.svg import inline
from nas_lightning.runs.run import Run
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.study import Study

BY_STEP = {
    "relaxed/eigenvalue": "greatest eigenvalue of the Hessian in the logits",
    "relaxed/skips": "skips in the derived architecture",
    "relaxed/validation_loss": "validation loss of the mixture, nats per target",
}
"""Over the steps of the logits."""

BY_EPOCH = {
    "relaxed/entropy": "entropy of the weights, mean over groups, nats",
    "relaxed/loss": "loss of the relaxed network, nats per target",
    "relaxed/derived_loss": "loss of the derived one on the same minibatches",
    "relaxed/gap": "gap: derived minus relaxed",
}

SHARE, ENTROPY = "relaxed/share/", "relaxed/entropy/"

STRIP = 8
"""Drawings of a strip: of more the first, the last, and some between."""

FAVOURED = (
    "Weights that were trained through a mixture favour the architectures of their own controller. "
    "Between arms, only numbers of a table, or of networks trained alone, can decide."
)


def relaxation(study: Study, colours: Colours, space: SearchSpace | None) -> Section | None:
    """What happens inside the arms that search by gradient; None without any."""
    relaxed = [run for run in study.runs if run.mixed]
    if not relaxed:
        return None
    figures = [
        *figures_of(study, colours, BY_STEP, "step of the logits", lambda series: series.steps),
        *figures_of(study, colours, BY_EPOCH, "epoch", epochs_of),
    ]
    text = [FAVOURED]
    for arm in dict.fromkeys(run.arm for run in relaxed):
        first = next(run for run in relaxed if run.arm == arm)
        who = "" if study.single else f"{arm}, seed {first.seed}: "
        figures += [*shares(study, arm), *entropies(first, who)]
        if space is not None:
            figures += strip(first, space, who)
    text += [said for run in relaxed for said in stop_of(run, study.single)]
    return Section(
        "relaxation",
        "Inside the search by gradient",
        text,
        figures,
        by_arm=not study.single,
    )


def shares(study: Study, arm: str) -> Iterator[Figure]:
    """The mean weight of each option over the epochs, a line an option."""
    names = dict.fromkeys(n for r in study.of(arm) for n in r.metrics if n.startswith(SHARE))
    bands = {}
    for name in names:
        found = bands_of(study, name, epochs_of).get(arm)
        if found is not None:
            bands[name.removeprefix(SHARE)] = found
    bands = dict(list(bands.items())[: len(COLOURS)])
    if bands:
        colours = dict(zip(bands, COLOURS, strict=False))
        ends = "; ".join(f"{option} {b.mean[-1]:.3g}" for option, b in bands.items())
        image = inline(
            curves(bands, colours, x="epoch", title="mean weight of each option"),
            name=f"shares-{arm}".replace("/", "-"),
            alt=f"Mean weight of each option over epochs, at the end: {ends}",
        )
        who = "" if study.single else f"{arm}: "
        yield Figure(image, f"{who}weights at the end: {ends}", own_colours=True)


def entropies(run: Run, who: str) -> Iterator[Figure]:
    """The entropy of every group over the epochs."""
    series = {n.removeprefix(ENTROPY): s for n, s in run.metrics.items() if n.startswith(ENTROPY)}
    if len(series) < 2:
        return
    epochs = 1 + max(s.epochs[-1] for s in series.values())
    values = np.full((len(series), epochs), np.nan)
    for row, found in enumerate(series.values()):
        values[row, found.epochs] = found.values
    image = inline(
        grid(values, rows=list(series), x="epoch", title="entropy of each group, nats"),
        name=f"entropies-{run.arm}-{run.seed}".replace("/", "-"),
        alt=f"Entropy of the weights of {len(series)} groups over {epochs} epochs",
    )
    yield Figure(image, f"{who}how undecided each group is")


def strip(run: Run, space: SearchSpace, who: str) -> list[Figure]:
    """The derived architectures over time, each with the epochs in which it was derived."""
    spells: list[tuple[int, int, list[int]]] = []
    stopped = None
    for path in sorted(run.folder.glob("analysis/epoch_*/derived.json")):
        found = read_json(path) or {}
        actions = found.get("actions")
        try:
            space.check(actions)
            if (early := found.get("early_stop")) is not None:
                space.check(early)
        except ValueError:
            continue
        assert isinstance(actions, list)
        epoch = int(path.parent.name.removeprefix("epoch_"))
        if spells and spells[-1][2] == actions:
            spells[-1] = (spells[-1][0], epoch, actions)
        else:
            spells.append((epoch, epoch, actions))
        stopped = early
    if len(spells) > STRIP:
        chosen = np.linspace(0, len(spells) - 1, STRIP).round().astype(int)
        spells = [spells[n] for n in chosen]
    figures = []
    for first, last, actions in spells:
        when = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        caption = f"{who}derived in {when}"
        figures.append(Figure(draw(space, actions, alt=f"Architecture, {caption}"), caption))
    if stopped is not None:
        caption = f"{who}that of the early stop"
        figures.append(Figure(draw(space, stopped, alt=f"Architecture, {caption}"), caption))
    return figures


def stop_of(run: Run, single: bool) -> list[str]:
    """Where the rule of the early stop has stopped a run, or would have, in a sentence."""
    series = run.metrics.get("relaxed/early_stop")
    who = "The" if single else f"{run.arm}, seed {run.seed}: the"
    if series is None:
        return [f"{who} early stop was not called for."] if single else []
    rule = run.config.get("controller", {}).get("early_stop") or {}
    what = "would have stopped" if rule.get("simulate", True) else "stopped"
    return [f"{who} early stop {what} the logits at step {series.values[0]:.0f}."]
