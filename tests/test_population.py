"""Two newcomers, as a user would write them: a controller without a policy, and a metric.

`population.py` evolves a population and has no likelihood; `bits.py` measures what is the better
the less of it there is. Both lie outside the package, which knows nothing of them.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.commands.cross_evaluate import OPTIONS, cross_evaluate
from nas_lightning.commands.report import space_of
from nas_lightning.commands.study_table import METRICS, tabulate
from nas_lightning.report.page import page_of, write_page
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import verdict_of
from tests.ledger_rows import ledger_rows
from tests.processes import CNN, TINY, UNSEEN, Command, Ended, Kill, differing, run

NEWCOMERS = Path(__file__).parent / "newcomers"
CONF = ("--config-dir", str(NEWCOMERS / "conf"))
BITS = (
    *TINY,
    "controller=population",
    "child._target_=bits.BitsChild",
    "estimator.objective=bits_per_token",
    "reward=objective",
    "callbacks.checkpoint.every_seconds=0",
)
UNDEFINED = (
    "not defined for this controller: KL to uniform, entropy, heat maps, hidden states, probes, "
    "similarity"
)


def find_them() -> None:
    """What PYTHONPATH does for a process that begins."""
    sys.path.insert(0, str(NEWCOMERS))


def call(folder: Path, *arguments: str, **more: Any) -> Ended:
    return run(Command(arguments, folder, prepare=find_them, **more))


def text_of(folder: Path) -> str:
    """The words of a page."""
    study = read_study(folder)
    page = page_of(study, space_of(study.runs[0].config))
    path = write_page(page, folder, markdown=True)[1]
    return path.read_text(encoding="utf-8").replace("\\", "")


# ------------------------------------------------------------------- both together


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two arms with one seed, under shared weights, judged in bits; read only."""
    root = tmp_path_factory.mktemp("crossed")
    for arm in ("population", "random"):
        asked = (*CONF, *BITS, f"controller={arm}", f"hydra.run.dir='study/arm={arm},seed=0'")
        ended = call(root, *asked, *(UNSEEN if arm == "random" else ()))
        assert ended.code == 0, ended
        (root / f"{arm}.out").write_text(ended.out)
        (root / f"{arm}.err").write_text(ended.err)
    return root / "study"


@pytest.fixture(scope="module")
def evolved(crossed: Path) -> Path:
    return crossed / "arm=population,seed=0"


def test_killed_and_resumed(evolved: Path, tmp_path: Path) -> None:
    """Among the controller's steps, of which an epoch's are 5 to 7."""
    kills = [Kill(0, 6, "step"), Kill(1, 6, "saved")]
    for arguments, kill in zip(
        [(*CONF, *BITS, "hydra.run.dir=run"), ("resume=run",)], kills, strict=True
    ):
        assert call(tmp_path / "here", *arguments, kill=kill).code == -kill.by
    assert call(tmp_path / "here", "resume=run", page=False).code == 0
    assert differing(tmp_path / "here/run", evolved) == []


def test_what_is_not_defined_is_said(evolved: Path) -> None:
    said = (evolved.parents[1] / "population.err").read_text()
    for name in ("HeatMaps", "HiddenStates", "Probes", "Similarity"):
        assert said.count(f"{name}: not defined for this controller") == 1
    out = (evolved.parents[1] / "population.out").read_text()
    assert "KL to uniform not defined" in " ".join(out.replace("│", "").split())
    page = text_of(evolved)
    assert page.count(UNDEFINED) == 1
    assert "It has no policy, so that KL to uniform is not defined for this controller" in page
    assert "Nothing can be said yet" not in page
    with (evolved / "metrics.csv").open(encoding="utf-8") as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"derive/reward_minus_uniform", "controller/reward", "diversity/revisit_rate"} <= names
    assert not names & {"derive/kl_to_uniform", "controller/entropy", "controller/loss"}


def test_the_least_bits_are_the_best(evolved: Path) -> None:
    rows = ledger_rows(evolved / "ledger.jsonl")
    best = json.loads((evolved / "best_architecture.json").read_text())
    finalists = [r for r in rows if r["purpose"] == "finalist" and r["epoch"] == 1]
    bits = [row["metrics"]["bits_per_token"] for row in finalists]
    assert len(set(bits)) > 1
    assert best["metrics"]["bits_per_token"] == min(bits)
    declared = [best[key] for key in ("objective", "unit", "direction")]
    assert declared == ["bits_per_token", "bits", "less"]
    for row in rows:
        assert row["reward"] == pytest.approx(-row["metrics"]["bits_per_token"])


def test_bits_are_ranked_and_named_with_their_unit(evolved: Path) -> None:
    study = read_study(evolved)
    (ledger,) = [s for s in page_of(study, None).sections if s.anchor == "ledger"]
    (table,) = ledger.tables
    column = list(table.head).index("bits-per-token (bits)")
    values = [float(row[column]) for row in table.rows]  # type: ignore[arg-type]
    assert len(set(values)) > 5
    assert values == sorted(values)
    page = text_of(evolved)
    best = json.loads((evolved / "best_architecture.json").read_text())
    named = f"bits-per-token {best['metrics']['bits_per_token']:.4g} bits (shared)"
    assert named in page
    assert "bits-per-token (bits; shared) of the same architectures" in page
    assert "Runs; best bits-per-token (bits)" in page
    assert named in (evolved.parents[1] / "population.out").read_text()
    assert "bits-per-token" in (evolved.parents[1] / "population.err").read_text()


def test_every_file_has_a_schema_number(evolved: Path) -> None:
    for name in ("best_architecture.json", "metrics.json", "data.json"):
        assert json.loads((evolved / name).read_text())["schema"] == 1, name


def test_cross_evaluated(
    crossed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the population asks for now is drawn, as often as is wanted."""
    monkeypatch.syspath_prepend(str(NEWCOMERS))
    options = {**OPTIONS, "study": str(crossed), "architectures": 20, "workers": 1}
    cross_evaluate(OmegaConf.create(options))
    table = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in table[2:6:2]] == ["| population", "| random"]


def test_retrained_by_the_fewest_bits(evolved: Path, tmp_path: Path) -> None:
    """The setting is chosen right, and the reference is judged by the same metric."""
    for name in ("best_architecture.json", "config.yaml", "DONE", "ledger.jsonl"):
        target = tmp_path / "here/run" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((evolved / name).read_bytes())
    arguments = ("-m", "run=run", "retrain.epochs=1", "retrain.learning_rate=0.1,5", "threads=1")
    few = ("data.batch_size=128", "data.evaluation_batch_size=256", "data.sequence_length=32")
    ended = call(tmp_path / "here", *arguments, *few, module="nas_lightning.commands.retrain")
    assert ended.code == 0, ended
    (file,) = (tmp_path / "here/run/retrain").glob("final-*.json")
    final = json.loads(file.read_text())
    assert (final["schema"], final["unit"], final["direction"]) == (1, "bits", "less")
    for network in ("architecture", "reference"):
        tried = {s["varied"]["retrain.learning_rate"]: s[network] for s in final["grid"]}
        chosen = (final if network == "architecture" else final["reference"])["settings"]
        assert tried[0.1] != tried[5]
        assert chosen["learning_rate"] == min(tried, key=lambda rate: tried[rate])
    assert "bits-per-token (bits; final)" in ended.out
    assert re.search(r"epoch 1/1: validation bits-per-token [\d.]+ bits\n", ended.err)


# ------------------------------------------------------------------- the population alone


def test_in_a_growing_space(tmp_path: Path) -> None:
    arguments = (*CNN, *UNSEEN, "controller=population", "search_space.grow_every=8")
    ended = call(tmp_path / "here", *CONF, *arguments, "hydra.run.dir=run", page=False)
    assert ended.code == 0, ended
    rows = ledger_rows(tmp_path / "here/run/ledger.jsonl")
    lengths = [len(row["actions"]) for row in rows if row["purpose"] != "uniform"]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 1
    state = torch.load(tmp_path / "here/run/checkpoints/last.ckpt", weights_only=True)
    assert len(state["state_dict"]["controller.members"][0]) == max(lengths)


def test_in_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compared with random search, seed by seed, by a table that is exact."""
    arguments = (
        "experiment=table",
        "arm=population,random",
        "seed=0,1",
        "trainer.max_epochs=6",
        "logger=csv",
        "threads=1",
    )
    ended = call(tmp_path / "here", "-m", *CONF, *arguments)
    assert ended.code == 0, ended
    study = tmp_path / "here/outputs/table"
    (sentences,) = verdict_of(read_study(study)).arms.values()
    assert sentences[0].startswith("population: ")
    (signs,) = [line for line in sentences if line.startswith("Signs of learning: ")]
    assert "KL to uniform not defined for this controller" in signs
    page = text_of(study)
    assert page.count(f"population: {UNDEFINED}") == 1
    assert f"random: {UNDEFINED}" not in page
    assert "population: population" in page, "what proposes"

    tabulate(OmegaConf.create({"study": str(study), "metrics": METRICS, "output": None}))
    table = capsys.readouterr().out
    assert f"population: {UNDEFINED}" in table
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if "|" in line]
    arms, of_metric = lines[0][1:], {name: cells for name, *cells in lines[2:]}
    kl = dict(zip(arms, of_metric["derive/kl_to_uniform"], strict=True))
    assert kl["population"] == "–"
    assert kl["random"] == "0 ± 0"
    [best] = [cells for name, cells in of_metric.items() if name.startswith("best perplexity")]
    means = [float(cell.split(" ")[0]) for cell in best]
    assert means == sorted(means), "the best arm first"
