"""What docs/results says of a study is what follows from its CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.analysis.decomposition import Decomposition, decompose
from nas_lightning.analysis.statistics import mean_interval

DOCS = Path(__file__).parents[2] / "docs"
TEXT = " ".join(
    " ".join(p.read_text(encoding="utf-8").split()) for p in sorted(DOCS.glob("results/*.md"))
)
PARTS = ("total", "abroad", "at_home")


def apart(file: str, arm: str, average: str) -> list[Decomposition]:
    """The difference from random search of every seed that has all four cells."""
    with (DOCS / file).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    y = {(r["seed"], r["architectures_of"], r["weights_of"]): float(r[average]) for r in rows}
    pair = (arm, "random")
    seeds = sorted({seed for seed, of, weights in y if of == weights == arm})
    return [
        decompose([[y[seed, of, weights] for weights in pair] for of in pair]) for seed in seeds
    ]


def said(values: list[float]) -> str:
    found = mean_interval(values)
    return f"{found.value:+.3f} ± {found.high - found.value:.2g}"


@pytest.mark.parametrize(
    ("file", "arm"),
    [
        *(("study.csv", arm) for arm in ("lstm", "reconstruction")),
        *(
            ("study_ptb.csv", arm)
            for arm in ("lstm", "reconstruction", "permuted", "random_1", "random_10", "random_100")
        ),
    ],
)
def test_the_tables_of_differences(file: str, arm: str) -> None:
    """Of each sample's mean loss, and of its median."""
    means, medians = (apart(file, arm, average) for average in ("mean", "median"))
    cells = [
        " / ".join(said([getattr(d, part) for d in seeds]) for seeds in (means, medians))
        for part in PARTS
    ]
    assert f"| `{arm}` ({len(means)}) | {' | '.join(cells)} |" in TEXT


def test_the_sign_of_a_main_effect_turns_with_the_average() -> None:
    """What a mean of explosions says of the weights, the median denies."""
    found = {
        average: mean_interval([d.weights for d in apart("study.csv", "lstm", average)])
        for average in ("mean", "median")
    }
    assert (found["mean"].sign, found["median"].sign) == (1, -1)
    said_of_it = " and ".join(f"{found[a].value:+.3f} by {a}s" for a in ("mean", "median"))
    assert said_of_it in TEXT


def test_what_is_said_of_memories() -> None:
    """The paired differences from the policy gradient alone: mean, interval, median."""
    with (DOCS / "inside.csv").open(encoding="utf-8", newline="") as lines:
        rows = {(row["arm"], row["seed"]): row for row in csv.DictReader(lines)}
    reward = "derive/reward_minus_uniform"
    for arm, sign in (
        ("replay_late", -1),
        ("reconstruction", -1),
        ("metric", -1),
        ("factorized", 1),
    ):
        differences = [
            sign * (float(rows[arm, str(n)][reward]) - float(rows["lstm", str(n)][reward]))
            for n in range(10)
        ]
        found = mean_interval(differences)
        low = f"{found.low:.3f}" if found.low > 0 else f"{found.low:.4f}"
        words = f"{low} to {found.high:.3f}; median {np.median(differences):.3f})"
        assert words in TEXT, arm


def test_the_searchers_on_the_text() -> None:
    """What each proposes, under the weights of random search: means and medians of ten seeds."""
    with (DOCS / "study_searchers.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["weights_of"] == "random"]
    page = (DOCS / "results/searchers-on-text.md").read_text(encoding="utf-8").splitlines()
    for arm in ("evolution", "lstm", "local_search"):
        for average in ("mean", "median"):
            of = {a: {r["seed"]: float(r[average]) for r in rows if r["architectures_of"] == a}
                  for a in (arm, "random")}  # fmt: skip
            assert len(of[arm]) == 10
            difference = np.mean([of[arm][seed] - of["random"][seed] for seed in of["random"]])
            line = next(line for line in page if line.startswith(f"| `{arm}` |"))
            assert f"{difference:.3f} (" in line, (arm, average)
