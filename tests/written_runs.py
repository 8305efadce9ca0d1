"""Run folders written by hand, as small as a page can be made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

CONFIG: dict[str, Any] = {
    "search_space": {
        "_target_": "nas_lightning.search_spaces.enas_rnn.RecurrentCellSpace",
        "num_nodes": 3,
        "activations": ["tanh", "relu"],
    },
    "data": {
        "_target_": "nas_lightning.data.TextData",
        "source": {"_target_": "nas_lightning.data.TextFiles", "path": "my<b>.zip"},
    },
    "estimator": {"_target_": "x.WeightSharing", "objective": "perplexity"},
    "controller": {
        "_target_": "nas_lightning.controllers.Reinforce",
        "policy": {"_target_": "nas_lightning.controllers.LSTMPolicy"},
    },
    "memory": {"_target_": "nas_lightning.memories.NoMemory"},
    "trainer": {"max_epochs": 2},
}
HEADER = "time,epoch,child_step,controller_step,architectures_judged,name,value"
NAN = float("nan")


def write_run(
    folder: Path,
    *,
    seed: int = 0,
    kl: float = 5.0,
    gain: float = 0.5,
    end: str = "DONE",
    reason: str = "",
    losses: Sequence[float] = (4.0, 4.5, NAN),
    **config: Any,
) -> Path:
    """Write a run of two epochs, with a controller that has learned unless `kl` and `gain` differ.

    Args:
        folder: Where.
        seed: Its seed.
        kl: The last KL to uniform.
        gain: The last reward minus uniform's; its standard error is 0.1.
        end: `DONE`, `FAILED`, or nothing while it is running.
        reason: Of a failure.
        losses: Of the last derivation's candidates.
        config: Nodes of the configuration that differ.
    """
    folder.mkdir(parents=True)
    whole = {**CONFIG, "seed": seed, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))
    metrics = [(0, n, "controller/reward", 1 + n / 10) for n in range(3)]
    metrics += [(0, n, "controller/loss", NAN) for n in range(3)]
    for epoch in (0, 1):
        metrics += [
            (epoch, 3, "derive/kl_to_uniform", kl * epoch),
            (epoch, 3, "derive/reward_minus_uniform", gain * epoch),
            (epoch, 3, "derive/reward_minus_uniform_se", 0.1),
            (epoch, 3, "similarity/own_before_last_common_activations", -0.2 - seed / 10),
        ]
    rows = [f"0,{epoch},0,{step},0,{name},{value}" for epoch, step, name, value in metrics]
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    judged = [
        {
            "number": n,
            "purpose": "candidate",
            "epoch": 1,
            "actions": [n % 2, 0, 1, 1, n // 2],
            "status": "ok",
            "reward": 1.0,
            "kind": "shared",
            "metrics": {"loss": loss, "perplexity": 10 * loss},
        }
        for n, loss in enumerate(losses)
    ]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))
    best = {
        "actions": [0, 0, 1, 1, 0],
        "metrics": {"perplexity": 40.0 + seed},
        "kind": "shared",
        "found_in_epoch": 1,
        "objective": "perplexity",
        "provenance": {"seed": seed, "torch": "2.0", "python": "3.11"},
    }
    (folder / "best_architecture.json").write_text(json.dumps(best))
    look = folder / "analysis/epoch_0001"
    look.mkdir(parents=True)
    Figure(figsize=(1, 1)).savefig(look / "states_own.png", dpi=20)
    if end:
        (folder / end).write_text(reason)
    return folder


def write_study(folder: Path, arms: Sequence[str] = ("lstm", "random"), seeds: int = 2) -> Path:
    """Write finished runs of all arms and seeds, and their cross-evaluation."""
    lines = []
    for seed in range(seeds):
        for arm in arms:
            write_run(folder / f"arm={arm},seed={seed}", seed=seed)
            lines += [_crossed(seed, arm, weights) for weights in arms]
    (folder / "cross_evaluation.jsonl").write_text("".join(lines))
    return folder


def _crossed(seed: int, arm: str, weights: str) -> str:
    """Architectures other than random's are better by 0.2, weights by 1, at home by 0.1 more."""
    loss = 5.0 + seed - 0.2 * (arm != "random") - (weights != "random") - 0.1 * (arm == weights)
    row = {
        "seed": seed,
        "architectures_of": arm,
        "weights_of": weights,
        "losses": [loss - 0.5, loss + 0.5, NAN],
        "counts": [2, 2, 1],
        "uncalibrated": None,
        "minibatches": 4,
        "epochs": [2, 2],
    }
    return json.dumps(row) + "\n"


def write_numbers(
    study: Path,
    arm: str,
    seed: int,
    *,
    kind: str = "shared",
    judged: int = 0,
    candidates: Sequence[float] = (),
    **metrics: float,
) -> Path:
    """Write a finished run of one epoch with these metrics and nothing more.

    Args:
        study: Where.
        arm: Its arm.
        seed: Its seed.
        kind: What its numbers were measured on.
        judged: Architectures judged.
        candidates: Losses of the last derivation's candidates, as the ledger has them.
        metrics: Their values; a `__` stands for the `/` of a name.
    """
    folder = study / f"arm={arm},seed={seed}"
    folder.mkdir(parents=True)
    loss = {"estimator": {"_target_": "x.WeightSharing", "objective": "loss"}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **loss, "seed": seed}))
    rows = [f"0,0,0,0,{judged},{n.replace('__', '/')},{value!r}" for n, value in metrics.items()]
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    lines = [_judged(number, kind, {"loss": loss}) for number, loss in enumerate(candidates)]
    (folder / "ledger.jsonl").write_text("".join(lines))
    (folder / "best_architecture.json").write_text(json.dumps({"kind": kind}))
    (folder / "DONE").touch()
    return folder


def _actions(number: int, nodes: int = 3) -> list[int]:
    """One of the cells of so many nodes and two activations, others for other numbers."""
    found = []
    for options in [2, *(n for node in range(1, nodes) for n in (node, 2))]:
        found.append(number % options)
        number //= options
    return found


def _judged(number: int, kind: str, metrics: Mapping[str, float], nodes: int = 3) -> str:
    """A line of a ledger: a candidate of the first epoch, NaN as null."""
    finite = {name: None if value != value else value for name, value in metrics.items()}
    row = {
        "number": number,
        "purpose": "candidate",
        "epoch": 0,
        "actions": _actions(number, nodes),
        "status": "ok",
        "reward": 1.0,
        "kind": kind,
        "metrics": finite,
    }
    return json.dumps(row) + "\n"


def simulate(
    folder: Path,
    arms: Mapping[str, tuple[float, float]],
    *,
    seeds: int = 10,
    epochs: int = 8,
    seed: int = 0,
) -> Path:
    """Write a study of children trained from scratch whose truth is known: errors, less is better.

    All arms share what a seed does. The best child of random search comes to an error of .30, give
    or take .02 between seeds.

    Args:
        folder: Where.
        arms: Arm -> by how much its best child differs from random's in truth, and its noise.
        seeds: Of every arm.
        epochs: Of every run, each of 20 evaluations.
        seed: Of the simulation.
    """
    generator = np.random.default_rng(seed)
    of_seed = generator.normal(0.3, 0.02, seeds)
    for arm, (effect, noise) in {**arms, "random": (0.0, 0.004)}.items():
        for number, base in enumerate(of_seed):
            end = float(base + effect + generator.normal(0, noise))
            _simulated(folder / f"arm={arm},seed={number}", number, end, epochs, generator)
    return folder


def _simulated(run: Path, seed: int, end: float, epochs: int, noise: np.random.Generator) -> None:
    """A run whose best child comes to the error `end`."""
    run.mkdir(parents=True)
    training = {"epochs": 2}
    estimator = {"_target_": "x.FromScratch", "objective": "error", "training": training}
    data = {**CONFIG["data"], "path": "images.zip"}
    space = {**CONFIG["search_space"], "num_nodes": 5}
    whole = {**CONFIG, "seed": seed, "estimator": estimator, "data": data, "search_space": space}
    (run / "config.yaml").write_text(yaml.safe_dump(whole))
    learns = "random" not in run.name
    rows, lines = [], []
    for epoch in range(epochs):
        best = end + 0.1 * (2.0 ** -(epoch + 2) - 2.0 ** -(epochs + 1))
        values = {
            "derive/best_error": best,
            "derive/error_mean": best + 0.1 + float(noise.normal(0, 0.004)),
            "derive/error_median": best + 0.1 + float(noise.normal(0, 0.004)),
            "derive/kl_to_uniform": 5.0 * (epoch + 1) / epochs * learns,
            "derive/reward_minus_uniform": 0.02 * learns + float(noise.normal(0, 0.005)),
            "derive/epochs_spent": 40.0 * (epoch + 1),
        }
        judged = 20 * (epoch + 1)
        rows += [f"0,{epoch},0,{epoch},{judged},{name},{v!r}" for name, v in values.items()]
    for place in range(20 * epochs):
        error = end + float(noise.exponential(0.05))
        lines.append(_judged(place, "proxy", {"error": error, "multiply_adds": 1e6}, nodes=5))
    (run / "metrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (run / "ledger.jsonl").write_text("".join(lines))
    error_metric = {"name": "error", "unit": "share", "direction": "less"}
    cost = {"name": "multiply_adds", "unit": "", "direction": "less"}
    best_child = {"actions": _actions(0, nodes=5), "metrics": {"error": end}, "found_in_epoch": 3}
    for name, content in {
        "metrics.json": {"schema": 1, "objectives": ["error"], "metrics": [error_metric, cost]},
        "data.json": {"schema": 1, "images": {"train": 1000, "validation": 200}},
        "best_architecture.json": {**best_child, "kind": "proxy", "objective": "error"},
    }.items():
        (run / name).write_text(json.dumps(content))
    (run / "DONE").touch()
