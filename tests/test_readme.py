"""The commands that a user meets first do what they promise: they are run, at small sizes.

Those of the README, and the blocks marked `bash` of the tutorial, of the concepts and of some other
pages. `tests/test_docs.py` composes the others.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path

import pytest

from nas_lightning.data.text_sources import PennTreebank
from tests.processes import UNSEEN, Command, run, train_all
from tests.shell import Shell

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    *("docs/tutorial/first-search.md", "docs/how-to-own-data.md", "docs/how-to-studies.md"),
    *("docs/concepts/memory.md", "docs/controllers/lstm.md"),
)
NOT_HERE = ("pip install", "pytest", "git clone")


def commands() -> list[str]:
    """The lines of the fenced bash blocks, without those that install something or run tests."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    kept = [block for block in blocks if not any(word in block for word in NOT_HERE)]
    return [line for block in kept for line in block.replace("\\\n", " ").splitlines() if line]


def searches() -> list[list[str]]:
    """The arguments of every `python train.py …`."""
    words = [shlex.split(line, comments=True) for line in commands()]
    return [arguments for _, script, *arguments in filter(None, words) if script == "train.py"]


def write_texts(folder: Path) -> Path:
    """The texts that the pages speak of: one of one's own, and one of Penn Treebank's size."""
    folder.mkdir()
    for name, tokens in {"my_text": (9000, 3000, 3000), "ptb": PennTreebank.WORDS}.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for split, count in zip(("train", "valid", "test"), tokens, strict=True):
                words = [f"w{i * i % 997}" for i in range(count - 1)]  # and the end of the line
                archive.writestr(f"{split}.txt", " ".join(words) + "\n")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are called."""
    return write_texts(tmp_path_factory.mktemp("commands") / "here")


def shortened(arguments: list[str]) -> list[str]:
    """The same at the sizes of smoke, with cells of three nodes, and two seeds where it sweeps.

    Without W&B, and without looking at the controller, but where nothing is typed.
    """
    kept = [argument for argument in arguments if not argument.startswith("seed=")]
    nodes = [] if "search_space=nas_cnn" in arguments else ["search_space.num_nodes=3"]
    seeds = ["seed=0,1"] if "-m" in arguments else []
    quick = ["logger=csv", *UNSEEN] if arguments else []
    return [*kept, "budget=smoke", "threads=1", *nodes, *seeds, *quick]


def test_there_are_commands() -> None:
    assert len(searches()) >= 5
    assert len(searches()) == len(commands()), "a command that this test does not run"


@pytest.mark.parametrize("arguments", searches(), ids=" ".join)
def test_shortened(arguments: list[str], here: Path, shell: Shell) -> None:
    command = Command(shortened(arguments), here, page=not arguments)
    ended = shell.run(command) if arguments else run(command)
    assert ended.code == 0, ended
    assert "search finished" in ended.out


@pytest.mark.slow
@pytest.mark.timeout(10_000)
def test_as_typed(tmp_path: Path) -> None:
    here = write_texts(tmp_path / "here")
    called = [Command(arguments, here) for arguments in searches()]
    for command, ended in zip(called, train_all(called), strict=True):
        assert ended.code == 0, (command, ended)
        assert "search finished" in ended.out
