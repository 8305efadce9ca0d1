"""Run folders written by hand, as small as a page can be made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    kl: float = 3.0,
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
