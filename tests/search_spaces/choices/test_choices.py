"""Models with choices: how they are read, counted and computed, and what is refused of them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from scipy import stats
from torch import Tensor, nn

from nas_lightning.assembly.make import make
from nas_lightning.data.base import Batch
from nas_lightning.errors import NotAllowedError, Remedy, UserError
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.choices import (
    Choice,
    ChoiceChild,
    ChoiceSpace,
    FunctionChild,
    FunctionSpace,
    Repeat,
    deciding,
    space_table,
)
from nas_lightning.search_spaces.choices.networks import OwnNetworks
from nas_lightning.search_spaces.choices.outline import extent
from nas_lightning.search_spaces.completions import CompletionTree
from nas_lightning.training.child_training import ChildTraining

HOSTILE = ("type", "train", "keys", "a.b", "", "forward", "weight", "3x3", "ü", "[0]")


class Add(nn.Module):
    """Adds a number, so that what was computed can be read off."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(number))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.number)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


class Nested(nn.Module):
    """A choice within an option of a choice, and one within the blocks of a repeat."""

    def __init__(self) -> None:
        super().__init__()
        inner = Choice({"one": Add(1.0), "two": Add(2.0), "three": Add(3.0)})
        self.outer = Choice({"skip": nn.Identity(), "inner": nn.Sequential(Add(10.0), inner)})
        blocks = iter((100.0, 1000.0, 10_000.0))
        self.depth = Repeat(lambda: Block(next(blocks)), at_most=3, at_least=0)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.depth(self.outer(x)))
        return logits


class Block(nn.Module):
    """Adds a number once or twice."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.op = Choice({"add": Add(number), "twice": nn.Sequential(Add(number), Add(number))})

    def forward(self, x: Tensor) -> Any:
        return self.op(x)


def nested() -> nn.Module:
    """`Nested` whose head leaves its input as it is."""
    model = Nested()
    model.head = nn.Identity()  # type: ignore[assignment]
    return model


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def space_of(model: Callable[..., nn.Module] | nn.Module) -> ChoiceSpace:
    return ChoiceSpace(model=model, arguments={}, pretrained=False)


# -------------------------------------------------------------------------------- reading


def test_decisions_stand_in_module_order() -> None:
    space = space_of(Nested)
    assert [(d.name, d.choices) for d in space.decisions] == [
        ("outer", ("skip", "inner")),
        ("outer[inner].1", ("one", "two", "three")),
        ("depth", (0, 1, 2, 3)),
        ("depth[0].op", ("add", "twice")),
        ("depth[1].op", ("add", "twice")),
        ("depth[2].op", ("add", "twice")),
    ]
    assert space.draw([1, 2, 1, 1, 0, 0]).splitlines() == [
        "outer: inner",
        "  outer[inner].1: three",
        "depth: 1",
        "  depth[0].op: twice",
    ]
    assert list(space.graph([0, 0, 0, 0, 0, 0])) == ["start", "outer", "depth"]


def test_what_is_counted_is_what_there_is() -> None:
    """By hand, and by the tree that counts one by one."""
    space = space_of(Nested)
    assert space.size == (1 + 3) * (1 + 2 + 4 + 8)
    tree = CompletionTree(space)
    rows = space.architectures()
    assert len(rows) == space.size
    for t in range(rows.shape[1]):
        assert torch.equal(space.completions(rows[:, :t]), tree.counts(rows[:, :t]))
    assert space.rank(rows).tolist() == list(range(space.size))


def test_architectures_are_uniform_whatever_is_nested() -> None:
    space = space_of(Nested)
    places = space.rank(space.sample(6000, seeded(0)))
    assert stats.chisquare(torch.bincount(places, minlength=60).numpy()).pvalue > 1e-4


def test_a_space_too_large_to_count_one_by_one() -> None:
    space = space_of(lambda: Repeat(lambda: Block(1.0), at_most=80))
    assert space.size == 2**81 - 2
    assert space.sample(3, seeded(0)).shape == (3, 81)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_any_name_will_do(name: str) -> None:
    model = nn.Sequential(Choice({name: Add(1.0), f"{name}.": Add(2.0)}))
    space = space_of(lambda: copy.deepcopy(model))
    assert space.decisions[0].choices == (name, f"{name}.")
    with deciding(model, [1]):
        assert model(torch.zeros(1)).item() == 2


# ------------------------------------------------------------------------------ computing


def computed(model: nn.Module, architecture: list[int]) -> float:
    with deciding(model, architecture):
        return float(model(torch.zeros(())).item())


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ([0, 0, 0, 0, 0, 0], 0),
        ([1, 2, 0, 0, 0, 0], 13),
        ([1, 0, 1, 1, 0, 0], 211),
        ([0, 0, 3, 0, 1, 0], 12_100),
        ([0, 0, 2, 0, 1, 0], 2100),
    ],
)
def test_what_is_chosen_is_computed(architecture: list[int], expected: int) -> None:
    model = nested()
    assert computed(model, architecture) == expected
    assert computed(copy.deepcopy(model), architecture) == expected


def test_what_is_chosen_is_not_kept() -> None:
    """Two threads compute two architectures with one model, and none is left behind."""
    model = nested()
    before = model.state_dict()
    found: dict[int, list[float]] = {0: [], 1: []}
    both = threading.Barrier(2)

    def compute(outer: int) -> None:
        with deciding(model, [outer, 0, 0, 0, 0, 0]):
            for _ in range(20):
                both.wait(10)
                found[outer].append(model(torch.zeros(())).item())

    threads = [threading.Thread(target=compute, args=(outer,)) for outer in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [0.0] * 20, 1: [11.0] * 20}
    assert model.state_dict().keys() == before.keys()
    with pytest.raises(RuntimeError, match="nothing is chosen"):
        model(torch.zeros(()))


def test_a_choice_that_is_hidden() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = Choice({"a": nn.Identity()})
            self.hidden = [Choice({"a": nn.Identity()})]

        def forward(self, x: Tensor) -> Any:
            return self.hidden[0](x)

    model = Hidden()
    with pytest.raises(RuntimeError, match=r"no submodule.*nn\.ModuleList"), deciding(model, [0]):
        model(torch.zeros(1))


def test_a_network_is_an_ordinary_module_of_the_same_numbers() -> None:
    """From scratch: no choice is left, the weights are the model's, and each is counted once."""
    space = space_of(Nested)
    child = ChoiceChild(space=space, num_classes=3, loss=None, metrics=None)
    x = torch.randn(2, 4, generator=seeded(0))
    for row in space.sample(12, seeded(1)).tolist():
        network = child.built(row, seed=5)
        assert not any(isinstance(module, (Choice, Repeat)) for module in network.modules())
        model = space.recipe.build(seed=5)
        with deciding(model, row):
            assert torch.equal(network(x), model(x))
        total = sum(parameter.numel() for parameter in network.parameters())
        assert child.costs(row) == {"parameters": total}


@pytest.mark.parametrize("shared", [True, False])
def test_the_networks_that_leave_have_the_numbers_of_the_search(shared: bool) -> None:
    """With the weights that are shared, or those of their own."""
    space = space_of(Nested)
    child: OwnNetworks = ChoiceChild(space=space, num_classes=3, loss=None, metrics=None)
    rows = space.sample(6, seeded(1))
    if not shared:
        child = child.fresh(rows, [seeded(m) for m in range(6)])
    given = batch()._replace(inputs=torch.randn(6, 4, generator=seeded(0)))
    losses = child.eval().score(given, rows).loss_sum
    for m, row in enumerate(rows.tolist()):
        network = child.network(row, m)
        assert not any(isinstance(module, (Choice, Repeat)) for module in network.modules())
        loss = nn.functional.cross_entropy(network(given.inputs), given.targets, reduction="sum")
        assert torch.equal(loss, losses[m])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
    assert torch.equal(child.score(given, rows).loss_sum, losses), "they are copies"


@pytest.mark.parametrize("model", [Nested, Nested()], ids=["class", "instance"])
def test_weights_follow_the_seed_and_leave_torchs_generator_alone(model: Any) -> None:
    child = ChoiceChild(space=space_of(model), num_classes=3, loss=None, metrics=None)
    state = torch.get_rng_state()
    weights = []
    for seed in (1, 1, 2):
        child.reset_parameters(seeded(seed))
        weights.append(torch.cat([p.detach().flatten() for p in child.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def loads() -> nn.Module:
    """A function that loads weights, and draws a head of its own."""
    model = Nested()
    state = {n: p for n, p in TRAINED.state_dict().items() if not n.startswith("head")}
    model.load_state_dict(state, strict=False)
    return model


TRAINED = Nested()
for value, parameter in enumerate(TRAINED.parameters()):
    nn.init.constant_(parameter, 0.1 * value)


@pytest.mark.parametrize(
    ("model", "pretrained", "kept"),
    [(TRAINED, True, "all"), (TRAINED, False, "none"), (loads, False, "loaded")],
    ids=["kept", "drawn", "loaded"],
)
def test_weights_that_a_model_comes_with(model: Any, pretrained: bool, kept: str) -> None:
    """Kept ones begin the shared weights, every training from scratch, and a retraining."""
    space = ChoiceSpace(model=model, arguments=None, pretrained=pretrained)
    child = ChoiceChild(space=space, num_classes=3, loss=None, metrics=None)
    child.reset_parameters(seeded(1))
    row = [1, 2, 2, 0, 1, 0]
    training = ChildTraining(
        epochs=1,
        learning_rate=0.1,
        schedule="constant",
        momentum=0,
        nesterov=False,
        weight_decay=0,
        gradient_clip=None,
    )
    begun = training.begin(child, torch.tensor([row]), 3, "cpu").network
    assert isinstance(begun, ChoiceChild)
    wanted = ChoiceChild(
        space=ChoiceSpace(model=TRAINED, arguments=None, pretrained=True),
        num_classes=3,
        loss=None,
        metrics=None,
    )
    for network, own in (
        (child.network(row), wanted.network(row)),
        (child.fresh(torch.tensor([row]), [seeded(2)]).network(row), wanted.network(row)),
        (begun.network(row), wanted.network(row)),
    ):
        same = {
            name: torch.equal(one, other)
            for (name, one), other in zip(network.named_parameters(), own.parameters(), strict=True)
        }
        assert len(same) > 4
        head = {name: equal for name, equal in same.items() if name.startswith("head")}
        rest = {name: equal for name, equal in same.items() if name not in head}
        assert set(head.values()) == {kept == "all"}
        assert set(rest.values()) == {kept != "none"}
    assert all(
        torch.equal(p, torch.full_like(p, 0.1 * v)) for v, p in enumerate(TRAINED.parameters())
    )


def test_the_table_holds_the_extremes() -> None:
    space = space_of(Nested)
    model = Nested()
    table = space_table(model, torch.zeros(2, 4))
    child = ChoiceChild(space=space, num_classes=3, loss=None, metrics=None)
    counts = [child.costs(row)["parameters"] for row in space.architectures().tolist()]
    smallest, middle, largest = table.rows
    assert (smallest.parameters, largest.parameters) == (min(counts), max(counts))
    assert smallest.parameters < middle.parameters < largest.parameters
    assert [row.multiply_adds for row in table.rows] == [12] * 3, "the head's, of one example"
    space.validate(torch.tensor([row.architecture for row in table.rows]))
    lines = str(table).splitlines()
    assert lines[0] == "6 decisions, 60 architectures"
    assert lines[2].strip() == "outer[inner].1: one | two | three"
    assert model.training


# -------------------------------------------------------------------------------- refused


class Unlike(nn.Module):
    """Options of unequal shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"wide": nn.Linear(4, 3), "narrow": nn.Linear(4, 2)})

    def forward(self, x: Tensor) -> Any:
        return self.op(x)


class Within(nn.Module):
    """The unlike options lie within an option that the first architecture does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = Choice({"plain": nn.Linear(4, 3), "unlike": Unlike()})

    def forward(self, x: Tensor) -> Any:
        return self.outer(x)


class Broken(nn.Module):
    """An option that cannot take its input."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"good": nn.Linear(4, 3), "bad": nn.Linear(5, 3)})

    def forward(self, x: Tensor) -> Any:
        return self.op(x)


def batch(classes: int = 3) -> Batch:
    return Batch(torch.zeros(6, 4), torch.arange(6) % classes, continues=False)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Unlike, r"op: option wide gives \(6, 3\) and option narrow gives \(6, 2\)"),
        (Within, r"outer\[unlike\]\.op: option wide gives \(6, 3\) and option narrow gives"),
        (Broken, r"op: option bad cannot compute \(RuntimeError: .*shapes"),
    ],
)
def test_unequal_shapes_share_no_weights(model: type[nn.Module], said: str) -> None:
    child = ChoiceChild(space=space_of(model), num_classes=3, loss=None, metrics=None)
    with pytest.raises(UserError, match=rf"^model: {said}") as refused:
        child.preview(batch(), shared=True)
    assert "\n" not in str(refused.value)
    assert model is Broken or refused.value.remedy is Remedy.FROM_SCRATCH
    assert "architectures" in child.preview(batch(), shared=False), "one may fail alone"


def test_other_classes_than_the_datas() -> None:
    child = ChoiceChild(space=space_of(Nested), num_classes=4, loss=None, metrics=None)
    with pytest.raises(UserError, match=r"Nested gives \(6, 3\) for 6 examples of 4 classes"):
        child.preview(batch(), shared=True)


def test_a_model_that_takes_other_inputs() -> None:
    child = ChoiceChild(space=space_of(Nested), num_classes=3, loss=None, metrics=None)
    images = batch()._replace(inputs=torch.zeros(6, 7))
    with pytest.raises(UserError, match=r"Nested cannot compute a minibatch .RuntimeError"):
        child.preview(images, shared=False)
    with pytest.raises(UserError, match=r"model: it cannot compute a minibatch .RuntimeError"):
        child.preview(images, shared=True)


class Twice(nn.Module):
    """One choice in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"a": nn.Identity()})
        self.again = self.first


class Locked(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"a": nn.Identity()})
        self.lock = threading.Lock()


class Own(nn.Module):
    """Has a parameter, and cannot draw it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"a": nn.Identity()})
        self.scale = nn.Parameter(torch.ones(1))


def fails() -> nn.Module:
    raise KeyError("width")


REFUSED: dict[str, tuple[Any, str]] = {
    "no choice": (lambda: nn.Linear(2, 2), "none of its modules is a Choice"),
    "a choice used twice": (Twice, "first and again are one and the same Choice; make one for"),
    "not to be copied": (Locked(), "Locked' is not allowed: it cannot be copied .TypeError"),
    "not to be built": (fails, "fails' is not allowed: it cannot be built .KeyError: 'width'"),
    "no module": (dict, "it gives a dict: must be a torch.nn.Module"),
    "no reset": (Own(), "its Own has parameters and no reset_parameters.*give the class instead"),
    "not there": ("no_such_package.Model", "No module named"),
    "no such name": ("torch.nn.NoSuchModule", "NoSuchModule"),
    "a script's": ("__main__.Net", "must be in a module that other processes can import"),
    "no class": ("torch.nn.functional", "must be a class or a function"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    model, said = REFUSED[case]
    with pytest.raises(NotAllowedError, match=said) as refused:
        space_of(model)
    assert refused.value.name == "model"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("no_such_package.Net", None, "ModuleNotFoundError: .*PYTHONPATH=FOLDER python train.py"),
        ("torch.nn.Linear", {"wide": 3}, "it cannot be built .TypeError: .*'wide'"),
        ("torch.nn.ReLU", None, "none of its modules is a Choice"),
    ],
)
def test_refused_by_its_key(model: str, arguments: dict[str, int] | None, said: str) -> None:
    target = "nas_lightning.search_spaces.choices.ChoiceSpace"
    node = {"_target_": target, "model": model, "arguments": arguments, "pretrained": False}
    refusal = rf"^search_space\.model='{model}' is not allowed: {said}"
    with pytest.raises(UserError, match=refusal):
        make(OmegaConf.create({"search_space": node}), "search_space")


def test_arguments_that_are_none() -> None:
    with pytest.raises(NotAllowedError, match=r"^arguments=3 is not allowed: must be names"):
        ChoiceSpace(model=Nested, arguments=3, pretrained=False)  # type: ignore[arg-type]
    with pytest.raises(NotAllowedError, match=r"cannot be built \(TypeError: .*'width'"):
        ChoiceSpace(model=Nested, arguments={"width": 1}, pretrained=False)


def test_other_choices_at_every_call() -> None:
    made = iter(range(100))
    space = space_of(lambda: nn.Sequential(Choice({f"option {next(made)}": nn.Identity()})))
    with pytest.raises(ValueError, match="other choices each time that it is built"):
        ChoiceChild(space=space, num_classes=2, loss=None, metrics=None)


@pytest.mark.parametrize("options", [{}, {"": nn.ReLU()}, {"a": 3}, [nn.ReLU()], {1: nn.ReLU()}])
def test_a_choice_of_what_is_none(options: Any) -> None:
    with pytest.raises(ValueError, match="must be one or more modules by name"):
        Choice(options)


def test_a_repeat_of_what_is_none() -> None:
    one = Add(1.0)
    with pytest.raises(ValueError, match="a new one at every call"):
        Repeat(lambda: one, at_most=2)
    with pytest.raises(ValueError, match="at_most=0 is not allowed"):
        Repeat(one, at_most=0)
    assert len({id(block) for block in Repeat(one, at_most=3).blocks}) == 3


# ------------------------------------------------------------------------------- function


def build(width: int, kind: str) -> Any:
    if kind == "broken":
        raise ValueError("no such\nkind")
    return nn.Linear(4, width) if kind == "linear" else kind


def test_a_function_builds() -> None:
    decisions: Any = {"width": [3, 5], "kind": ["linear", "broken", "word"]}
    space = FunctionSpace(build=build, decisions=decisions)
    assert space.describe([1, 0]) == {"width": 5, "kind": "linear"}
    child = FunctionChild(space=space, num_classes=5, loss=None, metrics=None)
    fresh = child.fresh(torch.tensor([[1, 0]]), [seeded(0)])
    assert fresh.score(batch(), torch.tensor([[1, 0]])).loss_sum.shape == (1,)
    with pytest.raises(ValueError, match=r"^build\(width=3, kind='broken'\) fails .*no such kind"):
        child.costs([0, 1])
    with pytest.raises(ValueError, match=r"kind='word'\) gives a str, must give"):
        child.costs([0, 2])
    wrong = child.fresh(torch.tensor([[0, 0]]), [seeded(0)])
    with pytest.raises(ValueError, match=r"gives \(6, 3\) for 6 examples of 5 classes"):
        wrong.score(batch(), torch.tensor([[0, 0]]))


def test_a_function_that_is_missing() -> None:
    space = FunctionSpace(build=None, decisions={"width": [1]})
    child = FunctionChild(space=space, num_classes=5, loss=None, metrics=None)
    with pytest.raises(UserError, match=r"^build=null: there is no function"):
        child.preview(batch(), shared=False)
    with pytest.raises(UserError, match=r"^build=null: there is no function"):
        child.built([0], seed=0)


@pytest.mark.parametrize("decisions", [{}, {"a": []}, {"a": [1, 1]}, {"a": 3}, {"a": [None]}, []])
def test_decisions_that_are_none(decisions: Any) -> None:
    with pytest.raises(ValueError, match=r"^decisions.* is not allowed: must be one or more"):
        FunctionSpace(build=None, decisions=decisions)


def test_how_large_a_space_is_in_words() -> None:
    one = (Decision("pool", "pool", ("mean", "max")),)
    assert extent(one, 2) == "1 decision, 2 architectures"
    assert extent(one * 3, 12_345) == "3 decisions, 12,345 architectures"
    assert extent(one * 40, 2**40) == "40 decisions, 1.1e+12 architectures"
