"""The page of a search by gradient shows what happens inside, from the files of a whole run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nas_lightning.commands.report import space_of
from nas_lightning.report.sections.learning_signs import signs_of
from nas_lightning.report.sections.relaxation import relaxation
from nas_lightning.studies.study import read_study


def test_a_search_by_gradient(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(uninterrupted["darts"], tmp_path / "run")
    study = read_study(folder)
    (run,) = study.runs
    space = space_of(run.config)
    section = relaxation(study, {run.arm: "#000000"}, space)
    assert section is not None
    captions = [figure.caption for figure in section.figures]
    for name in (
        "eigenvalue",
        "skips",
        "validation_loss",
        "entropy",
        "loss",
        "derived_loss",
        "gap",
    ):
        assert any(caption.startswith(f"relaxed/{name}") for caption in captions), name
    assert any("weights at the end: none 0." in caption for caption in captions)
    assert any("how undecided" in caption for caption in captions)
    derived = [json.loads(p.read_text()) for p in sorted(folder.glob("analysis/*/derived.json"))]
    assert len(derived) == 2
    assert sum("derived in" in caption for caption in captions) == len(
        {tuple(one["actions"]) for one in derived}
    )
    assert "favour" in section.text[0]
    assert section.text[1] == "The early stop was not called for."
    assert "does not learn" not in signs_of(run)[0]
    (*_, last) = sorted(folder.glob("analysis/*/derived.json"))
    last.write_text(json.dumps(derived[-1] | {"early_stop": derived[0]["actions"]}))
    stopped = relaxation(study, {run.arm: "#000000"}, space)
    assert stopped is not None
    assert stopped.figures[-1].caption == "that of the early stop"

    # What the numbers are of: the weights of a group sum to one, and the gap is the difference.
    shares = [run.last(name) for name in run.metrics if name.startswith("relaxed/share/")]
    assert sum(share or 0 for share in shares) == pytest.approx(1)
    gap, own, derived_loss = (
        run.last(f"relaxed/{n}") or 0.0 for n in ("gap", "loss", "derived_loss")
    )
    assert gap == pytest.approx(derived_loss - own)
    assert run.metrics["relaxed/eigenvalue"].steps == [2, 4, 6, 8]
    assert (
        (run.last("derive/multiply_adds_spent") or 0)
        > (run.last("derive/minibatches_spent") or 0)
        > 0
    )


def test_others_have_no_such_section(uninterrupted: dict[str, Path]) -> None:
    study = read_study(uninterrupted["random"])
    assert relaxation(study, {}, None) is None
