"""What the page says of predictors: a row a stage, means over seeds, nothing without them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nas_lightning.report.sections.predictions import predictions
from nas_lightning.runs.records import Series
from nas_lightning.studies.study import Study


def a_run(**metrics: dict[int, float]) -> Any:
    """A run with values by controller step."""
    series = {
        name.replace("__", "/"): Series(
            epochs=[0] * len(values),
            steps=list(values),
            judged=list(values),
            values=list(values.values()),
        )
        for name, values in metrics.items()
    }
    last = {name: found.values[-1] for name, found in series.items()}
    return SimpleNamespace(metrics=series, last=last.get)


def a_study(**arms: list[Any]) -> Study:
    return cast("Study", SimpleNamespace(arms=list(arms), of=arms.__getitem__))


def test_stages_are_rows_and_seeds_are_averaged() -> None:
    one = a_run(pnas__decisions={9: 1, 20: 3}, pnas__spearman={20: 0.4}, pnas__kept={9: 4, 20: 2})
    other = a_run(pnas__decisions={9: 1, 22: 3}, pnas__spearman={22: 0.8}, pnas__kept={9: 4, 22: 2})
    section = predictions(a_study(pnas=[one, other], random=[a_run()]))
    assert section is not None
    (table,) = section.tables
    assert table.head[:4] == ["arm", "stage", "decisions", "kept"]
    assert table.rows == [
        ["pnas", 1, 1, 4, None, None, None, None, None],
        ["pnas", 2, 3, 2, None, None, None, pytest.approx(0.6), None],
    ]


def test_fits_and_answers_are_the_last() -> None:
    fitted = a_run(predictor__fitted_on={1: 20, 2: 24}, predictor__spearman={1: 0.1, 2: 0.5})
    asked = a_run(proposer__invalid={1: 0.5}, proposer__repeated={1: 0.25})
    section = predictions(a_study(forest=[fitted], model=[asked]))
    assert section is not None
    assert [table.rows for table in section.tables] == [
        [["forest", 24, 0.5, None]],
        [["model", 0.5, 0.25]],
    ]


def test_nothing_was_predicted() -> None:
    assert predictions(a_study(random=[a_run()])) is None
