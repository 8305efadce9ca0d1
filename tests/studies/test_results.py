"""What docs/results says of a study is what follows from its CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from nas_lightning.analysis.decomposition import Decomposition, decompose
from nas_lightning.analysis.statistics import mean_interval
from nas_lightning.estimators import Table
from nas_lightning.search_spaces.child import LOSS
from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from nas_lightning.studies.comparisons import ranking
from nas_lightning.studies.questions import Question

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


def gradient_cells() -> dict[str, dict[int, list[dict[str, str]]]]:
    """Search -> seed -> the rows of its epochs."""
    found: dict[str, dict[int, list[dict[str, str]]]] = {}
    with (DOCS / "gradient_cells.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["search"], {}).setdefault(int(row["seed"]), []).append(row)
    return found


SEARCHES = {"darts1": "first order", "darts2": "second order", "gdas": "GDAS"}
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def test_cells_derived_by_gradient() -> None:
    """Their accuracies are the table's, and the page's means, best ones and early stops theirs."""
    lines = (DOCS / "results/search-by-gradient.md").read_text(encoding="utf-8")
    page = " ".join(lines.split())
    space = CellSpace(operations=OPERATIONS)
    table = Table(
        space=space,
        path=None,
        shipped="nas_bench_201_12_epochs",
        controller_steps=0,
        objective="accuracy",
        data_set="cifar10 validation",
        budget=None,
    )

    def accuracy(words: str) -> float:
        found = table.evaluate(torch.tensor([space.actions(words)]), []).metrics
        return float(found["accuracy_after_12_epochs"][0])

    for search, name in SEARCHES.items():
        seeds = gradient_cells()[search]
        assert {seed: len(rows) for seed, rows in seeds.items()} == dict.fromkeys(range(5), 16)
        last = [rows[-1] for rows in seeds.values()]
        values = [accuracy(row["derived"]) for row in last]
        assert values == pytest.approx([float(row["accuracy"]) for row in last], abs=0.006)
        found = mean_interval(values)
        said = f"{found.value:.1f} ({found.low:.1f} to {found.high:.1f}), {np.median(values):.1f}"
        assert f"| {name} | {said} | {max(values):.1f} |" in page
        skips = np.mean([int(row["skips"]) for row in last])
        assert f"{skips:.1f}" in page
        stops = [row for row in last if row["early_stop"]]
        for row in stops:
            there = accuracy(row["early_stop"])
            assert (
                f"{float(row['accuracy']):.1f}, {there:.1f} (step {row['early_stop_step']})" in page
            )
        assert len(stops) == (0 if search == "gdas" else 3)
    every = np.sort(table.evaluate(space.architectures(), []).metrics["accuracy_after_12_epochs"])
    ranks = np.arange(1, len(every) + 1) / len(every)
    best_of_five = float((np.diff(ranks**5, prepend=0) * every).sum())
    ends = [np.quantile(every, q ** (1 / 5)) for q in (0.05, 0.95)]
    assert (
        f"| a random cell, from the table | {every.mean():.1f}, {np.median(every):.1f} | "
        f"{best_of_five:.1f} (90 % between {ends[0]:.1f} and {ends[1]:.1f}) |"
    ) in page


def test_cells_of_penn_treebank() -> None:
    """Perplexities of the cells that were trained side by side."""
    page = (DOCS / "results/search-by-gradient.md").read_text(encoding="utf-8")
    with (DOCS / "gradient_ptb.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    said = [
        " / ".join(f"{np.exp(float(row[f'{split}_loss'])):.1f}" for split in ("validation", "test"))
        for row in rows
    ]
    names = [row["cell"] for row in rows]
    assert [name.split("/")[0] for name in names] == [
        *["darts"] * 3,
        *["uniform"] * 3,
        *["random"] * 3,
        *["published"] * 2,
    ]
    assert f"| derived, seeds 0, 1, 2 | {' | '.join(said[:3])} |" in page
    assert f"| uniform | {' | '.join(said[3:6])} |" in page
    assert f"| best of random searches, seeds 0, 1, 2 | {' | '.join(said[6:9])} |" in page
    assert f"| `darts_v1`, `darts_v2` | {' | '.join(said[9:])} |" in page


def test_five_searchers_by_final_numbers() -> None:
    """The table of differences from random search, four arms at once, with Holm's p-values."""
    page = (DOCS / "results/search-by-gradient.md").read_text(encoding="utf-8")
    question = Question("final number", LOSS, "final", "")
    with (DOCS / "gradient_study.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            of_arm = question.values.setdefault(row["arm"], {})
            of_arm[int(row["seed"])] = float(row["test_loss"])
    found = ranking(question, [arm for arm in question.values if arm != "random"])
    assert {len(seeds) for seeds in question.values.values()} == {6}
    for arm, one in found.against.items():
        d = one.at_once
        assert one.answer == "not shown"
        said = f"{d.mean:.3f} ({d.low:.3f} to {d.high:.3f}), {d.median:.3f}"
        assert f"| `{arm}` | {said} | {one.p:.2g} |" in page
