"""The best architectures: drawn, to be copied, and the best hundred of the ledgers as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import torch

from nas_lightning.metrics import number
from nas_lightning.report.contents import Cell, Figure, Section, Source, Table
from nas_lightning.report.drawing import draw
from nas_lightning.runs.folder import BEST
from nas_lightning.runs.records import TOP, Row, finite
from nas_lightning.runs.run import Run
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.study import Study

FEW = 3
"""Arms of which a typical architecture is drawn beside the best; of more, the best ones alone."""

NOT_COMPARABLE = (
    "Shared numbers of different moments were measured under different weights, and those of other "
    "purposes than “finalist” on few minibatches: the best of many is partly luck."
)


def best_architectures(study: Study, space: SearchSpace | None) -> Section | None:
    """The best architecture of every arm, over its seeds."""
    figures, sources, sentences = [], [], list[str]()
    for arm in study.arms:
        run = best_run(study.of(arm))
        if run is None or run.best is None:
            continue
        best = run.best
        who = [] if study.single else [arm, f"seed {run.seed}"]
        value = f"{run.objective.said(run.best_value or math.nan)} ({best['kind']})"
        caption = ", ".join([*who, value, f"found in epoch {best['found_in_epoch']}"])
        beside = run.judged.beside
        if beside is not None:
            by_hand, sentence = _by_hand(run, beside, who)
            sentences.append(sentence)
        if space is not None:
            try:
                space.check(best["actions"])
                figures.append(_drawn(space, best["actions"], caption))
                figures += _typical(space, study.of(arm), who) if len(study.arms) <= FEW else []
                if beside is not None:
                    figures.append(_drawn(space, beside["actions"], by_hand))
            except ValueError as error:
                sentences.append(f"{run.folder.name}/{BEST} is not drawn: {error}.")
        content = json.dumps(best, ensure_ascii=False)
        sources.append(Source(f"best_architecture.json: {caption}", content))
    if not sources:
        return None
    if figures and space is not None:
        uniform = space.sample(1, torch.Generator().manual_seed(0))[0].tolist()
        figures.append(_drawn(space, uniform, "one drawn uniformly from the space, not judged"))
    text = [
        "The architecture that was best when it was last judged"
        + ("." if study.single else ", of each arm over all its seeds.")
    ]
    if figures and space is not None and space.possible_edges():
        text.append(
            "Edges that were chosen are red, where there are few the others pale; nodes that make "
            "the output are orange."
        )
    return Section("best", "The best architectures", text + sentences, figures, sources=sources)


def _drawn(space: SearchSpace, actions: Sequence[int], caption: str) -> Figure:
    return Figure(draw(space, actions, alt=f"Architecture, {caption}"), caption)


def _by_hand(run: Run, row: Row, who: Sequence[str]) -> tuple[str, str]:
    """Of the architecture made by hand a caption, and a sentence that compares it with the best."""
    value, best = finite(row["metrics"].get(run.objective.name)), run.best_value
    said = "no finite value" if value is None else run.objective.said(value)
    sentence = f"One made by hand was judged as the best was: {said}"
    if value is not None and best is not None:
        gain = run.objective.sign * (best - value)
        than = f"better by {number(gain)}" if gain > 0 else f"no better ({number(-gain)} worse)"
        sentence = f"{sentence}; the best is {than}"
    caption = ", ".join([*who, f"made by hand: {said} ({row.get('kind')})"])
    return caption, ": ".join([*who[:1], f"{sentence}."])


def _typical(space: SearchSpace, runs: Sequence[Run], who: Sequence[str]) -> list[Figure]:
    """The middle one of what the arm's first run proposed at its last derivation."""
    run = runs[0]
    name, sign = run.objective.name, run.objective.sign
    judged = [r for r in run.judged.candidates if finite(r["metrics"].get(name)) is not None]
    judged.sort(key=lambda row: -sign * row["metrics"][name])
    if not judged:
        return []
    row = judged[len(judged) // 2]
    said = run.objective.said(row["metrics"][name])
    seed = [who[0], f"seed {run.seed}"] if who else []
    caption = ", ".join([*seed, f"typical: the middle one of its last candidates, {said}"])
    try:
        space.check(row["actions"])
    except ValueError:
        return []
    return [_drawn(space, row["actions"], caption)]


def best_rows(study: Study) -> Section | None:
    """The best architectures that were ever judged, every one once, where it did best."""
    objective, sign = study.runs[0].objective.name, study.runs[0].objective.sign
    pairs = [
        (run, row)
        for run in study.runs
        for row in run.judged.best
        if finite(row["metrics"].get(objective)) is not None
    ]
    if not pairs:
        return None
    declared = {name: metric for run in study.runs for name, metric in run.declared.items()}
    pairs.sort(key=lambda pair: -sign * pair[1]["metrics"][objective])
    best = {tuple(row["actions"]): (run, row) for run, row in reversed(pairs)}
    pairs = sorted(best.values(), key=lambda pair: -sign * pair[1]["metrics"][objective])
    metrics = [objective]
    for _, row in pairs[:TOP]:
        metrics += [name for name in row["metrics"] if name not in metrics]
    who = [] if study.single else ["arm", "seed"]
    head = [
        "rank",
        *who,
        *(declared[m].label() if m in declared else m.replace("_", "-") for m in metrics),
        "reward",
        "kind",
        "purpose",
        "epoch",
        "architecture",
    ]
    rows: list[list[Cell]] = []
    for rank, (run, row) in enumerate(pairs[:TOP], start=1):
        numbers: list[Cell] = [finite(row["metrics"].get(name)) for name in metrics]
        rows.append(
            [
                rank,
                *(() if study.single else (run.arm, run.seed)),
                *numbers,
                finite(row.get("reward")),
                str(row.get("kind", "unknown")),
                row["purpose"],
                row["epoch"],
                json.dumps(row["actions"]),
            ]
        )
    judged = sum(run.judged.rows for run in study.runs)
    diverged = sum(run.judged.diverged for run in study.runs)
    text = [
        f"{judged:,} architectures were judged, {diverged:,} of them without a finite "
        f"{study.runs[0].objective.title}."
    ]
    if study.kind == "shared":
        text.append(NOT_COMPARABLE)
    by = study.runs[0].objective.label()
    table = Table(f"The {len(rows)} best of the ledger, by {by}", head, rows)
    return Section("ledger", "The best of everything judged", text, tables=[table])


def best_run(runs: Sequence[Run]) -> Run | None:
    """The run with the best architecture, of those that have a whole record of one."""
    needed = {"actions", "metrics", "kind", "found_in_epoch"}
    good = [run for run in runs if run.best is not None and needed <= run.best.keys()]

    def value(run: Run) -> float:
        found = run.best_value
        return float("-inf") if found is None else run.objective.sign * found

    return max(good, key=value, default=None)
