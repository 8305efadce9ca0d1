"""The page of a run and of a study: what is on it, and that it needs nothing else."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands.report import space_of
from nas_lightning.report import page as page_module
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import Verdict
from tests.written_runs import CONFIG, write_run, write_study

VOID = {"meta", "link", "img", "path", "rect", "use", "br", "circle"}


class Parsed(HTMLParser):
    """A page's elements with their attributes, its text, and whether all that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(folder: Path) -> str:
    study = read_study(folder)
    page = page_of(study, space_of(study.runs[0].config))
    (path,) = write_page(page, folder, markdown=False)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")


def test_a_run(tmp_path: Path) -> None:
    page = Parsed(html_of(write_run(tmp_path / "run")))
    anchors = [section["id"] for section in page.all("section")]
    assert anchors == [
        "best", "ledger", "course", "diversity", "distribution", "states", "similarity", "runs"
    ]  # fmt: skip
    for words in (
        "The controller has learned something",
        "One run cannot say more",
        "+0.5 ± 0.1 (standard error; shared)",
        "perplexity 40 (shared), found in epoch 1",
        "3 architectures were judged, 1 of them without a finite perplexity",
        "2.0, python 3.11",
    ):
        assert words in page.text


@pytest.mark.parametrize(
    ("kl", "gain", "says"),
    [
        (5.0, 0.5, "The controller has learned something"),
        (5.0, 0.15, "has moved, but what it proposes is not shown to be better"),
        (3.0, 0.15, "The controller is not shown to have learned"),
    ],
)
def test_the_signs_of_learning(tmp_path: Path, kl: float, gain: float, says: str) -> None:
    study = read_study(write_run(tmp_path / "run", kl=kl, gain=gain))
    assert says in page_of(study, None).verdict[0][0]


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (0.5, "The controller has learned something"),
        (0.15, "The controller is not shown to have learned"),
    ],
)
def test_the_signs_of_learning_without_a_policy(tmp_path: Path, gain: float, says: str) -> None:
    folder = write_run(tmp_path / "run", gain=gain)
    metrics = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text(
        "\n".join([*(line for line in metrics if "kl_to" not in line), ""])
        + "0,1,3,3,9,derive/reward,1.0\n"
    )
    (folder / "analysis/HeatMaps.undefined").touch()
    page = page_of(read_study(folder), None)
    assert page.verdict[0][0].startswith(says)
    assert page.notes == [
        "this run: not defined for this controller: KL to uniform, entropy, heat maps"
    ]


def test_a_study(study: Path) -> None:
    page = Parsed(html_of(study))
    anchors = [section["id"] for section in page.all("section")]
    assert "decomposition" in anchors
    assert "lstm, seed 0, perplexity 40 (shared), found in epoch 1" in page.text
    assert "-0.200 ± 0.000" not in page.text
    assert "-0.250 ± 0.071" in page.text, "similarity of seeds 0 and 1"
    assert "-0.315" in page.text, "the published one beside it"


def test_the_decomposition_is_that_of_the_file(study: Path) -> None:
    """Architectures better by 0.2, weights by 1, at home by 0.1: for every seed the same.

    Under random's weights random's are at home.
    """
    page = page_of(read_study(study), None)
    (section,) = [section for section in page.sections if section.anchor == "decomposition"]
    assert section.tables[0].rows[0] == [
        "lstm", "mean", 2,
        *(f"{d}, the same for every seed" for d in (-1.2, -0.1, -1.1, -0.2, -1, -0.1)),
    ]  # fmt: skip


def test_self_contained(study: Path) -> None:
    text = html_of(study)
    assert "http:" not in text
    assert "https:" not in text
    assert len(text) < 5_000_000
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", text))
    page = Parsed(text)
    references = [e[key] for _, e in page.elements for key in ("src", "href") if key in e]
    assert all(str(found).startswith(("#", "data:")) for found in references)
    for tag in ("svg", "img"):
        assert page.all(tag)
    assert all(figure.get("aria-label") for figure in page.all("svg"))
    assert all(figure.get("alt") for figure in page.all("img"))


def test_names_within_figures_do_not_clash(study: Path) -> None:
    text = html_of(study)
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) > 30
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used
    assert used <= set(ids)


def test_figures_take_the_colours_of_the_text(study: Path) -> None:
    figures = "".join(re.findall(r"<svg.*?</svg>", html_of(study), re.DOTALL))
    assert "currentColor" in figures
    assert "#000" not in figures


def test_the_same_run_gives_the_same_bytes(study: Path) -> None:
    assert html_of(study) == html_of(study)


def test_everything_shown_is_escaped(tmp_path: Path) -> None:
    arm = "<script>alert(1)</script>$x_{$"
    write_run(tmp_path / "<i>" / "x", controller={"_target_": "c.C", "entropy": arm})
    write_run(tmp_path / "<i>" / "y", controller={"_target_": "c.C", "entropy": "b"})
    text = html_of(tmp_path / "<i>")
    assert "<i>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "my&lt;b&gt;.zip" in text
    Parsed(text)


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_the_page_escapes_whatever_it_shows(tmp_path: Path) -> None:
    """Arms, values, keys, reasons, options, purposes: all that a person or a file may set."""
    study = tmp_path / "a<b>study"
    for seed, name in enumerate(("x", "y", MARKUP.replace("/", ""))):
        folder = study / name
        controller = {"_target_": MARKUP, MARKUP: MARKUP + name}
        write_run(folder, seed=seed, controller=controller, study=MARKUP, note={MARKUP: MARKUP})
        for file in ("ledger.jsonl", "metrics.csv", "best_architecture.json"):
            text = (folder / file).read_text()
            escaped = MARKUP.replace('"', "")
            for word in ('"shared"', "derive/kl_to_uniform", '"2.0"', '"ok"'):
                text = text.replace(word, word[:-1] + escaped + word[-1])
            (folder / file).write_text(text)
    write_run(study / "failed", end="FAILED", reason=f"{MARKUP}\n{MARKUP}")
    for path in (study, study / "x"):
        (written,) = write_page(page_of(read_study(path), None), path, markdown=False)
        text = written.read_text(encoding="utf-8")
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "a<b>" not in text
        assert len(re.findall("<script", text)) == 1, "its own"


def test_what_exploded_is_counted_and_not_averaged(tmp_path: Path) -> None:
    """Perplexities of 55, 90 and e^90, whose mean would say nothing; guessing among 1,000 words."""
    losses = [math.log(55), math.log(90), 90.0]
    folder = write_run(tmp_path / "run", losses=losses)
    (folder / "data.json").write_text(json.dumps({"schema": 1, "vocabulary": 1000}))
    page = page_of(read_study(folder), None)
    (table,) = next(s.tables for s in page.sections if s.anchor == "distribution")
    row = dict(zip(table.head, table.rows[0], strict=True))
    assert (row["architectures"], row["exploded"]) == (3, 1)
    assert row["mean"] == pytest.approx(72.5)
    assert row["median"] == pytest.approx(90)
    assert "exploded is above 1,000, that of a guess" in table.caption


def test_the_published_table_stands_beside_cells_alone(tmp_path: Path) -> None:
    cnn = {"_target_": "nas_lightning.search_spaces.nas_cnn.space.ConvolutionalSpace"}
    changes: dict[str, dict[str, Any]] = {"cells": {}, "cnn": {"search_space": cnn}}
    for name, more in changes.items():
        page = page_of(read_study(write_run(tmp_path / name, **more)), None)
        (table,) = next(s.tables for s in page.sections if s.anchor == "similarity")
        published = any(str(row[0]).startswith("published") for row in table.rows)
        assert published == (name == "cells") == ("Adam & Lorraine" in table.caption)


def test_the_ledger_is_sortable_and_best_first(tmp_path: Path) -> None:
    text = html_of(write_run(tmp_path / "run", losses=[4.5, float("nan"), 4.0, 4.25]))
    (table,) = re.findall(r'<table class="sortable">.*?</table>', text, re.DOTALL)[:1]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    found = [re.findall(r'data-value="([^"]+)"', row)[:2] for row in rows]
    assert found == [["1", "40.0"], ["2", "42.5"], ["3", "45.0"]]
    assert "NaN" not in table


def test_the_same_architecture_stands_once(study: Path) -> None:
    page = page_of(read_study(study), None)
    (table,) = next(section.tables for section in page.sections if section.anchor == "ledger")
    assert len(table.rows) == 2


def test_the_verdict_comes_first(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        page_module,
        "verdict_of",
        lambda s: Verdict([], {"a": ["Better.", f"In {s.folder.name}."]}, [], {}),
    )
    text = html_of(study)
    assert '<p class="headline">Better.</p>\n<p>In study.</p>' in text
    assert text.index("Better.") < text.index("recurrent cell space")
    monkeypatch.setattr(page_module, "verdict_of", lambda study: Verdict([], {}, [], {}))
    assert "No verdict yet" in html_of(study)


def test_arms_without_runs_are_said(study: Path) -> None:
    for run in study.glob("arm=lstm,*"):
        run.rename(study / run.name.replace("lstm", "other"))
    page = page_of(read_study(study), None)
    assert page.notes == ["cross_evaluation.jsonl: arms without runs are left out: lstm"]
    assert "decomposition" not in [section.anchor for section in page.sections]


def test_markdown(study: Path) -> None:
    page = page_of(read_study(study), None)
    _, path = write_page(page, study, markdown=True)
    text = path.read_text()
    assert "# Study study" in text
    assert "| lstm | mean | 2 | -1.2, the same for every seed |" in text
    assert "&" not in text.replace("Adam & Lorraine", ""), "Markdown is not escaped as HTML"


def test_a_run_without_metrics(tmp_path: Path) -> None:
    """One that has just begun: its configuration is all there is."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps({**CONFIG, "seed": 0}))
    (folder / "ledger.jsonl").touch()
    page = Parsed(html_of(folder))
    assert [section["id"] for section in page.all("section")] == ["runs"]
    assert "has stopped after 0 of 2 epochs" in page.text
    assert "Nothing can be said yet" in page.text


def test_final_numbers(study: Path) -> None:
    folder = study / "arm=lstm,seed=0/retrain/seed=0"
    folder.mkdir(parents=True)
    network = {"test": [{"perplexity": 50.0}, {"perplexity": 52.0}], "parameters": 1234}
    network["validation"] = network["test"]
    final = {**network, "objective": "perplexity", "kind": "final"}
    final["reference"] = {**network, "description": "an LSTM of 9 units"}
    (folder / "final.json").write_text(json.dumps(final))
    page = Parsed(html_of(study))
    assert "final" in [section["id"] for section in page.all("section")]
    assert "51 ± 1.4 (2 seeds)" in page.text
    assert "an LSTM of 9 units" in page.text
