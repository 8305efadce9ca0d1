"""What docs/how-to-own-proposer.md says is done: its files are written, its proposers search."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.assembly.make import make
from nas_lightning.controllers import Judged, Proposer
from nas_lightning.engine.seeds import search
from nas_lightning.memories import NoMemory
from nas_lightning.runs.seeds import SeedRecord
from tests.given import composed

TEXT = (Path(__file__).parents[1] / "docs/how-to-own-proposer.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`(\w+\.py)`[^`]*?\n\n```python\n(.*?)^```$", TEXT, re.M | re.S))
FILES |= dict(re.findall(r"`(library\.py)`.*?```python\n(.*?)^```$", TEXT, re.M | re.S))
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```bash\n(.*?)^```$", TEXT, re.M | re.S)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SeedRecord]:
    """One seed by each command, by whose name it is called."""
    folder = tmp_path_factory.mktemp("own")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    records = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for command in COMMANDS:
            assert command[:3] == ["PYTHONPATH=.", "python", "train.py"]
            cfg = composed(*[w for w in command[3:] if "hydra" not in w])
            space = make(cfg, "search_space")
            records[command[-1].split("arm=")[1].split(",")[0]] = search(
                controller=make(cfg, "controller", space=space),
                estimator=make(cfg, "estimator", space=space),
                reward=make(cfg, "reward"),
                memory=NoMemory(),
                seed=0,
                proposals=100,
                architectures_per_step=2,
            )
    return records


def test_all_were_found(found: dict[str, SeedRecord]) -> None:
    assert sorted(FILES) == ["forest.py", "language_model.py", "library.py"]
    assert sorted(found) == ["forest", "language_model", "library", "random"]
    assert all(record.proposals == 100 for record in found.values()), "at equal evaluations"


def test_the_forest_has_thirty_lines() -> None:
    assert FILES["forest.py"].count("\n") <= 32


def test_the_forest_has_learned() -> None:
    """Told of 60 uniform cells, it answers with better ones; uniform ones are at 71 on average."""
    names: dict[str, Any] = {}
    exec(FILES["forest.py"], names)
    cfg = composed("experiment=nas_bench_201")
    space = make(cfg, "search_space")
    estimator = make(cfg, "estimator", space=space)
    rows = space.sample(60, torch.Generator().manual_seed(0))
    values = estimator.evaluate(rows, []).values.tolist()
    judged = [Judged(a, "", v) for a, v in zip(rows.tolist(), values, strict=True)]
    answers = torch.tensor(names["propose"](space, judged, 20, 0))
    space.validate(answers)
    assert float(estimator.evaluate(answers, []).values.mean()) > 78


def test_idle_talk_counts(found: dict[str, SeedRecord]) -> None:
    """A tenth of the stand-in's answers is talk."""
    told = found["language_model"].derived
    assert told["proposer/invalid"] == pytest.approx(0.1, abs=0.08)
    assert told["proposer/invalid"] > 0
    distinct = 100 - len(found["language_model"].repeats)
    assert told["proposer/repeated"] == pytest.approx(1 - distinct / 100 - told["proposer/invalid"])
    assert found["forest"].derived["proposer/invalid"] == 0


def test_a_proposer_that_draws_from_its_seed_alone_goes_on_as_before(
    found: dict[str, SeedRecord],
) -> None:
    """As every controller: the contract tests have asked it of the one that comes with it."""
    cfg = composed("controller=proposer", "search_space=nas_bench_201")
    controller = make(cfg, "controller", space=make(cfg, "search_space"))
    assert isinstance(controller, Proposer)
    one, again = (controller.ask(3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.architectures, again.architectures)
