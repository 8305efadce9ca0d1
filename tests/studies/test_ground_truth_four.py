"""What the page on the 1,536 cells says follows from their table, and from the drawn trainings."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean

import pytest

from nas_lightning.analysis.additivity import additivity
from nas_lightning.analysis.statistics import expected_best, rank_agreement, rank_ceiling
from nas_lightning.assembly.make import make
from nas_lightning.estimators.table_file import SHIPPED, read_table
from tests.given import composed

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "results/ground-truth-four-nodes.md").read_text(encoding="utf-8")


def test_the_table_is_whole_and_the_page_says_what_it_holds() -> None:
    cfg = composed("experiment=look_ups")
    assert cfg.estimator.shipped == "enas_rnn_4"
    space = make(cfg, "search_space")
    file = read_table(SHIPPED["enas_rnn_4"], space)
    values = file.means(file.column("loss", None, None))
    assert len(values) == 1536
    found = additivity(-values, space.num_choices)
    shares = f"{found.main:.2f} | {found.pairs:.2f}".replace("0.", ".")
    assert f"| {shares} | {-found.best:.3f} | {float(values.min()):.3f} |" in PAGE
    best = expected_best(values.tolist(), [1, 4, 16, 64, 256, 1024])
    assert " | ".join(f"{loss:.4f}" for loss in best) in PAGE
    assert f"{float(values.mean()):.4f}, {float(values.std(correction=0)):.4f}" in PAGE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rate 20, seed 0", "rate 20, seed 1"),
        ("rate 5, seed 0", "rate 5, seed 1"),
        ("rate 20, seed 0", "rate 5, seed 0"),
        ("rate 20, seed 1", "rate 5, seed 1"),
    ],
)
def test_how_far_trainings_agree(one: str, other: str) -> None:
    with (DOCS / "ground_truth_4.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    losses = {name: [float(row[name]) for row in rows] for name in (one, other)}
    tau = rank_agreement(losses[one], losses[other], resamples=1000, seed=0)
    said = f"{tau.value:.3f} ({tau.low:.3f} to {tau.high:.3f})"
    assert f"| {one} | {other} | {said} |" in PAGE
    if one.startswith("rate 20") and one.endswith("0"):
        assert f"{mean(losses[one]):.3f}" in PAGE
        ceiling = rank_ceiling(list(zip(*losses.values(), strict=True)), 1)
        assert other.startswith("rate 5") or f"about {ceiling:.2f}" in PAGE
