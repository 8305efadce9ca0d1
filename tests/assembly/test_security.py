"""What comes from a file is never executed, downloads are checked, no secret is kept."""

from __future__ import annotations

import ast
import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas_lightning
from nas_lightning.callbacks.checkpoint import usable
from nas_lightning.data.image_formats import read_cifar_batch
from nas_lightning.data.image_sources import Cifar10, IdxImages
from nas_lightning.data.text_sources import PennTreebank
from nas_lightning.errors import UserError
from nas_lightning.runs.tensors import read
from tests.processes import TINY, UNSEEN, Command, run

PACKAGE = Path(nas_lightning.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("scripts/*.py")])
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
EXECUTING = {"eval", "exec", "compile", "__import__", "extractall", "extract", "system", "popen"}


def calls(source: str) -> list[tuple[str, ast.Call]]:
    """The calls in a source, by the last part of the name of what is called."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [ast.unparse(node.func) for node in nodes]
    return list(zip(names, nodes, strict=True))


def refused(source: str) -> list[str]:
    """What in a source would execute what comes from a file."""
    found = []
    for name, call in calls(source):
        last = name.rpartition(".")[2]
        safe = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        loads = name in ("torch.load", "np.load", "numpy.load", "joblib.load", "pd.read_pickle")
        if loads and safe.get("weights_only") != "True":
            found.append(name)
        if last in EXECUTING and not name.startswith("re.") and not name.endswith(".eval"):
            found.append(name)
        if name.endswith(("yaml.load", "yaml.unsafe_load", "yaml.full_load")):
            found.append(name)
        if safe.get("shell") == "True":
            found.append(f"{name}(shell=True)")
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.partition(".")[0] in UNPICKLERS]
    return found


def test_nothing_from_a_file_is_executed() -> None:
    """Pickles are read in one place alone, by a machine that knows no function of Python's.

    And by workers and forks, who get theirs from the process that has started them, and it theirs.
    """
    for path in SOURCES:
        admitted = (
            ["pickle"] if path.name in ("image_formats.py", "executors.py", "forks.py") else []
        )
        assert refused(path.read_text(encoding="utf-8")) == admitted, path


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "import pickle",
        "from pickle import loads",
        "archive.extractall(folder)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "yaml.load(text)",
    ],
)
def test_what_would_be_is_found(source: str) -> None:
    assert refused(source)


class Harmful:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_checkpoints_that_act_are_damaged_ones(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    checkpoint.parent.mkdir()
    torch.save({"state_dict": Harmful(trace)}, checkpoint)
    with pytest.raises(pickle.UnpicklingError):
        read(checkpoint)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged"):
        usable([checkpoint])
    assert not trace.exists()
    torch.load(checkpoint, weights_only=False)
    assert trace.exists(), "the checkpoint was harmless"


def test_batches_that_act_are_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    objects = np.array([Harmful(trace)])
    for value in (Harmful(trace), objects, {b"a": Harmful(trace)}, [Harmful(trace)]):
        for protocol in (0, 2, 4, 5):
            data = pickle.dumps({b"data": value, b"labels": [1]}, protocol)
            with pytest.raises(ValueError, match=r"^(not a whole pickle|its 'data')"):
                read_cifar_batch(io.BytesIO(data))
            assert not trace.exists()
    pickle.loads(data)
    assert trace.exists(), "the batch was harmless"


def test_downloads_are_https_and_checked() -> None:
    urls = [*IdxImages.URLS.values(), Cifar10.URL, PennTreebank.URL]
    assert all(url.startswith("https://") for url in urls)
    assert IdxImages.URLS.keys() == IdxImages.SHA256.keys()
    digests = [d for of_set in IdxImages.SHA256.values() for d in of_set]
    digests += [*Cifar10.SHA256.values(), *PennTreebank.SHA256.values()]
    assert len(set(digests)) == 12
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    for path in SOURCES:
        for name, call in calls(path.read_text(encoding="utf-8")):
            if name.endswith("retrieve"):
                assert ast.unparse(call.args[1]) == "f'sha256:{digest}'"
            assert not name.endswith(("urlopen", "requests.get", "urlretrieve", "wget"))


KEY = "5ec4e7" * 6 + "0123"
"""As long as a key of W&B's, and nobody's."""


def test_no_key_is_kept_anywhere(tmp_path: Path) -> None:
    """Of a search with W&B: not in its folder, the home, W&B's own files or the output."""
    environment = {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}
    settings = (*TINY, *UNSEEN, "logger=wandb", "trainer.max_epochs=1", "hydra.run.dir=run")
    ended = run(Command(settings, tmp_path / "here", environment))
    assert ended.code == 0, ended
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert names >= {"config.yaml", "last.ckpt", "report.html", "best_architecture.json", "DONE"}
    assert any(name.endswith(".wandb") for name in names)
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in ended.out + ended.err
