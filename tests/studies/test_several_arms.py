"""Eight arms at once: what the page and its first sentences say where the truth is known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.errors import UserError
from nas_lightning.metrics import Metric
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.comparisons import ranking
from nas_lightning.studies.plan import Plan, read_plan, write_plan
from nas_lightning.studies.questions import Question
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import verdict_of
from tests.written_runs import simulate

TRUTH = {
    "lstm": (-0.010, 0.004),
    "evolution": (-0.012, 0.004),
    "replay": (-0.004, 0.006),
    "metric": (0.0, 0.006),
    "entropy": (0.0, 0.004),
    "factorized": (0.010, 0.004),
    "late": (-0.002, 0.006),
}
ERROR = Metric(name="error", unit="share", direction="less")


def of_arms(values: dict[str, list[float]]) -> Question:
    numbers = {arm: dict(enumerate(of_seeds)) for arm, of_seeds in values.items()}
    return Question("best child", ERROR, "proxy", "it scores", numbers)


def test_arms_without_effect_seldom_win() -> None:
    """Through the code of the verdicts themselves: at most 5 % of studies name a winner."""
    generator = np.random.default_rng(0)
    arms = [f"arm {n}" for n in range(8)]
    named = 0
    for drawn in generator.normal(size=(150, 9, 5)):
        found = ranking(of_arms(dict(zip([*arms, "random"], drawn.tolist(), strict=True))), arms)
        named += any(c.answer == "better" for c in found.against.values())
    assert named <= 150 * 0.05 + 3


def test_who_shares_a_group_is_who_cannot_be_told_apart() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 0.01, size=(4, 10))
    values = {
        arm: (middle + row).tolist()
        for (arm, middle), row in zip(
            {"a": 0.0, "b": 0.001, "c": 1.0, "random": 1.001}.items(), noise, strict=True
        )
    }
    found = ranking(of_arms(values), ["a", "b", "c"])
    assert found.groups in ([["a", "b"], ["c", "random"]], [["b", "a"], ["c", "random"]])
    assert {arm: c.answer for arm, c in found.against.items()} == {
        "a": "better", "b": "better", "c": "not shown"
    }  # fmt: skip
    assert found.with_best["c"].answer == "worse"
    assert found.against["c"].seeds_needed is None or found.against["c"].seeds_needed > 10


def test_letters_are_a_family_of_their_own() -> None:
    """Over studies without any effect at most 5 % tell two arms apart, random search included."""
    generator = np.random.default_rng(0)
    arms = [f"arm {n}" for n in range(4)]
    told = 0
    for drawn in generator.normal(size=(150, 5, 5)):
        found = ranking(of_arms(dict(zip([*arms, "random"], drawn.tolist(), strict=True))), arms)
        told += len(found.groups) > 1
    assert told <= 150 * 0.05 + 7  # 2.6 standard errors


def test_better_and_yet_of_one_letter() -> None:
    """A verdict among two arms, and ten pairs of which none is certain."""
    noise = np.random.default_rng(5).normal(0, 0.01, size=(5, 6))
    shifts = {"a": -0.016, "random": 0.0, "b": -0.004, "c": 0.001, "d": 0.004}
    values = {arm: (s + row).tolist() for (arm, s), row in zip(shifts.items(), noise, strict=True)}
    found = ranking(of_arms(values), ["a"])
    assert found.against["a"].answer == "better"
    assert any({"a", "random"} <= set(group) for group in found.groups)


def test_three_seeds_are_not_compared_with_ten() -> None:
    """An arm that has the three easiest seeds alone is not the best for that."""
    hard = np.linspace(0.0, 9.0, 10)
    noise = np.random.default_rng(3).normal(0, 0.01, size=(3, 10))
    values = {
        "few": (hard + 0.5 + noise[0])[:3].tolist(),
        "all": (hard - 0.5 + noise[1]).tolist(),
        "random": (hard + noise[2]).tolist(),
    }
    found = ranking(of_arms(values), ["few", "all"])
    assert list(found.means) == ["all", "random", "few"]
    assert found.means["few"] == pytest.approx(5.0, abs=0.05)
    assert found.against["few"].difference.n == 3


@pytest.mark.parametrize(("margin", "answer"), [(None, "not shown"), (0.05, "the same")])
def test_equality_takes_a_margin(margin: float | None, answer: str) -> None:
    noise = np.random.default_rng(2).normal(0, 0.01, size=(2, 10)).tolist()
    found = ranking(of_arms({"a": noise[0], "random": noise[1]}), ["a"], margin)
    assert found.against["a"].answer == answer


def test_a_page_of_eight_arms(tmp_path: Path) -> None:
    """Which are better, which cannot be told apart, how many seeds it takes: all at the top."""
    arms = sorted([*TRUTH, "random"])
    plan = Plan("2026-01-01T00:00:00+00:00", arms, list(range(10)), "best child", margin=0.012)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    simulate(tmp_path, TRUTH)
    study = read_study(tmp_path)
    verdict = verdict_of(study)
    head, *more = verdict.summary
    assert head == "2 of 7 arms are shown to be better than random: evolution, lstm."
    assert "Worse than random: factorized." in more
    (same,) = [line for line in more if line.startswith("No different from random within the")]
    assert set(same.split(": ")[1].strip(".").split(", ")) <= {
        "metric",
        "entropy",
        "late",
        "replay",
    }
    assert any(line.startswith("Compared by best child as planned (proxy)") for line in more)
    assert any(line.startswith("evolution comes first, but these cannot be told") for line in more)
    assert len(verdict.summary) <= 8, "short enough to be read"
    page = page_of(study, None)
    sections = {section.anchor: section for section in page.sections}
    assert page.verdict == [verdict.summary]
    assert list(sections)[:3] == ["plan", "arms", "arms-1"]
    assert list(page.chapters)[:3] == ["Answer", "Architectures", "Learning"]
    assert sections["plan"].text[-1] == "Nothing."
    assert len(sections["arms"].groups) == 7
    against, ranked = sections["arms"].tables
    assert {row[0]: row[1] for row in against.rows}["factorized"] == "worse"
    letters = {row[1]: set(str(row[2]).split()) for row in ranked.rows}
    assert letters["evolution"] & letters["lstm"]
    assert not letters["evolution"] & letters["factorized"]
    assert [figure.caption.split(" (")[0] for figure in sections["budget"].figures] == [
        "Best so far over architectures judged",
        "Best so far over images trained on",
        "Best so far over multiply-adds",
    ]
    html, markdown = (p.read_text() for p in write_page(page, tmp_path, markdown=True))
    assert len(re.findall("<details>", html)) >= 7
    assert "**evolution: yes, better than random by its best child" in markdown


def test_a_page_of_two_arms(tmp_path: Path) -> None:
    """As before: the sentences of the one arm, and nothing to unfold."""
    study = read_study(simulate(tmp_path, {"lstm": (-0.010, 0.004)}))
    page = page_of(study, None)
    ((head, *more),) = page.verdict
    assert head.startswith("lstm: yes, better than random by its best child")
    assert "Holm" not in "".join(more), "there is nothing to correct for"
    arms = next(section for section in page.sections if section.anchor == "arms")
    assert not arms.groups


def test_departures_from_the_plan(tmp_path: Path) -> None:
    simulate(tmp_path, {"lstm": (0.0, 0.01), "late": (0.0, 0.01)}, seeds=3)
    plan = Plan("2026-01-01T00:00:00+00:00", ["lstm", "random"], [0, 1, 2, 3], "best child")
    with pytest.raises(UserError, match=r"plan=true: .* has begun, and a plan is made before"):
        write_plan(tmp_path, plan)
    write_plan(tmp_path / "elsewhere", plan)
    (tmp_path / "elsewhere/plan.json").rename(tmp_path / "plan.json")
    (tmp_path / "elsewhere").rmdir()
    (section, *_) = page_of(read_study(tmp_path), None).sections
    assert list(section.text[1:]) == [
        "Planned, and not there or not finished: lstm, seed 3; random, seed 3.",
        "There, and not planned: late, seed 0, 1, 2.",
    ]
