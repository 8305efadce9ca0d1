"""A study of searches that look up: each seed of a folder is a run, and arms are two samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from scipy import stats

from nas_lightning.analysis.statistics import two_sample_difference
from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.run import run
from nas_lightning.report.page import page_of
from nas_lightning.studies.study import Study, read_study
from nas_lightning.studies.verdict import verdict_of

ARMS = {"random": 5, "evolution_nats_bench": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two arms, of unequally many seeds."""
    folder: Path = tmp_path_factory.mktemp("seeds")
    for arm, seeds in ARMS.items():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            asked = ["experiment=nas_bench_201", "logger=csv", "threads=1", f"arm={arm}"]
            cfg = compose("config", [*asked, f"seeds={seeds}", "estimator.controller_steps=60"])
        run(cfg, folder / f"arm={arm},seed=0")
    return read_study(folder)


def test_every_seed_is_a_run(study: Study) -> None:
    found = {arm: [run.seed for run in study.of(arm)] for arm in study.arms}
    assert found == {arm: list(range(seeds)) for arm, seeds in ARMS.items()}
    assert len(study.finished) == sum(ARMS.values())
    for one in study.finished:
        assert one.judged.rows == 60
        assert one.at_end["derive/best_accuracy_after_12_epochs"] == one.best_value
        assert one.at_end["seeds/best_after_50"] <= one.best_value
        assert 0 < one.at_end["seeds/distinct"] <= 60
    assert not study.notes


def test_arms_are_compared_as_two_samples(study: Study) -> None:
    (found,) = verdict_of(study).rankings
    values = {arm: [run.best_value for run in study.of(arm)] for arm in ARMS}
    welch = stats.ttest_ind(values["evolution_nats_bench"], values["random"], equal_var=False)
    difference = found.against["evolution_nats_bench"].difference
    assert difference.p == pytest.approx(welch.pvalue)
    assert (difference.low, difference.high) == pytest.approx(tuple(welch.confidence_interval()))
    page = page_of(study, None)
    said = " ".join(line for section in page.sections for line in section.text)
    assert "regret below 0.3 means nothing" in said
    assert "two samples" in said
    assert "paired by seed" not in said
    tables = [table for section in page.sections for table in section.tables]
    assert any("accuracy-after-12-epochs" in name for table in tables for name in table.head)


def test_two_samples_hold_their_level() -> None:
    """Of unequal size and spread; of 400 pairs that do not differ some 5 % are said to."""
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        one, other = random.normal(0, 1, 12), random.normal(0, 3, 30)
        wrong += two_sample_difference(one.tolist(), other.tolist()).sign != 0
    assert 8 <= wrong <= 34
    same = two_sample_difference([2.0, 2.0], [1.0, 1.0])
    assert (same.mean, same.p, same.spread) == (1, 1, False)
