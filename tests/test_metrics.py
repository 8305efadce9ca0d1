"""What a metric is called, how its values are shown, and where it is read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas_lightning.errors import UserError
from nas_lightning.metrics import Metric
from nas_lightning.runs.records import declared_by, objective_in

LATENCY = Metric(name="mean_latency", unit="ms", direction="less")
SCORE = Metric(name="score", unit="", direction="more")


def test_names_and_values_for_people() -> None:
    assert LATENCY.label() == "mean-latency (ms)"
    assert LATENCY.label("proxy") == "mean-latency (ms; proxy)"
    assert LATENCY.said(3.14159) == "mean-latency 3.142 ms"
    assert LATENCY.said(12345.0) == "mean-latency 12,345 ms"
    assert LATENCY.said(float("nan")) == "mean-latency nan ms"
    assert (SCORE.label(), SCORE.label("exact")) == ("score", "score (exact)")
    assert SCORE.said(0.5) == "score 0.5"


def test_read_from_a_record() -> None:
    record = {"objective": "mean_latency", "unit": "ms", "direction": "less"}
    assert objective_in(record) == LATENCY
    assert objective_in({"objective": "accuracy"}).direction == "more", "version 0.1"
    with pytest.raises(UserError, match="less or more of mean_latency"):
        objective_in({"objective": "mean_latency"})


def test_read_from_a_run(tmp_path: Path) -> None:
    assert declared_by(tmp_path, "perplexity").direction == "less", "version 0.1 declared nothing"
    with pytest.raises(UserError, match="less or more of mean_latency is better stands nowhere"):
        declared_by(tmp_path, "mean_latency")
    metrics = [{"name": "mean_latency", "unit": "ms", "direction": "less"}]
    (tmp_path / "metrics.json").write_text(json.dumps({"schema": 1, "metrics": metrics}))
    assert declared_by(tmp_path, "mean_latency") == LATENCY
    for damaged in ({}, {"metrics": 1}, {"metrics": [{"name": "x", "direction": "up"}]}):
        (tmp_path / "metrics.json").write_text(json.dumps(damaged))
        with pytest.raises(UserError, match=r"metrics\.json: holds no metrics"):
            declared_by(tmp_path, "mean_latency")
