"""Whether controllers learn: whole searches of seconds, against rewards whose best is known.

The estimators here look up what is planted in them. They have no child network and no data, which
the real search and Lightning's trainer take as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.assembly.make import make
from nas_lightning.controllers.base import Controller
from nas_lightning.data.base import Batch, Data
from nas_lightning.engine import ArchitectureSearch
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.generators import Generators
from nas_lightning.memories.none import NoMemory
from nas_lightning.rewards import Objective
from nas_lightning.runs.ledger import Ledger, Metrics
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace
from tests.given import composed
from tests.ledger_rows import ledger_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own deprecated call

SPACE = RecurrentCellSpace(num_nodes=5, activations=["tanh", "relu", "identity", "sigmoid"])
HIDDEN = torch.tensor([2, 0, 3, 1, 0, 2, 1, 1, 2])


class Planted(Estimator):
    """Its accuracy is the share of decisions that are those of a hidden architecture."""

    metrics = (ACCURACY,)
    objectives = (ACCURACY,)

    def __init__(self, controller_steps: int, uses_batches: bool = False) -> None:
        super().__init__()
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        self.uses_batches = uses_batches
        self.calls: list[tuple[int, int]] = []
        """Of every call, how many architectures were judged on how many minibatches."""

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random."""

    def accuracy(self, architectures: Tensor) -> Tensor:
        hidden = HIDDEN[: architectures.shape[1]]
        return (architectures == hidden).float().mean(dim=1)

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        n = len(architectures)
        self.calls.append((n, len(batches)))
        return Evaluation(
            metrics={"accuracy": self.accuracy(architectures)},
            kind="proxy",
            objectives=self.objectives,
            status=["ok"] * n,
            cost=n,
            cost_unit="epochs",
        )


class PlantedPair(Planted):
    """Only two decisions matter, and only together; chance gets it right once in 16 times."""

    def accuracy(self, architectures: Tensor) -> Tensor:
        return (architectures[:, [2, 6]] == HIDDEN[[2, 6]]).all(dim=1).float()


class Numbers(Data):
    """Validation minibatches that say nothing."""

    sizes = {}  # noqa: RUF012
    train_batches = 1

    def train_batch(self, index: int) -> Batch:
        raise AssertionError("there is no child phase")

    def validation_batches(self) -> Sequence[Batch]:
        return [Batch(torch.zeros(1), torch.zeros(1), False)] * 4

    def test_batches(self) -> Sequence[Batch]:
        raise AssertionError("the search reads the test split")


def controller_of(name: str, space: SearchSpace, *overrides: str) -> Controller:
    cfg = composed(f"controller={name}", *overrides)
    made: Controller = make(cfg, "controller", space=space)
    return made


def run(
    folder: Path,
    controller: Controller,
    estimator: Planted,
    *,
    space: SearchSpace = SPACE,
    epochs: int = 1,
    **changes: Any,
) -> ArchitectureSearch:
    """A whole search; its records are in `folder`."""
    folder.mkdir(exist_ok=True)
    sizes: dict[str, Any] = {
        "architectures_per_step": 10,
        "child_architectures": "controller",
        "candidates": 50,
        "candidate_minibatches": 1,
        "finalists": 3,
        "uniform_candidates": 50,
        "beside": None,
        "log_every": 1,
    }
    search = ArchitectureSearch(
        space=space,
        controller=controller,
        estimator=estimator,
        reward=Objective(scale=1),
        memory=NoMemory(),
        data=Numbers() if estimator.uses_batches else None,
        ledger=Ledger(folder / "ledger.jsonl"),
        metrics=Metrics(folder / "metrics.csv"),
        generators=Generators(0),
        **(sizes | changes),
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(search)
    search.ledger.close()
    search.metrics.close()
    return search


def proposed(search: ArchitectureSearch) -> float:
    """Mean accuracy of what the controller proposes in the end."""
    rollout = search.controller.ask(500, torch.Generator().manual_seed(1))
    assert isinstance(search.estimator, Planted)
    return float(search.estimator.accuracy(rollout.architectures).mean())


FAST = ("controller.optimizer.lr=0.02", "controller.policy.hidden_size=32")


def test_lstm_finds_a_planted_architecture(tmp_path: Path) -> None:
    """Chance gets 0.39 of the decisions right."""
    learned = run(tmp_path / "lstm", controller_of("lstm", SPACE, *FAST), Planted(80))
    guessed = run(tmp_path / "random", controller_of("random", SPACE), Planted(80))
    assert proposed(guessed) == pytest.approx(0.39, abs=0.05)
    assert proposed(learned) > 0.8
    assert learned.incumbent is not None
    assert learned.incumbent["metrics"]["accuracy"] > 0.8
    assert learned.incumbent["kind"] == "proxy"


def test_factorized_finds_a_planted_architecture(tmp_path: Path) -> None:
    """Every decision counts by itself, so nothing is lost without conditioning."""
    learned = run(
        tmp_path, controller_of("factorized", SPACE, "controller.optimizer.lr=0.1"), Planted(80)
    )
    assert proposed(learned) > 0.8


def test_lstm_finds_a_planted_pair(tmp_path: Path) -> None:
    learned = run(tmp_path / "lstm", controller_of("lstm", SPACE, *FAST), PlantedPair(80))
    guessed = run(tmp_path / "random", controller_of("random", SPACE), PlantedPair(80))
    assert proposed(guessed) == pytest.approx(1 / 16, abs=0.05)
    assert proposed(learned) > 0.8


@pytest.mark.parametrize(
    ("override", "at_least"),
    [("controller/baseline=moving_average", 0.7), ("controller.policy.heads=per_kind", 0.5)],
)
def test_other_settings_learn_too(tmp_path: Path, override: str, at_least: float) -> None:
    """One head for all decisions of a kind first finds the commonest option (0.56), and stays."""
    controller = controller_of("lstm", SPACE, *FAST, override)
    assert proposed(run(tmp_path, controller, Planted(80))) > at_least


def test_an_untrained_policy_does_not_learn(tmp_path: Path) -> None:
    controller = controller_of("untrained", SPACE, "controller.hidden_size=32")
    search = run(tmp_path, controller, Planted(80))
    assert proposed(search) < 0.5
    assert search.counters["controller_step"] == 0


def test_every_architecture_judged_is_in_the_ledger(tmp_path: Path) -> None:
    search = run(tmp_path, controller_of("lstm", SPACE), Planted(3), epochs=2)
    rows = ledger_rows(tmp_path / "ledger.jsonl")
    assert isinstance(search.estimator, Planted)
    assert len(rows) == sum(n for n, _ in search.estimator.calls)
    assert [row["number"] for row in rows] == list(range(len(rows)))
    for row in rows:
        actions = torch.tensor([row["actions"]])
        assert row["metrics"] == {"accuracy": float(search.estimator.accuracy(actions))}


BIG = RecurrentCellSpace(num_nodes=10, activations=SPACE.activations)
"""So many architectures that none is sampled twice."""


def planted_big(steps: int, uses_batches: bool) -> Planted:
    class Big(Planted):
        def accuracy(self, architectures: Tensor) -> Tensor:
            return (architectures == 0).float().mean(dim=1)

    return Big(steps, uses_batches)


def spent(search: ArchitectureSearch, of: str = "architectures") -> int:
    """What was judged: architectures, or pairs of architecture and minibatch."""
    assert isinstance(search.estimator, Planted)
    calls = search.estimator.calls
    return sum(n for n, _ in calls) if of == "architectures" else sum(n * b for n, b in calls)


@pytest.mark.parametrize("minibatches", [1, 2, 3])
@pytest.mark.parametrize("uses_batches", [False, True])
def test_budgets_are_equal(tmp_path: Path, uses_batches: bool, minibatches: int) -> None:
    """What the learning one spends on its steps, the other spends on candidates.

    Up to rounding: less than `candidate_minibatches` evaluations an epoch. And the best so far is
    judged beside three finalists, on all four minibatches; it counts for nobody.
    """
    steps, epochs = 7, 3
    unit = "minibatches" if uses_batches else "architectures"
    totals = {}
    for name in ("lstm", "random"):
        search = run(
            tmp_path / name,
            controller_of(name, BIG),
            planted_big(steps, uses_batches),
            space=BIG,
            epochs=epochs,
            architectures_per_step=5,
            candidates=20,
            candidate_minibatches=minibatches,
            uniform_candidates=10,
        )
        totals[name] = spent(search, unit)
    assert totals["lstm"] >= epochs * steps * 5
    rounding = epochs * (minibatches - 1) if uses_batches else 0
    assert 0 <= totals["lstm"] - totals["random"] <= rounding


def test_more_minibatches_than_there_are(tmp_path: Path) -> None:
    """Candidates are judged on all four; random search must not pay for six."""
    totals = {}
    for name in ("lstm", "random"):
        search = run(
            tmp_path / name,
            controller_of(name, BIG),
            planted_big(12, True),
            space=BIG,
            architectures_per_step=5,
            candidates=20,
            candidate_minibatches=6,
        )
        totals[name] = spent(search, "minibatches")
    assert totals["lstm"] == totals["random"]


class GrowingPair(SearchSpace):
    """Two decisions, and from 60 judged architectures on four."""

    def __init__(self, length: int = 2) -> None:
        self.length = length

    @property
    def decisions(self) -> tuple[Decision, ...]:
        options = (0, 1, 2, 3)
        return tuple(Decision(f"decision {t}", "option", options) for t in range(self.length))

    @property
    def largest(self) -> SearchSpace:
        return GrowingPair(4)

    def at(self, architectures_judged: int) -> SearchSpace:
        return GrowingPair(2 if architectures_judged < 60 else 4)

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(architecture)


@pytest.mark.parametrize("name", ["lstm", "random", "evolution_nats_bench", "local_search"])
def test_a_growing_space_is_searched(tmp_path: Path, name: str) -> None:
    """It grows in the midst of things, and what is learned of the small one helps in the large."""
    overrides = FAST if name == "lstm" else ()
    search = run(
        tmp_path,
        controller_of(name, GrowingPair(), *overrides),
        Planted(120),
        space=GrowingPair(),
        architectures_per_step=5,
        candidates=20,
        uniform_candidates=10,
        epochs=4 if name == "random" else 1,
    )
    rows = ledger_rows(tmp_path / "ledger.jsonl")
    # Among the finalists is the best so far, which may be of the small space.
    lengths = [len(row["actions"]) for row in rows if row["purpose"] != "finalist"]
    assert set(lengths) == {2, 4}
    assert lengths == sorted(lengths)
    assert len(search.controller.space.decisions) == 4
    if name != "random":
        assert lengths.index(4) == 60
    if name == "lstm":
        assert proposed(search) > 0.8
