"""What a study says, on studies written by hand whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_lightning.studies.cross_evaluation import Scores, append_scores
from nas_lightning.studies.shares import comparison
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import verdict_of
from tests.written_runs import write_numbers


def write_study(
    study: Path,
    *,
    own: float,
    kl: float,
    gain: float,
    seeds: int = 10,
    noise: float = 0.01,
    kind: str = "shared",
) -> None:
    """Two arms whose losses differ by `own` under their own weights."""
    generator = np.random.default_rng(0)
    for seed in range(seeds):
        base = float(generator.normal(4, 0.5))
        for arm, loss, moved, better, width in (
            ("lstm", base + own, kl, gain, 100.0),
            ("random", base, 0.0, 0.0, 10_000.0),
        ):
            write_numbers(
                study,
                arm,
                seed,
                kind=kind,
                derive__loss_mean=loss + float(generator.normal(0, noise)),
                derive__kl_to_uniform=moved,
                derive__reward_minus_uniform=better + float(generator.normal(0, noise)),
                diversity__hamming_distance=10.0 - moved + float(generator.normal(0, noise)),
                diversity__effective_policy=width,
            )


def score(study: Path, *, architectures: float, weights: float, seeds: int = 10) -> None:
    """Additive effects of whose architectures and whose weights, and a little noise."""
    generator = np.random.default_rng(1)
    for seed in range(seeds):
        for c in ("lstm", "random"):
            for w in ("lstm", "random"):
                loss = 4 + architectures * (c == "lstm") + weights * (w == "lstm")
                loss += float(generator.normal(0, 0.005))
                append_scores(study, [Scores(seed, c, w, [loss], [3], None, 1, (1, 1))])


def said(study: Path) -> list[str]:
    """Of the only arm that there is something to say of."""
    (sentences,) = verdict_of(read_study(study)).arms.values()
    return sentences


def test_planted_effects_are_told_apart(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    score(tmp_path, architectures=-0.1, weights=-0.4)
    answer, why, medians, power, shares, signs, *_, finals = said(tmp_path)
    assert medians.startswith("By the medians of the same samples it is -0.")
    assert power.startswith("With 10 seeds a difference of 0.00")
    assert answer == "lstm: yes, better than random."
    assert why.startswith("Judged under the weights of random, which have served all ")
    assert ", 10 seeds, shared, p " in why
    assert "-0.1" in why or "-0.09" in why
    assert shares.startswith("Under their own weights -0.")
    assert "-0.4" in shares or "-0.39" in shares
    assert "KL to uniform 8 nats" in signs
    assert "has not been measured" in finals
    assert any("It is less diverse: " in line for line in said(tmp_path))


def test_all_of_it_the_weights(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    score(tmp_path, architectures=0.0, weights=-0.5)
    assert said(tmp_path)[0].startswith("lstm: not shown to be better than random.")


def test_a_home_advantage_is_no_merit(tmp_path: Path) -> None:
    """Any fixed set of architectures, however it was chosen, does well under weights of its own.

    The main effect of the architectures is -0.5 here, as large as the interaction.
    """
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    generator = np.random.default_rng(1)
    for seed in range(10):
        for place, loss in {("lstm", "lstm"): 3.5, ("random", "lstm"): 4.5}.items():
            noisy = loss + float(generator.normal(0, 0.005))
            append_scores(tmp_path, [Scores(seed, *place, [noisy], [3], None, 1, (1, 1))])
        for arm in ("lstm", "random"):
            noisy = 4 + float(generator.normal(0, 0.005))
            append_scores(tmp_path, [Scores(seed, arm, "random", [noisy], [3], None, 1, (1, 1))])
    answer, *_ = lines = said(tmp_path)
    assert answer == "lstm: not shown to be better than random."
    (shares,) = [line for line in lines if line.startswith("Under their own weights")]
    assert "architectures -0.5" in shares or "architectures -0.49" in shares


def test_searched_on_the_weights_that_judge(tmp_path: Path) -> None:
    """Evolution trains them on uniform architectures, as random search does with the same seed."""
    write_study(tmp_path, own=-0.1, kl=8.0, gain=0.3)
    for seed in range(10):
        for arm, loss in {"lstm": 3.9 + seed / 100, "random": 4.0}.items():
            for weights in ("lstm", "random"):
                append_scores(tmp_path, [Scores(seed, arm, weights, [loss], [3], None, 1, (1, 1))])
    answer, *lines = said(tmp_path)
    assert answer == "lstm: yes, better than random."
    assert any(line.startswith("Its shared weights are those of random, for ") for line in lines)
    assert not any("lie between the two" in line for line in lines)


def test_worse(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=-0.3)
    score(tmp_path, architectures=0.2, weights=-0.7)
    assert said(tmp_path)[0].startswith("lstm: no, worse than random.")


def test_a_difference_without_learning_is_no_merit(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=0.01, gain=0.0)
    score(tmp_path, architectures=-0.1, weights=-0.4)
    assert said(tmp_path)[0].startswith("lstm: the controller is not shown to have learned.")


def test_without_cross_evaluation_nothing_is_claimed(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    answer, why, *_ = said(tmp_path)
    assert answer == "lstm: not known yet."
    assert "scripts/cross_evaluate.py" in why


def test_from_scratch_needs_none(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3, kind="proxy")
    answer, why, *_ = said(tmp_path)
    assert answer == "lstm: yes, better than random."
    assert why.startswith("Trained from scratch, ")
    assert "10 seeds, proxy, p " in why


def test_few_seeds_are_a_pilot(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3, seeds=5)
    assert "5 seeds, a pilot" in said(tmp_path)[1]


def test_one_seed_says_nothing(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3, seeds=1)
    assert verdict_of(read_study(tmp_path)).arms == {}


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (3.9, "so that fewer architectures to serve do not suffice as an explanation"),
        (4.0, "so that fewer architectures to serve may suffice as an explanation"),
        (4.1, "so that it is not even as good as fewer architectures would make it"),
    ],
)
def test_fewer_architectures(tmp_path: Path, loss: float, says: str) -> None:
    """One architecture 3 nats, 10,000 of them 5: at 100, half way on a logarithmic axis, 4."""
    write_study(tmp_path, own=-0.2, kl=5.0, gain=0.3)
    generator = np.random.default_rng(2)
    for seed in range(10):
        write_numbers(tmp_path, "random_1", seed, diversity__effective_policy=1.0)
        own = {"random_1": 3.0, "random": 5.0, "lstm": loss + float(generator.normal(0, 0.01))}
        for arm, value in own.items():
            append_scores(tmp_path, [Scores(seed, arm, arm, [value], [1], None, 1, (1, 1))])
    (found,) = [line for line in said(tmp_path) if "as wide as 100 " in line]
    assert says in found


@pytest.mark.parametrize(("kl", "says"), [(5.0, "less"), (0.0, "not shown to be less or more")])
def test_diversity(tmp_path: Path, kl: float, says: str) -> None:
    """An interval that includes zero is no equality."""
    write_study(tmp_path, own=-0.5, kl=kl, gain=0.3)
    (found,) = [line for line in said(tmp_path) if " diverse: " in line]
    assert found.startswith(f"It is {says} diverse: ")


def test_retrained_numbers(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    for seed in range(10):
        for arm, loss in (("lstm", 4.1), ("random", 4.0)):
            folder = tmp_path / f"arm={arm},seed={seed}" / "retrain"
            folder.mkdir()
            test = [{"loss": loss + seed * (arm == "lstm") / 100}, {"loss": loss}]
            final = {"test": test, "seeds": [0, 1], "settings": {"epochs": 50}}
            (folder / "final-0123.json").write_text(json.dumps(final))
    (finals,) = [line for line in said(tmp_path) if "Retrained from scratch" in line]
    assert "2 trainings each" in finals
    assert "score +0.122 nats" in finals
    assert "Read from retrain/final-0123.json of each run." in finals
    assert "10 seeds, final)" in finals


def test_controls_are_in_the_table_alone(tmp_path: Path) -> None:
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    score(tmp_path, architectures=-0.1, weights=-0.4)
    for seed in range(10):
        write_numbers(tmp_path, "permuted", seed, derive__loss_mean=4.0, derive__kl_to_uniform=5.0)
        row = Scores(seed, "permuted", "permuted", [4.0], [1], None, 1, (1, 1))
        append_scores(tmp_path, [row])
    assert len(verdict_of(read_study(tmp_path)).arms) == 1
    lines = comparison(read_study(tmp_path).scores).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        f"| {arm}" for arm in ("lstm", "random", "permuted") for _ in ("mean", "median")
    ]
    assert lines[2].split(" | ")[5].startswith("-0.1"), "under random's weights"


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (0.3, "population: yes, better than random."),
        (0.0, "population: the controller is not shown"),
    ],
)
def test_without_a_policy_what_is_proposed_decides(tmp_path: Path, gain: float, says: str) -> None:
    """An evolving population has no KL to uniform."""
    generator = np.random.default_rng(3)
    for seed in range(10):
        for arm, loss, better in (("population", 3.5, gain), ("random", 4.0, 0.0)):
            noise = generator.normal(0, 0.01, 2).tolist()
            metrics: dict[str, Any] = {
                "derive__loss_mean": loss + noise[0],
                "derive__reward_minus_uniform": better + noise[1],
            }
            write_numbers(tmp_path, arm, seed, kind="proxy", **metrics)
    answer, why, *more = said(tmp_path)
    assert answer.startswith(says)
    assert ("It has no policy, and what it proposes is not shown to be better" in why) == (
        gain == 0
    )
    assert any("KL to uniform not defined for this controller" in line for line in more)


@pytest.mark.parametrize(
    ("direction", "says"),
    [("less", "lstm: no, worse than random."), ("more", "lstm: yes, better than random.")],
)
def test_which_way_is_better_is_declared(tmp_path: Path, direction: str, says: str) -> None:
    metric = {"name": "pace", "unit": "m/s", "direction": direction}
    for seed in range(10):
        for arm, value in (("lstm", 2.0), ("random", 1.0)):
            metrics: dict[str, Any] = {
                "derive__pace_mean": value + seed * value / 10,
                "derive__kl_to_uniform": 3.0,
            }
            folder = write_numbers(tmp_path, arm, seed, kind="exact", **metrics)
            declared = {"schema": 1, "objectives": ["pace"], "metrics": [metric]}
            (folder / "metrics.json").write_text(json.dumps(declared))
    answer, why, *_ = said(tmp_path)
    assert answer == says
    assert why.startswith("Known exactly, what it proposes in the end scores +1.45 m/s against")


# ------------------------------------------------------------------- where nothing can be said


def test_equal_differences_are_no_verdict(tmp_path: Path) -> None:
    """Three seeds with the same difference: an interval of no width would say yes."""
    for seed in range(3):
        for arm, loss in (("lstm", 3.9), ("random", 4.0)):
            metrics: dict[str, Any] = {
                "derive__loss_mean": loss + seed,
                "derive__kl_to_uniform": 9.0,
            }
            metrics["derive__reward_minus_uniform"] = 0.3 + seed / 100
            write_numbers(tmp_path, arm, seed, kind="proxy", **metrics)
    answer, why, *_ = said(tmp_path)
    assert answer == "lstm: no verdict, for its difference is the same for every seed."
    assert (
        "(no interval: the difference is the same for every seed, 3 seeds, a pilot, proxy)" in why
    )


def diverging(study: Path, share: float, *, seeds: int = 10) -> None:
    """The LSTM's architectures are better under random's weights, but for those that diverge."""
    write_study(study, own=-0.5, kl=8.0, gain=0.3, seeds=seeds)
    generator = np.random.default_rng(4)
    for seed in range(seeds):
        for arm, loss, lost in (("lstm", 3.5, share), ("random", 4.0, 0.0)):
            losses = (loss + generator.normal(0, 0.01, 100)).tolist()
            losses[: round(100 * lost)] = [float("nan")] * round(100 * lost)
            append_scores(study, [Scores(seed, arm, "random", losses, [1] * 100, None, 1, (1, 1))])


def test_few_that_diverge_are_counted(tmp_path: Path) -> None:
    diverging(tmp_path, 0.05)
    lines = said(tmp_path)
    assert lines[0] == "lstm: yes, better than random."
    assert any(line.startswith("5.0% of lstm's architectures diverged;") for line in lines)


def test_many_that_diverge_are_no_verdict(tmp_path: Path) -> None:
    diverging(tmp_path, 0.9)
    assert said(tmp_path)[0] == "lstm: no verdict, for 90% of lstm's architectures diverged."


def test_one_candidate_that_diverged_costs_no_seed(tmp_path: Path) -> None:
    """The recorded mean and median are NaN then: those of the others stand, and it is counted."""
    generator = np.random.default_rng(5)
    nan = float("nan")
    for seed in range(10):
        base = float(generator.normal(4, 0.5))
        for arm, loss in (("lstm", base - 0.5), ("random", base)):
            losses = (loss + generator.normal(0, 0.05, 20)).tolist()
            mean = float(np.mean(losses))
            if (arm, seed) == ("lstm", 3):
                losses[7], mean = nan, nan
            known: dict[str, Any] = {"derive__loss_mean": mean, "derive__kl_to_uniform": 9.0}
            write_numbers(tmp_path, arm, seed, kind="proxy", candidates=losses, **known)
    lines = said(tmp_path)
    assert lines[0] == "lstm: yes, better than random."
    assert "10 seeds, proxy" in lines[1]
    assert any(line.startswith("0.5% of lstm's architectures diverged") for line in lines)


def test_seeds_without_a_number_are_named(tmp_path: Path) -> None:
    """One of eleven is said; with two of ten there is no verdict."""
    generator = np.random.default_rng(6)
    for study, seeds, lost in ((tmp_path / "a", 11, {3}), (tmp_path / "b", 10, {3, 5})):
        for seed in range(seeds):
            for arm, loss in (("lstm", 3.5), ("random", 4.0)):
                number = loss + float(generator.normal(0, 0.01))
                number = float("inf") if arm == "lstm" and seed in lost else number
                known: dict[str, Any] = {"derive__loss_mean": number, "derive__kl_to_uniform": 9.0}
                write_numbers(study, arm, seed, kind="proxy", **known)
    lines = said(tmp_path / "a")
    assert lines[0] == "lstm: yes, better than random."
    assert "10 seeds, proxy" in lines[1]
    assert "Left out, without a finite number of lstm: seed 3." in lines
    says = "lstm: no verdict, for 2 of lstm's 10 seeds have no finite number."
    assert said(tmp_path / "b")[0] == says


def test_outside_the_range_measured_nothing_is_said(tmp_path: Path) -> None:
    """The narrowest random search has 1,000 architectures, the policy is as wide as 100."""
    write_study(tmp_path, own=-0.2, kl=8.0, gain=0.3)
    for seed in range(10):
        write_numbers(tmp_path, "random_1000", seed, diversity__effective_policy=1000.0)
        for arm, value in {"random_1000": 3.0, "random": 5.0, "lstm": 2.0 + seed / 10}.items():
            append_scores(tmp_path, [Scores(seed, arm, arm, [value], [1], None, 1, (1, 1))])
    (line,) = [line for line in said(tmp_path) if "as wide as 100 " in line]
    assert line.endswith(
        "that is narrower than any random search that was measured (1e+03 to 1e+04), so whether "
        "fewer architectures to serve suffice as an explanation was not measured."
    )


@pytest.mark.parametrize(
    ("explosions", "says"),
    [
        (0.0, "By the medians of the same samples it is -0.5"),
        (40.0, "the sign turns, so that a few architectures carry the means."),
    ],
)
def test_medians_stand_beside_means(tmp_path: Path, explosions: float, says: str) -> None:
    """Better by half a nat, but for one architecture of fifty."""
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3)
    generator = np.random.default_rng(7)
    for seed in range(10):
        for arm, loss, worst in (("lstm", 3.5, explosions), ("random", 4.0, 0.0)):
            losses = (loss + generator.normal(0, 0.01, 50)).tolist()
            losses[0] += worst
            append_scores(
                tmp_path, [Scores(seed, arm, "random", losses, [1] * 50, None, 1, (1, 1))]
            )
    (line,) = [line for line in said(tmp_path) if line.startswith("By the medians")]
    assert says in line


# ------------------------------------------------------------------- what is left


def write_final(run: Path, name: str, loss: float, *, epochs: int, seeds: int = 2) -> None:
    (run / "retrain").mkdir(exist_ok=True)
    settings = {"epochs": epochs, "learning_rate": 0.1 + loss / 100}
    grid = [{"varied": {"retrain.learning_rate": rate}} for rate in (0.1, 0.2)]
    final = {
        "test": [{"loss": loss}] * seeds,
        "seeds": list(range(seeds)),
        "settings": settings,
        "grid": grid,
    }
    (run / "retrain" / name).write_text(json.dumps(final))


def left(study: Path) -> str:
    (line,) = [line for line in said(study) if "etrain" in line and "What if" not in line][-1:]
    return line


def test_only_retrainings_done_alike_are_compared(tmp_path: Path) -> None:
    """Fifty epochs against one say nothing; the rate may differ, which was chosen from a grid."""
    write_study(tmp_path, own=-0.5, kl=8.0, gain=0.3, seeds=3)
    for seed in range(3):
        write_final(tmp_path / f"arm=lstm,seed={seed}", "final-a.json", 3.0, epochs=50)
        write_final(tmp_path / f"arm=random,seed={seed}", "final-b.json", 9.0, epochs=1)
    assert left(tmp_path).startswith(
        "What remains of it after retraining from scratch is not compared: the two arms were "
        "retrained differently (settings.epochs is 50 in arm=lstm,seed=0/retrain/final-a.json and "
        "1 in arm=random,seed=0/retrain/final-b.json)"
    )
    for seed in range(3):
        random = tmp_path / f"arm=random,seed={seed}"
        write_final(random, "final-0.json", 4.0 + seed**2 / 100, epochs=50)
        write_final(random, "final-c.json", 1.0, epochs=50, seeds=3)
    line = left(tmp_path)
    assert "score -1.02 nats per target" in line
    assert "median -1.01, 3 seeds, a pilot, final" in line, "beside the mean"
    assert "Read from retrain/final-0.json and 1 more of each run" in line
    assert "6 files of retrainings done otherwise are left out" in line
