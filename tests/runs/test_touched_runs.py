"""Files of a finished run are lost, cut, damaged and swapped: one line, or all that still stands.

And what it was searched on is changed behind it: data, configuration, versions.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.messages import MENDABLE, ending
from nas_lightning.assembly.rebuild import child_of, configuration, data_of
from nas_lightning.assembly.retraining import conclude, retrain
from nas_lightning.assembly.run import run as run_whole
from nas_lightning.assembly.run import search_in, search_whole
from nas_lightning.commands.cross_evaluate import OPTIONS, cross_evaluate
from nas_lightning.commands.ground_truth import keep_to
from nas_lightning.commands.rank_agreement import OPTIONS as OF_RANKS
from nas_lightning.commands.rank_agreement import agreements
from nas_lightning.commands.report import report
from nas_lightning.commands.retrain import rewritten
from nas_lightning.commands.study_table import METRICS, tabulate
from nas_lightning.commands.train import resumed
from nas_lightning.data.fingerprint import fingerprint_of
from nas_lightning.errors import UserError
from nas_lightning.runs import stretches
from nas_lightning.runs.folder import RunFolder
from tests.given import composed

SETTINGS = (
    "experiment=smoke",
    "logger=csv",
    "threads=1",
    "trainer.max_epochs=1",
    "callbacks.checkpoint.every_seconds=0",
    "search_space.num_nodes=3",
    "child.hidden_size=4",
    "data=text",
    "data.batch_size=4",
    "data.evaluation_batch_size=4",
    "data.sequence_length=8",
    "retrain.epochs=1",
    "reference=null",
    *(f"~callbacks.{name}" for name in ("hidden_states", "heat_maps", "probes", "similarity")),
    "~callbacks.progress",
)
"""An epoch of a tenth of a second, with a checkpoint at every step."""

Work = Callable[[Path], object]


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def write_text(folder: Path, letters: str = "abcdefgh") -> Path:
    """Three files of lines of one-letter words."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in (("train", 40), ("valid", 12), ("test", 12)):
        draw = random.Random(split)
        text = "".join(" ".join(draw.choices(letters, k=9)) + "\n" for _ in range(lines))
        (folder / f"{split}.txt").write_text(text)
    return folder


def search(folder: Path, *overrides: str) -> Path:
    """A search in this process."""
    cfg = composed(*SETTINGS, *overrides)
    entered = RunFolder(folder)
    with entered.locked():
        search_in(entered, cfg, search_whole)
    return folder


def entire(folder: Path, *overrides: str) -> None:
    """A search with its table and page, as the command does it."""
    cfg = composed(*SETTINGS, *overrides)
    OmegaConf.set_struct(cfg, False)
    cfg.pop("hydra", None)
    run_whole(cfg, folder)


def resume(folder: Path, epochs: int | None = None) -> None:
    """`python train.py resume=FOLDER trainer.max_epochs=…`."""
    resumed([f"resume={folder}"])
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if epochs is not None:
        cfg.trainer.max_epochs = epochs
    entered = RunFolder(folder)
    with entered.locked():
        search_in(entered, cfg, search_whole)


def retrained(folder: Path) -> None:
    """`python scripts/retrain.py run=FOLDER`."""
    flags = rewritten([f"run={folder}"])
    given = {key: value for key, _, value in (flag.partition("=") for flag in flags)}
    cfg = OmegaConf.load(folder / "retrain/config.yaml")
    assert isinstance(cfg, DictConfig)
    cfg.architecture = json.loads(given["+architecture"])
    cfg.searched = given["+searched"].strip("'")
    job = folder / "retrain/job"
    job.mkdir(exist_ok=True)
    retrain(cfg, job)
    conclude([job], job / "final.json")


def table(folder: Path) -> None:
    """`python scripts/study_table.py study=…`."""
    tabulate(OmegaConf.create({"study": str(folder.parent), "metrics": METRICS, "output": None}))


COMMANDS: dict[str, Work] = {
    "resume": resume,
    "search on": lambda folder: resume(folder, 2),
    "report": lambda folder: report(folder, markdown=False),
    "retrain": retrained,
    "table": table,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that has been retrained, and reported; read only."""
    folder = tmp_path_factory.mktemp("study") / "arm=lstm,seed=0"
    search(folder, f"data.source.path={text}")
    retrained(folder)
    report(folder, markdown=False)
    return folder


@pytest.fixture(scope="module")
def another(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of another space and seed; read only."""
    folder = tmp_path_factory.mktemp("other") / "arm=lstm,seed=1"
    search(folder, f"data.source.path={text}", "seed=1", "search_space.num_nodes=4")
    retrained(folder)
    report(folder, markdown=False)
    return folder


def content(folder: Path, *left_out: str) -> dict[str, bytes]:
    """Every file; the lock alone says who was there last."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.name != ".lock" and name.parts[0] not in left_out
    }


def refused(work: Work, folder: Path) -> str | None:
    """Why a command refuses, in one line; None if it does what it is for."""
    before = content(folder, "retrain")
    try:
        work(folder)
    except MENDABLE as error:
        said = ending(error)[1]
        assert "\n" not in said
        assert content(folder, "retrain") == before, said
        return said
    return None


def flip(path: Path) -> None:
    """Change a byte in the middle."""
    found = bytearray(path.read_bytes())
    if found:
        found[len(found) // 2] ^= 0x15
    path.write_bytes(found)


def drawn(figure: object, file: IO[str], **_: object) -> None:
    """A chart that is empty; how charts are drawn is tested in tests/report."""
    file.write('<svg viewBox="0 0 1 1"></svg>')


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "deleted": lambda path, other: path.unlink(),
    "cut": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path, other: flip(path),
    "swapped": lambda path, other: shutil.copy(other, path),
    "emptied": lambda path, other: path.write_bytes(b""),
}

FILES = [
    "DONE",
    "best_architecture.json",
    "checkpoints/last.ckpt",
    "checkpoints/previous.ckpt",
    "config.yaml",
    "data.json",
    "inputs.json",
    "ledger.jsonl",
    "metrics.json",
    "metrics.csv",
    "report.html",
    "stretches.jsonl",
    "retrain/config.yaml",
    "retrain/job/architecture.pt",
    "retrain/job/final.json",
    "retrain/job/retrained.json",
]


def test_the_files_are_all_there_are(whole: Path) -> None:
    found = {name for name in content(whole) if not name.startswith("analysis/")}
    assert found == set(FILES)


READERS = {
    "report.html": ("report",),
    "data.json": ("report",),
    "inputs.json": (),
    "metrics.json": ("report", "table"),
    "checkpoints/previous.ckpt": ("search on",),
    "checkpoints/last.ckpt": ("resume", "search on"),
    "retrain/config.yaml": ("retrain",),
    "retrain/job/architecture.pt": ("retrain",),
    "retrain/job/final.json": ("retrain", "report"),
    "retrain/job/retrained.json": ("retrain",),
}
"""Who looks at a file, where not all do; the others try once."""


ALL = set(COMMANDS)
REFUSED = {
    ("best_architecture.json", "deleted cut emptied"): {"retrain"},
    ("config.yaml", "deleted cut flipped swapped emptied"): ALL,
    ("stretches.jsonl", "swapped"): ALL,
    ("ledger.jsonl", "deleted"): {"resume", "search on", "report", "table"},
    ("ledger.jsonl", "swapped emptied"): {"search on"},
    ("metrics.csv", "emptied"): {"search on", "table"},
    ("retrain/job/architecture.pt", "deleted cut swapped emptied"): {"retrain"},
    ("retrain/job/retrained.json", "cut swapped emptied"): {"retrain"},
}
"""Where there is nothing to go on from, or something that is another's."""


@pytest.mark.parametrize("file", FILES)
def test_every_command_on_every_damage(
    file: str,
    whole: Path,
    another: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each does its work or refuses in a line; what is refused stays as it was, byte for byte."""
    draw = Figure.savefig
    for number, (name, damage) in enumerate(DAMAGE.items()):
        # Charts of other numbers than a run's own are drawn.
        monkeypatch.setattr(Figure, "savefig", draw if name == "flipped" else drawn)
        for command, work in COMMANDS.items():
            if command == "report" and number > 2 and file != "best_architecture.json":
                continue  # a page takes long
            if number and command not in READERS.get(file, COMMANDS):
                continue
            folder = shutil.copytree(whole, tmp_path / f"{name} {command}" / whole.name)
            damage(folder / file, another / file)
            said = refused(work, folder)
            assert "Traceback" not in capsys.readouterr().err
            for (where, damages), commands in REFUSED.items():
                if where == file and name in damages.split():
                    assert (said is not None) == (command in commands), (name, command, said)
            if said is not None:
                assert (folder / "DONE").exists() or (file, name) == ("DONE", "deleted")
                assert not (folder / "FAILED").exists()
            shutil.rmtree(folder.parent)


def test_runs_on_altered_data_do_not_compare(whole: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        shutil.copytree(whole, tmp_path / f"study/arm=lstm,seed={seed}")
    report(tmp_path / "study", markdown=False)
    record = tmp_path / "study/arm=lstm,seed=1/stretches.jsonl"
    stretch = json.loads(record.read_text())
    stretch["data"]["validation"] = "1 bytes, hash 0"
    record.write_text(json.dumps(stretch) + "\n")
    with pytest.raises(UserError, match=r"its validation data are 1 bytes, hash 0, those of"):
        report(tmp_path / "study", markdown=False)


# --------------------------------------------------------------------- what was searched on


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run on a text of its own, to be spoiled."""
    return search(tmp_path / "seed=0", f"data.source.path={write_text(tmp_path / 'text')}")


def shuffled(text: Path) -> None:
    lines = (text / "train.txt").read_text().splitlines()
    (text / "train.txt").write_text("\n".join(sorted(lines)) + "\n")


@pytest.mark.parametrize(
    "alter", [shuffled, lambda text: write_text(text, "abcdefghi")], ids=["order", "vocabulary"]
)
def test_altered_data(alter: Callable[[Path], object], run: Path, tmp_path: Path) -> None:
    """Refused by all that would mix them; put back, the run goes on."""
    alter(tmp_path / "text")
    for work in (COMMANDS["search on"], retrained, data_of, child_of):
        said = refused(work, run)
        assert said is not None
        assert "the training data have changed: now " in said
        assert "put them back as they were" in said
    assert (run / "DONE").exists()
    write_text(tmp_path / "text")
    resume(run, 2)
    assert (run / "DONE").exists()
    resume(run, 3)


def test_shared_weights_of_other_data(whole: Path, tmp_path: Path) -> None:
    """Same vocabulary, so that they would fit."""
    text = write_text(tmp_path / "text")
    frozen = (f"estimator.weights='{whole}'", "estimator.child_steps=0")
    search(tmp_path / "same", f"data.source.path={text}", *frozen)
    shuffled(text)
    with pytest.raises(UserError) as refused:
        search(tmp_path / "other", f"data.source.path={text}", *frozen)
    said = str(refused.value)
    assert said.startswith(f"estimator.weights={whole}: the training data have changed: now ")
    assert said.endswith("or take the weights of a run on these")
    assert not (tmp_path / "other/ledger.jsonl").exists()


def test_what_is_made_of_altered_data(run: Path, tmp_path: Path) -> None:
    """Nothing is scored under weights, or trained beside children, of other data."""
    children = tmp_path / "children"
    children.mkdir()
    cfg = configuration(run)
    keep_to(children, cfg, make(cfg, "data").fingerprint)
    keep_to(children, cfg, make(cfg, "data").fingerprint)
    shuffled(tmp_path / "text")
    changed = "the training data have changed: now "
    with pytest.raises(UserError, match=f"^{children}: {changed}.* or give another folder=…"):
        keep_to(children, cfg, make(cfg, "data").fingerprint)
    study = {"study": str(tmp_path)}
    with pytest.raises(UserError, match=changed):
        agreements(OmegaConf.create({**OF_RANKS, **study}))
    alone = {"against": "", "workers": 1}  # the arm of a folder whose name has none
    with pytest.raises(UserError, match=changed):
        cross_evaluate(OmegaConf.create({**OPTIONS, **study, **alone}))


def test_a_retraining_on_other_data_is_not_held_to_the_searched(
    whole: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, tmp_path / whole.name)
    for argument, held in (
        ("data.source.path=other.txt", False),
        ("data.source._target_=my.Source", False),
        ("~data.source.path", False),
        ("data=ptb", False),
        ("data.batch_size=3", True),
    ):
        flags = rewritten([f"run={folder}", argument])
        assert any(flag.startswith("+searched=") for flag in flags) is held, argument


def test_moved_data(run: Path, tmp_path: Path) -> None:
    """What counts is what they hold: their new place may be written into config.yaml."""
    (tmp_path / "text").rename(tmp_path / "elsewhere")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(f"{tmp_path}/text", f"{tmp_path}/elsewhere"))
    resume(run, 2)
    assert [s.data for s in stretches.read(run)[0]] == [stretches.read(run)[0][0].data] * 2


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("search.architectures_per_step", 4, 6),
        ("estimator.optimizer.lr", 20, 1e-7),
        ("search_space.num_nodes", 3, 4),
        ("threads", 1, 2),
    ],
)
def test_an_edited_configuration(
    key: str, old: float, new: float, whole: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, tmp_path / whole.name)
    cfg = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(cfg, key, new)
    OmegaConf.save(cfg, folder / "config.yaml")
    for name in ("resume", "search on", "report", "retrain"):
        said = refused(COMMANDS[name], folder)
        assert said is not None
        assert f"has {key}={new}, but stretches.jsonl says that the run was searched with" in said
        assert f"{key}={old}; put back" in said


def test_more_epochs_may_be_written_into_the_configuration(run: Path) -> None:
    cfg = yaml.safe_load((run / "config.yaml").read_text())
    cfg["trainer"]["max_epochs"] = 2
    (run / "config.yaml").write_text(yaml.safe_dump(cfg))
    resume(run)
    rows = (run / "ledger.jsonl").read_text().splitlines()
    assert {json.loads(row)["epoch"] for row in rows} == {0, 1}


def test_other_versions_are_said(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = stretches.versions()
    capsys.readouterr()
    resume(run, 2)
    assert "note: " not in capsys.readouterr().err, "they are the same"
    monkeypatch.setattr(stretches, "versions", lambda: now | {"torch": "9.9"})
    resume(run, 3)
    said = capsys.readouterr().err
    assert said.count("note: ") == 1
    assert f"goes on with other versions: torch 9.9 (was {now['torch']})" in said
    found, damaged = stretches.read(run)
    assert ([s.versions["torch"] for s in found], damaged) == ([now["torch"]] * 2 + ["9.9"], 0)
    report(run, markdown=True)
    page = (run / "report.md").read_text()
    assert "torch 9.9" in page
    assert now["torch"] in page
    assert "was searched with different versions" in page


def test_a_run_without_a_record(run: Path) -> None:
    """As runs were before there was one."""
    (run / "stretches.jsonl").unlink()
    resume(run, 2)
    report(run, markdown=False)
    retrained(run)
    assert len(stretches.read(run)[0]) == 1


def test_a_resume_that_fails_leaves_a_finished_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it fails while a checkpoint is restored."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("it does not fit")

    before = content(run)
    monkeypatch.setattr("nas_lightning.engine.ArchitectureSearch.load_state_dict", broken)
    with pytest.raises(RuntimeError, match="it does not fit"):
        resume(run, 2)
    assert content(run) == before


# --------------------------------------------------------------------- what is told of them


def test_bits_per_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nats over ln 2, where tokens are characters: at the end, on the page, of the retrained."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "seed=0"
    entire(folder, f"data.source.path={write_text(tmp_path / 'text')}", "data.level=character")
    best = json.loads((folder / "best_architecture.json").read_text())["metrics"]
    bits = best["loss"] / math.log(2)
    assert f" · {bits:.4g} bits per character" in capsys.readouterr().out
    report(folder, markdown=True)
    assert f"{bits:.4g} (log2 of the best perplexity)" in (folder / "report.md").read_text()
    retrained(folder)
    final = json.loads((folder / "retrain/job/final.json").read_text())
    said = " ".join(capsys.readouterr().out.split())
    assert f"test bits per character │ {final['test'][0]['loss'] / math.log(2):.4g} │" in said


# --------------------------------------------------------------------- fingerprints


def test_fingerprints() -> None:
    text = fingerprint_of({"training": ["a b\n"], "test": [None]})
    assert text["training"].startswith("4 bytes, hash ")
    assert text == fingerprint_of({"training": ["a b\n"], "test": [None]})
    assert text != fingerprint_of({"training": ["b a\n"], "test": [None]})
    array = np.arange(6, dtype=np.uint8)
    others = [array, array[::-1], array.reshape(2, 3), array.astype(np.int8), array.reshape(3, 2).T]
    assert len({fingerprint_of({"training": [part]})["training"] for part in others}) == 5


def test_damaged_weights_are_refused(whole: Path, tmp_path: Path) -> None:
    """A flipped bit within a tensor, which torch would load."""
    folder = shutil.copytree(whole, tmp_path / whole.name)
    path = folder / "checkpoints/last.ckpt"
    weights = torch.load(path, weights_only=True)["state_dict"]
    key = next(key for key in weights if key.startswith("estimator.child."))
    place = path.read_bytes().index(weights[key].numpy().tobytes())
    found = bytearray(path.read_bytes())
    found[place] ^= 1
    path.write_bytes(found)
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"][key], weights[key])
    with pytest.raises(UserError, match=r"last\.ckpt is damaged"):
        child_of(folder)
