"""Bad input of every kind to every command: one line that tells the way out, and nothing astray.

The first row of each program is a process of its own; the others are called in a shell. A file that
nobody may read is one to the superuser, too.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.assembly.rebuild import child_of, controller_of
from nas_lightning.errors import UserError
from tests.processes import TINY, Command, run
from tests.shell import Shell

CNN = ("experiment=smoke", "search_space=nas_cnn", "logger=csv", "threads=1")
PROGRAMS = {
    "train": ("nas_lightning.commands.train", (*TINY, "hydra.run.dir=run")),
    "bare": ("nas_lightning.commands.train", ()),
    "cnn": ("nas_lightning.commands.train", (*CNN, "hydra.run.dir=run")),
    "scratch": (
        "nas_lightning.commands.train",
        (*TINY, "estimator=from_scratch", "hydra.run.dir=run"),
    ),
    "table": (
        "nas_lightning.commands.train",
        ("experiment=table", "logger=csv", "hydra.run.dir=run"),
    ),
    "retrain": ("nas_lightning.commands.retrain", ()),
    "cross_evaluate": ("nas_lightning.commands.cross_evaluate", ()),
    "evaluations": ("nas_lightning.commands.sample_efficiency", ()),
    "rank_agreement": ("nas_lightning.commands.rank_agreement", ()),
    "report": ("nas_lightning.commands.report", ()),
    "ground_truth": ("nas_lightning.commands.ground_truth", ("search_space.num_nodes=2",)),
    "study_table": ("nas_lightning.commands.study_table", ()),
    "wandb_dashboard": ("nas_lightning.commands.wandb_workspace", ()),
    "benchmark": ("benchmarks.suite", ()),
}
"""Program -> its module, and what stands before a row's arguments."""


def limit() -> None:
    """Ten seconds of computing, whatever else the machine is doing; then the process is killed."""
    spent = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + 10, resource.RLIM_INFINITY))


WHOLE = "must be a whole number >= "
OPTIMIZER = "must be an optimizer: a _target_"

# Program, arguments, what the line must hold. `@` is the folder of bad files that the test makes.
ROWS: dict[str, tuple[str, str, list[str]]] = {
    # flags
    "printing a sweep": ("bare", "-m --cfg job", ["-m --cfg job", "Only one of", "--help"]),
    "printing nonsense": ("bare", "--cfg nonsense", ["--cfg", "'nonsense'", "job"]),
    "printing what is left open": ("bare", "--cfg", ["--cfg", "expected one", "--help"]),
    "an unknown flag": ("bare", "--nonsense", ["--nonsense", "--help"]),
    "resolving nothing": ("bare", "--resolve", ["--resolve", "--cfg"]),
    "completion of no shell": ("bare", "--shell-completion", ["--shell-completion", "install"]),
    "another configuration": ("bare", "--config-name nosuch", ["nosuch", "search path"]),
    "another folder of them": ("bare", "--config-dir /nosuch", ["/nosuch", "not found"]),
    # folders
    "resume of a loop": ("bare", "resume=@/loop", ["resume=@/loop: no run there"]),
    "resume of a locked folder": ("bare", "resume=@/locked", ["resume=@/locked: no run there"]),
    "resume of a file": ("bare", "resume=@/file", ["resume=@/file: no run there", "config.yaml"]),
    "resume beside a folder": ("bare", "resume=a hydra.run.dir=b", ["hydra.run.dir=b: resume=a"]),
    "resume of nonsense": ("bare", "resume=@/broken", ["@/broken", "cannot be read"]),
    "a run in a file": ("train", "hydra.run.dir=@/file", ["@/file", "cannot be", "study=…"]),
    "a run below a file": ("train", "hydra.run.dir=@/file/a", ["@/file/a", "cannot be", "study="]),
    "a run in a loop": ("train", "hydra.run.dir=@/loop", ["@/loop", "cannot be made", "study=…"]),
    "a run in a locked folder": ("train", "hydra.run.dir=@/locked", ["@/locked", "study=…"]),
    "a run below a locked folder": ("train", "hydra.run.dir=@/locked/a", ["@/locked/a", "study="]),
    "a run nowhere": ("train", "hydra.run.dir=null", ["hydra.run.dir=null", "field"]),
    "a sweep in a file": ("bare", "-m hydra.sweep.dir=@/file", ["@/file", "cannot be", "study=…"]),
    # the top of the configuration
    "epochs as a float": ("train", "trainer.max_epochs=1e3", ["max_epochs=1000.0", WHOLE + "1"]),
    "epochs as a list": ("train", "trainer.max_epochs=[1]", ["max_epochs=[1]", WHOLE + "1"]),
    "epochs that are none": ("train", "trainer.max_epochs=nan", ["max_epochs=nan", WHOLE + "1"]),
    "YAML's nan": ("train", "trainer.max_epochs=.nan", ["max_epochs='.nan'", WHOLE + "1"]),
    "half a seed": ("train", "seed=1.5", ["seed=1.5", WHOLE + "0"]),
    "no seed": ("train", "seed=null", ["seed=None", WHOLE + "0"]),
    "a true seed": ("train", "seed=true", ["seed=True", WHOLE + "0"]),
    "a seed with parts": ("train", "seed={a:1}", ["seed={'a': 1}", WHOLE + "0"]),
    "too many threads": ("train", "threads=99999999999", ["threads=99999999999", "<= 1024"]),
    "half a thread": ("train", "threads=1.5", ["threads=1.5", ">= 1"]),
    "an arm": ("train", "arm=nosuch", ["arm=nosuch: no such option; arm has", "untrained"]),
    "no data": ("train", "~data", ["data.batch_size=8: no such key", "search_space"]),
    "no search": ("train", "~search", ["search: nothing is chosen", "--help"]),
    # controllers
    "a memory without a learner": ("train", "memory=replay controller=random", ["memory: needs"]),
    "no support": ("train", "controller=random controller.support=0", ["controller.support=0"]),
    "units": (
        "train",
        "controller.policy.hidden_size=nan",
        ["controller.policy.hidden_size=nan", WHOLE + "1"],
    ),
    "temperature": (
        "train",
        "controller.policy.temperature=0",
        ["controller.policy.temperature=0", "> 0"],
    ),
    "entropy": ("train", "controller.entropy_weight=inf", ["controller.entropy_weight=inf", ">="]),
    "where entropy goes": ("train", "controller.entropy_in=air", ["controller.entropy_in='air'"]),
    "a key of 0.1": ("train", "controller.frozen=true", ["controller.frozen=true: no such key"]),
    "no optimizer": (
        "train",
        "controller.optimizer=sgd",
        ["controller.optimizer='sgd'", OPTIMIZER],
    ),
    "a rate that is none": (
        "train",
        "controller.optimizer.lr=nan",
        ["controller.optimizer.lr=nan"],
    ),
    "decay": (
        "train",
        "controller/baseline=moving_average controller.baseline.decay=2",
        ["controller.baseline.decay=2", ">= 0 and < 1"],
    ),
    "a class that is none": ("train", "controller._target_=nosuch.C", ["controller", "nosuch.C"]),
    "a function of the system": ("train", "controller._target_=os.system", ["os.system", "block"]),
    # memories
    "no capacity": ("train", "memory=replay memory.capacity=0", ["memory.capacity=0", WHOLE + "1"]),
    "weight": ("train", "memory=replay memory.weight=nan", ["memory.weight=nan", "a number"]),
    "perhaps shifted": (
        "train",
        "memory=replay_as_published memory.shifted=perhaps",
        ["memory.shifted='perhaps'", "true or false"],
    ),
    "warm-up": ("train", "memory=reconstruction memory.warmup=1.5", ["memory.warmup=1.5", WHOLE]),
    # spaces and child networks
    "no activations": ("train", "search_space.activations=[]", ["search_space.activations=[]"]),
    "an activation": ("train", "search_space.activations=[swish]", ["swish", "tanh"]),
    "another space's child": ("train", "child.num_nodes=5", ["=5", "search_space.num_nodes is 3"]),
    "no units": ("train", "child.hidden_size=0", ["child.hidden_size=0", WHOLE + "1"]),
    "all dropped": ("train", "child.dropout_input=1", ["child.dropout_input=1", "< 1"]),
    "normalisation": (
        "train",
        "child.normalisation=layer",
        ["child.normalisation='layer'", "none"],
    ),
    "large filters": ("cnn", "search_space.heights=[1e9]", ["search_space.heights=[1", "whole"]),
    # estimators and rewards
    "fewer than no steps": ("train", "estimator.child_steps=-1", ["estimator.child_steps=-1", "0"]),
    "another objective": ("train", "estimator.objective=accuracy", ["objective='accuracy'"]),
    "another reward": ("train", "reward=accuracy_cubed", ["reward", "accuracy"]),
    "clipping": ("train", "estimator.gradient_clip=nan", ["estimator.gradient_clip=nan", "> 0"]),
    "weights of a loop": ("train", "estimator.weights=@/loop", ["estimator.weights=@/loop"]),
    "weights nobody may read": (
        "train",
        "estimator.weights=@/locked",
        ["estimator.weights=@/lock"],
    ),
    "weights that are none": ("train", "estimator.weights=@/broken", ["@/broken", "damaged"]),
    "scale": ("train", "reward.scale=nan", ["reward.scale=nan", "> 0"]),
    "perhaps reused": ("scratch", "estimator.reuse_results=often", ["'often'", "true or false"]),
    "perhaps Nesterov's": ("scratch", "estimator.training.nesterov=yes!", ["'yes!'", "true or"]),
    "half an epoch": ("scratch", "estimator.training.epochs=1.5", ["epochs=1.5", WHOLE + "1"]),
    "no table": (
        "table",
        "estimator.path=@/nosuch.csv",
        ["estimator.path=@/nosuch.csv", "no such"],
    ),
    "an empty table": ("table", "estimator.path=@/empty.csv", ["estimator.path=@/empty", "column"]),
    "Latin letters": ("table", "estimator.path=@/latin.csv", ["@/latin.csv", "UTF-8"]),
    "a table in a pipe": ("table", "estimator.path=@/pipe", ["estimator.path=@/pipe", "regular"]),
    "another space's table": (
        "table",
        "search_space.num_nodes=4",
        ["columns are called", "search_space.num_nodes=3"],
    ),
    # search, callbacks, trainer, logger, executor
    "no finalists": ("train", "search.finalists=-1", ["search.finalists=-1", "a whole number"]),
    "no candidates": ("train", "search.candidates=0", ["search.candidates=0", WHOLE + "1"]),
    "never": ("train", "callbacks.diversity.every_epochs=0", ["diversity.every_epochs=0", WHOLE]),
    "seconds that are none": ("train", "callbacks.checkpoint.every_seconds=nan", ["seconds=nan"]),
    "a callback of a number": ("train", "+callbacks.mine=3", ["callbacks.mine", "_target_"]),
    "a device": ("train", "trainer.devices=0", ["trainer", "devices"]),
    "workers": ("scratch", "executor.workers=-1", ["executor.workers=-1", WHOLE + "1"]),
    "jobs at a time": (
        "bare",
        "-m hydra/launcher=joblib hydra.launcher.n_jobs=0 seed=1 hydra.sweep.dir=run",
        ["n_jobs", "0"],
    ),
    # texts
    "two bytes a letter": ("train", "data=text data.source.path=@/utf16", ["@/utf16", "not UTF-8"]),
    "a text in a loop": (
        "train",
        "data=text data.source.path=@/loops",
        ["@/loops", "train", "must hold"],
    ),
    "a folder for a text": (
        "train",
        "data=text data.source.path=@/folders",
        ["@/folders", "must hold"],
    ),
    "a text in a pipe": ("train", "data=text data.source.path=@/pipe", ["@/pipe", "regular file"]),
    "a locked text": (
        "train",
        "data=text data.source.path=@/unreadable",
        ["@/unreadable", "Permission"],
    ),
    "a locked folder": ("train", "data=text data.source.path=@/locked", ["@/locked", "Permission"]),
    "a .zip that is none": (
        "train",
        "data=text data.source.path=@/no.zip",
        ["@/no.zip", "not a sound"],
    ),
    "a .zip bomb": ("train", "data=text data.source.path=@/bzip2.zip", ["@/bzip2.zip", "deflate"]),
    "a huge .zip": (
        "train",
        "data=text data.source.path=@/huge.zip",
        ["@/huge.zip", "at most 2,147"],
    ),
    "another Penn Treebank": ("train", "data=ptb data.source.path=@/text", ["@/text", "data=text"]),
    "level": ("train", "data.level=sentence", ["data.level='sentence'", "word or character"]),
    "no vocabulary": ("train", "data.vocabulary_size=0", ["data.vocabulary_size=0", WHOLE]),
    # images
    "no numbers": ("cnn", "data=images data.source.path=@/nan.npz", ["@/nan.npz", "not finite"]),
    "objects": (
        "cnn",
        "data=images data.source.path=@/objects.npz",
        ["@/objects.npz", "Python objects"],
    ),
    "no images": (
        "cnn",
        "data=images data.source.path=@/none.npz",
        ["@/none.npz", "no training images"],
    ),
    "labels for some": (
        "cnn",
        "data=images data.source.path=@/uneven.npz",
        ["@/uneven.npz", "20 labels"],
    ),
    "10^12 images": (
        "cnn",
        "data=images data.source.path=@/claims.npz",
        ["@/claims.npz", "at most 2,147"],
    ),
    "no .npz": ("cnn", "data=images data.source.path=@/file", ["@/file", "numpy.savez"]),
    "layout": (
        "cnn",
        "data=images data.source.path=@/nan.npz data.source.layout=HW",
        ["layout='HW'", "NHWC"],
    ),
    "2^52 images": ("cnn", "data=mnist data.source.path=@/idx", ["@/idx", "at most 2,147"]),
    "images without end": (
        "cnn",
        "data=mnist data.source.path=@/endless",
        ["@/endless", "goes on"],
    ),
    "a pickle that acts": (
        "cnn",
        "data=cifar10 data.source.path=@/evil",
        ["@/evil", "os.system is not"],
    ),
    "perhaps mirrored": ("cnn", "data.flip=perhaps", ["data.flip='perhaps'", "true or false"]),
    # retrain
    "retraining nothing": ("retrain", "", ["run=FOLDER", "architecture=FILE.json"]),
    "retraining a locked run": ("retrain", "run=@/locked", ["run=@/locked: no search has found"]),
    "retraining nonsense": ("retrain", "architecture=@/broken/a.json", ["a.json", "JSON"]),
    "retraining what is below 0": (
        "retrain",
        "architecture=@/broken/b.json",
        ["`actions`", ">= 0"],
    ),
    "retraining by nonsense": ("retrain", "run=@/broken", ["config.yaml", "cannot be read"]),
    # the other scripts
    "a locked study": ("cross_evaluate", "study=@/locked", ["@/locked"]),
    "no study": ("cross_evaluate", "", ["study: has no value; give study=…"]),
    "an open bracket": ("cross_evaluate", "study=[a", ["study=[a", "YAML", "quotes"]),
    "workers of a study": ("cross_evaluate", "study=a workers=nan", ["workers=", WHOLE + "1"]),
    "a word": ("cross_evaluate", "outputs/x", ["outputs/x: no such key", "study"]),
    "nothing at all": ("cross_evaluate", "=", ["no such key", "study"]),
    "no rates": ("evaluations", "study=a rates=fast", ["rates=fast is not allowed", "[1e-3,1e-2]"]),
    "rows of nothing": ("evaluations", "study=a rows=0", ["rows=0 is not allowed", WHOLE + "1"]),
    "a study of nothing": ("evaluations", "study=@/text", ["study=@/text: no finished runs"]),
    "an unfinished study": ("rank_agreement", "study=@/text", ["study=@/text: no finished runs"]),
    "damaged metrics": ("rank_agreement", "study=@/study", ["metrics.csv", "cannot be read"]),
    "no table of that name": ("rank_agreement", "tables=x", ["tables: no such key", "table"]),
    "a page of nothing": ("report", "", ["give one folder"]),
    "a page of a locked folder": ("report", "@/locked", ["@/locked"]),
    "a page of a file": ("report", "@/file", ["@/file: no such folder"]),
    "a page of two": ("report", "a b", ["give one folder"]),
    "seeds twice": ("ground_truth", "seeds=[0,0]", ["seeds=[0, 0] is not allowed", "[0,1]"]),
    "half seeds": ("ground_truth", "seeds=[1.5]", ["seeds=[1.5] is not allowed", "[0,1]"]),
    "seeds left open": ("ground_truth", "seeds=[", ["seeds=[", "YAML"]),
    "children in a file": ("ground_truth", "folder=@/file", ["@/file/seed-0", "cannot be written"]),
    "children of nonsense": ("ground_truth", "experiment=nosuch", ["experiment=nosuch", "table"]),
    "a table's arguments": ("ground_truth", "nonsense", ["nonsense", "KEY=VALUE"]),
    "a study's table": ("study_table", "study=@/study", ["metrics.csv", "cannot be read"]),
    "a board in a file": ("wandb_dashboard", "output=@/file/a.json", ["output=@/file/a.json"]),
    "a board's arguments": ("wandb_dashboard", "nonsense", ["nonsense: no such key", "project"]),
    "no benchmark": ("benchmark", "only=nosuch", ["only=nosuch", "softmax"]),
    "perhaps quick": ("benchmark", "quick=maybe", ["quick=maybe", "true or false"]),
    "a benchmark into a file": ("benchmark", "only=softmax output=@/file/a", ["@/file"]),
}

SLOW = {"cnn", "scratch", "table"}
"""Programs of which every other row waits for `-m slow`: the rows are many and the cores few."""


@pytest.fixture(scope="module")
def plain_shell() -> Iterator[Shell]:
    """A shell of somebody who may not read everything."""
    shell = Shell()
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of bad file."""
    root = tmp_path_factory.mktemp("bad")
    (root / "loop").symlink_to("loop")
    (root / "file").write_text("no .zip, and no folder")
    (root / "no.zip").write_text("no .zip")
    os.mkfifo(root / "pipe")
    (root / "locked").mkdir(mode=0)
    _write_texts(root)
    _write_images(root)
    (root / "empty.csv").touch()
    (root / "latin.csv").write_bytes("é".encode("latin-1"))
    broken = root / "broken"
    (broken / "checkpoints").mkdir(parents=True)
    (broken / "config.yaml").write_text("seed: [1\n")
    for name in ("DONE", "ledger.jsonl", "checkpoints/last.ckpt"):
        (broken / name).touch()
    (broken / "best_architecture.json").write_text('{"actions": [0]}')
    (broken / "a.json").write_bytes(b"\xff")
    (broken / "b.json").write_text('{"actions": [-1, 0.5, "0"]}')
    finished = root / "study/arm=random,seed=0"
    finished.mkdir(parents=True)
    for name in ("DONE", "config.yaml", "ledger.jsonl"):
        (finished / name).touch()
    (finished / "metrics.csv").write_text("time\n1\n")
    return root


def _write_texts(root: Path) -> None:
    words = b"a b c d\n" * 300
    for name in ("text", "utf16", "loops", "folders", "unreadable"):
        (root / name).mkdir()
        for split in ("train", "valid", "test"):
            (root / name / f"{split}.txt").write_bytes(words)
    (root / "utf16/train.txt").write_text("ein Wort\n", encoding="utf-16")
    for name in ("loops", "folders"):
        (root / name / "train.txt").unlink()
    (root / "loops/train.txt").symlink_to("train.txt")
    (root / "folders/train.txt").mkdir()
    (root / "unreadable/train.txt").chmod(0)
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("huge", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(root / f"{name}.zip", "w", method) as archive:
            for split in ("train", "valid", "test"):
                archive.writestr(f"{split}.txt", words)
    claimed = len(words).to_bytes(4, "little")
    content = (root / "huge.zip").read_bytes()
    (root / "huge.zip").write_bytes(content.replace(claimed, (2**32 - 2).to_bytes(4, "little")))


def _write_images(root: Path) -> None:
    x, y = np.zeros((2000, 8, 8, 1), np.uint8), np.arange(2000) % 10
    np.savez(root / "nan.npz", x_train=np.full(x.shape, np.nan, np.float32), y_train=y)
    np.savez(root / "objects.npz", x_train=np.array([{}] * 2000), y_train=y)
    np.savez(root / "none.npz", x_train=x[:0], y_train=y[:0])
    np.savez(root / "uneven.npz", x_train=x, y_train=y[:20])
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }"
    with zipfile.ZipFile(root / "claims.npz", "w") as archive:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
        archive.writestr("x_train.npy", start + header)
        archive.writestr("y_train.npy", b"")
    for name in ("idx", "endless", "evil"):
        (root / name).mkdir()
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + bytes(5)
    for split in ("train", "t10k"):
        claims = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**10, 2**10)
        endless = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 8, 8) + bytes(2**24)
        for name, images in (("idx", claims), ("endless", endless)):
            packed = gzip.compress(images)
            (root / name / f"{split}-images-idx3-ubyte.gz").write_bytes(packed)
            (root / name / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    for batch in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        (root / "evil" / batch).write_bytes(b"cos\nsystem\n(U\x0ctouch PWNED!tR.")


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """All files and folders, with their sizes and when they were changed."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            status = path.lstat()
            found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def params() -> list[object]:
    """All rows by their names; of the programs that take longest every other one is slow."""
    seen = dict.fromkeys(SLOW, 0)
    found: list[object] = []
    for name, (program, *_) in ROWS.items():
        seen[program] = seen.get(program, 0) + 1
        slow = program in SLOW and seen[program] % 2 == 0
        found.append(pytest.param(name, id=name, marks=[pytest.mark.slow] if slow else []))
    return found


FIRST = {program: name for name, (program, *_) in reversed(ROWS.items())}


@pytest.mark.parametrize("name", params())
def test_refused_in_one_line(name: str, files: Path, tmp_path: Path, plain_shell: Shell) -> None:
    program, asked, words = ROWS[name]
    call = run if FIRST[program] == name else plain_shell.run
    module, before = PROGRAMS[program]
    arguments = [*before, *asked.replace("@", str(files)).split()]
    there = tree(files)
    here = tmp_path / "here"
    ended = call(Command(arguments, here, module=module, plain=True, patience=120, prepare=limit))
    assert ended.code == 2, ended
    *notes, line = ended.ours
    assert all(note.startswith("note: ") for note in notes)
    assert line.startswith("error: ")
    for word in words:
        assert word.replace("@", str(files)) in line or word.replace("@/", "") in line
    assert tree(files) == there
    left = {path.relative_to(tmp_path).parts for path in tmp_path.rglob("*") if path.is_file()}
    assert {parts[-1] for parts in left} <= {"FAILED", ".lock", "multirun.yaml"}
    assert {parts[:2] for parts in left} <= {("here", "run")}
    shutil.rmtree(tmp_path / "here")


@pytest.mark.parametrize(
    "line",
    [
        "junk",
        "[]",
        '{"key":["x",0],"actions":[1]}',
        '{"key":["x",0],"actions":"a","status":"ok","history":{"loss":[1.0]}}',
        '{"key":["x",0],"actions":[1],"status":"ok","history":{"loss":1.0}}',
        '{"key":["x",0],"actions":[1],"status":"ok","history":{}}',
        "[" * 100_000,
    ],
)
def test_junk_among_the_children(line: str, tmp_path: Path, plain_shell: Shell) -> None:
    folder = tmp_path / "here/run"
    folder.mkdir(parents=True)
    good = '{"key":["x",0],"actions":[1],"status":"ok","history":{"loss":[1.0]}}'
    (folder / "children.jsonl").write_text(f"{good}\n{line}\n")
    _, arguments = PROGRAMS["scratch"]
    ended = plain_shell.run(Command(arguments, folder.parent, prepare=limit))
    (said,) = ended.ours
    assert ended.code == 2, ended
    assert f"{folder}/children.jsonl: line 2 is no child's result; take the line out" in said


@pytest.mark.parametrize("line", ["junk", "{}", "[]", '{"epoch":"1"}'])
def test_junk_in_the_ledger_of_a_part(line: str, tmp_path: Path, plain_shell: Shell) -> None:
    """It may be all that is left of a run, and is not overwritten."""
    folder = tmp_path / "here/run"
    folder.mkdir(parents=True)
    (folder / "ledger.jsonl").write_text(line + "\n")
    ended = plain_shell.run(Command((*TINY, "hydra.run.dir=run"), folder.parent, prepare=limit))
    (said,) = ended.ours
    assert ended.code == 2, ended
    assert f"{folder}: holds a run, but config.yaml and checkpoints/ of it is missing" in said
    assert (folder / "ledger.jsonl").read_text() == line + "\n"


NUMBERS = {"objective": "perplexity", "test": [{"loss": 1.0}], "validation": [{"loss": 1.0}]}


NO_NUMBERS: dict[str, object] = {
    "a list": [],
    "tests in a dict": {**NUMBERS, "test": {"loss": 1.0}},
    "tests in numbers": {**NUMBERS, "test": [1.0]},
    "a word": {**NUMBERS, "validation": [{"perplexity": "low"}]},
    "an objective in a list": {**NUMBERS, "objective": ["loss"]},
    "a reference in words": {**NUMBERS, "reference": "an LSTM"},
}


def test_final_numbers_that_are_none(finished: Path, tmp_path: Path, plain_shell: Shell) -> None:
    """Each is left out of the page and named."""
    folder = shutil.copytree(finished, tmp_path / "here/run")
    for name, final in NO_NUMBERS.items():
        (folder / "retrain" / name).mkdir(parents=True)
        (folder / "retrain" / name / "final.json").write_text(json.dumps(final))
    module, _ = PROGRAMS["report"]
    ended = plain_shell.run(Command(["run"], folder.parent, module=module, prepare=limit))
    assert ended.code == 0, ended
    assert sorted(ended.ours) == [
        f"note: run: retrain/{name}/final.json holds no final numbers, and is left out"
        for name in sorted(NO_NUMBERS)
    ]


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_finished_run_with_a_damaged_checkpoint(
    content: bytes | None, finished: Path, tmp_path: Path
) -> None:
    """None of what is made again from it goes unsaid."""
    folder = shutil.copytree(finished, tmp_path / "run")
    checkpoint = folder / "checkpoints/last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000] if content is None else content)
    with pytest.raises(UserError, match=r"last\.ckpt: holds no controller .* put it back"):
        controller_of(folder)
    with pytest.raises(UserError, match=r"its last\.ckpt is damaged"):
        child_of(folder)
