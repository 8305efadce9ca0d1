"""The study of evaluations, on the frozen weights of real, tiny runs."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.assembly.rebuild import child_of
from nas_lightning.commands import sample_efficiency as command
from nas_lightning.errors import UserError
from nas_lightning.report import sample_efficiency as drawing
from nas_lightning.search_spaces.child import score_all
from nas_lightning.studies import sample_efficiency as record
from nas_lightning.studies.sample_efficiency import PUBLISHED, read


@pytest.fixture(scope="module")
def three_points() -> Iterator[None]:
    """Curves are of three points, each measured on few architectures."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (record, drawing):
            patched.setattr(module, "POINTS", (0, 20, 40))
        patched.setattr(command, "MEASURED", 50)
        patched.setattr(command, "UNIFORM", 50)
        yield


@pytest.fixture
def study(small_study: Path, tmp_path: Path, three_points: None) -> Path:
    """Two runs of random search."""
    for name in ("arm=random,seed=0", "arm=random,seed=1"):
        shutil.copytree(small_study / name, tmp_path / "study" / name)
    return tmp_path / "study"


@pytest.fixture(scope="module")
def compared(
    small_study: Path, tmp_path_factory: pytest.TempPathFactory, three_points: None
) -> tuple[Path, str, str]:
    """The same after a comparison, read only, and what it printed."""
    study = tmp_path_factory.mktemp("compared") / "study"
    for name in ("arm=random,seed=0", "arm=random,seed=1"):
        shutil.copytree(small_study / name, study / name)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        compare(study)
    return study, out.getvalue(), err.getvalue()


def compare(study: Path, **settings: object) -> None:
    given = {"study": str(study), "rates": [0.01, 0.03], "output": None, "workers": 1, "rows": 2}
    command.compare(OmegaConf.create(given | settings))


def test_all_ways_start_alike_and_a_repeated_command_learns_nothing(
    compared: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    study, out, err = compared
    assert err.count(" of 12: ") == 12
    assert f"| {PUBLISHED} | " in out
    assert "the minibatch's over the architecture's: " in out
    assert (study / "evaluations_2.svg").exists()
    curves = read(study / "evaluations_2.csv")
    for seed in (0, 1):
        of_seed = {curve: gains for curve, gains in curves.items() if curve.seed == seed}
        assert len({gains[0] for gains in of_seed.values()}) == 1, "before any step"
        assert len({tuple(gains) for gains in of_seed.values()}) == 6, "all learn, each in its way"
    before = (study / "evaluations_2.csv").read_bytes()
    compare(study)
    assert " of " not in capsys.readouterr().err
    assert (study / "evaluations_2.csv").read_bytes() == before


def test_a_curve_is_the_same_whenever_it_is_learned(
    compared: tuple[Path, str, str], tmp_path: Path
) -> None:
    study = Path(shutil.copytree(compared[0], tmp_path / "study"))
    path = study / "evaluations_2.csv"
    curves = read(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:4]), encoding="utf-8")  # one curve of three points
    command.task_of.cache_clear()
    compare(study)
    assert read(path) == curves


def test_a_task_judges_on_minibatches_of_its_own_with_the_weights_of_the_run(study: Path) -> None:
    run = study / "arm=random,seed=0"
    task = command.Task(run, rows=2)
    assert {batch.inputs.shape[0] for batch in task.batches} == {2}
    assert [batch.inputs.shape[0] for batch in task.fixed] == [64] * len(task.fixed)
    some = task.space.sample(3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        score = score_all(child_of(run), task.fixed, some)
    expected = 80 / (score.loss_sum / score.count).exp()
    assert torch.allclose(task.rewards(some, task.fixed), expected)


@pytest.mark.parametrize("rates", [0.01, [], ["fast"], [0.01, -1], [True]])
def test_rates_that_are_none(study: Path, rates: object) -> None:
    with pytest.raises(UserError, match=r"^rates=.* is not allowed: must be a list of numbers"):
        compare(study, rates=rates)


def test_a_study_of_several_arms(small_study: Path) -> None:
    with pytest.raises(UserError, match="has several runs of one seed"):
        compare(small_study)


def test_a_drawing_does_not_take_the_place_of_the_curves(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^output=.*a\.svg is not allowed: must end in \.csv"):
        compare(study, output=str(tmp_path / "a.svg"))


def test_curves_of_two_studies_in_one_file(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each learns its own; a rate that is given twice is learned once."""
    study.rename(tmp_path / "other")
    shutil.copytree(tmp_path / "other", study)
    both = str(tmp_path / "both.csv")
    compare(study, output=both, rates=[0.01, 0.01])
    compare(tmp_path / "other", output=both, rates=[0.01])
    assert capsys.readouterr().err.count(" of 6: ") == 12
    found = read(Path(both))
    assert {curve.study for curve in found} == {"study", "other"}
    assert len(found) == 12
