"""Weights trained through a mixture: shared numbers give no verdict between such arms and others.

The planted effects are large, so that an answer would be there if the numbers were asked for one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.report.sections.arms import arms
from nas_lightning.studies.cross_evaluation import Scores, append_scores
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import verdict_of
from tests.written_runs import write_numbers

LOSSES = {"darts": 3.0, "lstm": 3.5, "random": 4.0}


def write(study: Path, *, kind: str = "shared", mixed: bool = True) -> None:
    for seed in range(4):
        for arm, loss in LOSSES.items():
            numbers: dict[str, Any] = {
                "derive__loss_mean": loss + seed / 10 + 0.01 * (arm != "random") * seed**2
            }
            numbers |= {"derive__kl_to_uniform": 8.0 * (arm != "random")}
            numbers |= {"derive__reward_minus_uniform": 0.5 + seed / 100}
            if mixed and arm == "darts":
                numbers["relaxed__validation_loss"] = 3.0
            write_numbers(study, arm, seed, kind=kind, **numbers)


def exchange(study: Path) -> None:
    for seed in range(4):
        for arm, loss in LOSSES.items():
            for weights in LOSSES:
                score = loss + 0.01 * (arm != "random") * seed**2
                append_scores(study, [Scores(seed, arm, weights, [score], [3], None, 1, (1, 1))])


@pytest.mark.parametrize("exchanged", [False, True])
def test_no_verdict_by_shared_numbers(tmp_path: Path, exchanged: bool) -> None:
    write(tmp_path)
    if exchanged:
        exchange(tmp_path)
    verdict = verdict_of(read_study(tmp_path))
    answer, why, *more = verdict.arms["darts"]
    assert answer == "darts: no verdict by shared numbers."
    assert "mixtures of options" in why
    assert "final numbers" in why
    assert not any("lie between the two" in line for line in more), "shared numbers, taken apart"
    other = "yes, better than random" if exchanged else "not known yet"
    assert verdict.arms["lstm"][0] == f"lstm: {other}."
    (without,) = [line for line in verdict.summary if line.startswith("No verdict by shared")]
    assert without.endswith(": darts.")
    assert all("darts" not in ranking.means for ranking in verdict.rankings)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_mixture_alone_is_what_takes_the_verdict_away(tmp_path: Path, mixed: bool) -> None:
    write(tmp_path, mixed=mixed)
    exchange(tmp_path)
    verdict = verdict_of(read_study(tmp_path))
    assert ("darts: yes" in verdict.arms["darts"][0]) != mixed
    assert {arm for found in verdict.rankings for arm in found.against} == {"lstm"} | (
        set() if mixed else {"darts"}
    )


def test_beside_numbers_of_another_kind_it_is_not_counted_either(tmp_path: Path) -> None:
    write(tmp_path, kind="proxy")
    verdict = verdict_of(read_study(tmp_path))
    assert verdict.arms["darts"][0] == "darts: no verdict by shared numbers."
    assert verdict.arms["lstm"][0].startswith("lstm: yes, better than random")


def retrain(study: Path, arm: str, seed: int, loss: float, epochs: int = 20) -> None:
    folder = study / f"arm={arm},seed={seed}" / "retrain"
    folder.mkdir(exist_ok=True)
    final = {"test": [{"loss": loss}], "seeds": [0], "settings": {"epochs": epochs}}
    (folder / f"final-{epochs}.json").write_text(json.dumps(final))


def test_final_numbers_are_asked_of_all(tmp_path: Path) -> None:
    """They give the verdict, all arms at once, and come first; shared ones are of the others."""
    write(tmp_path)
    exchange(tmp_path)
    finals = {"darts": 4.0, "lstm": 4.1, "random": 4.2}
    for seed in range(4):
        for arm, loss in finals.items():
            retrain(tmp_path, arm, seed, loss + 0.01 * (arm != "random") * seed**2)
        retrain(tmp_path, "lstm", seed, 1.0, epochs=500)  # not alike
    verdict = verdict_of(read_study(tmp_path))
    first, second = verdict.rankings
    assert (first.question.name, first.question.kind) == ("final number", "final")
    assert first.means == pytest.approx({"darts": 4.035, "lstm": 4.135, "random": 4.2})
    assert {c.arms for c in first.against.values()} == {2}, "Holm's over both"
    assert first.against["darts"].answer == "better"
    assert second.question.name == "loss under common weights"
    answer, on, *more = verdict.arms["darts"]
    assert answer == "darts: yes, better than random."
    assert on.startswith("Retrained from scratch alike, its best architecture scores on test data ")
    assert "final, Holm's p" in on
    assert not any("retrain" in line.lower() for line in more), "it is said once"
    assert any(line.startswith("Compared by final number (final)") for line in verdict.summary)


def test_runs_that_were_not_retrained_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    for seed in range(4):
        for arm in LOSSES:
            if (arm, seed) != ("darts", 2):
                retrain(tmp_path, arm, seed, LOSSES[arm] + 0.1 * seed)
    (ranking,) = verdict_of(read_study(tmp_path)).rankings
    assert ranking.question.dropped == {"darts": [2]}
    assert ranking.against["darts"].answer == "too much lost"


def test_the_page_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    exchange(tmp_path)
    verdict = verdict_of(read_study(tmp_path))
    (section,) = arms(verdict, dict.fromkeys(LOSSES, "#000000"))
    assert verdict.arms["darts"] in section.groups


def test_a_table_beside_the_search_is_asked_of_all(tmp_path: Path) -> None:
    """What no search was told of favours none: the verdict stands on it, and it comes first."""
    regrets = {"darts": 9.0, "lstm": 1.0, "random": 4.0}
    for seed in range(4):
        for arm, regret in regrets.items():
            found: dict[str, Any] = {"derive__loss_mean": LOSSES[arm] + seed / 10}
            found |= {"derive__kl_to_uniform": 8.0 * (arm != "random")}
            found |= {"derive__reward_minus_uniform": 0.5 + seed / 100}
            found |= {"table__best_regret_after_12_epochs": regret + 0.1 * (arm != "random") * seed}
            if arm == "darts":
                found["relaxed__validation_loss"] = 3.0
            write_numbers(tmp_path, arm, seed, **found)
    verdict = verdict_of(read_study(tmp_path))
    (ranking,) = verdict.rankings
    assert (ranking.question.name, ranking.question.kind) == ("best by table", "proxy")
    assert list(ranking.means) == ["lstm", "random", "darts"]
    assert {arm: c.answer for arm, c in ranking.against.items()} == {
        "darts": "worse",
        "lstm": "better",
    }
    answer, on = verdict.arms["darts"][:2]
    assert answer == "darts: no, worse than random."
    assert on.startswith("Trained from scratch, the best architecture that it hands over misses ")
