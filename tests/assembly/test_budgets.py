"""Sizes stand in one place, and every combination of choices runs or is refused in one line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly import search as experiment
from nas_lightning.assembly.choices import not_composed, reason
from nas_lightning.assembly.configuration import ASIDE, CONF, plain
from nas_lightning.assembly.make import make
from nas_lightning.assembly.messages import explained
from nas_lightning.assembly.search import build
from nas_lightning.errors import UserError
from tests.given import GIVEN

EXPERIMENTS = sorted(file.stem for file in CONF.glob("experiment/*.yaml"))
BUDGETS = sorted(file.stem for file in CONF.glob("budget/*.yaml"))
GROUPS = ("search_space", "estimator", "controller", "memory", "budget")
QUIET = ("logger=csv", "callbacks={}", "trainer.accelerator=cpu")
SMALL = (
    "child.hidden_size=8",
    "data.vocabulary_size=60",
    "memory.batch_size=10",
    "controller.population=4",  # evolution's, which would outlast the smallest budget
    "controller.sample=2",
    "controller.initial=2",
    "controller.held_out=0",
    "controller.kept=2",
    "controller.first=2",
)
HAS = {
    "evolution": ("population", "sample"),
    "predictor": ("initial", "held_out"),
    "pnas": ("kept", "first", "held_out"),
}
"""Which of them a controller has."""


JUDGE = ["estimator.evaluate=builtins.dict", "estimator.metrics={accuracy:more,perplexity:less}"]
JUDGE += ["estimator.objective=accuracy"]

PARTS = 8
"""Into so many tests all rows are divided, for processors that work side by side."""

Row = tuple[str, ...]


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from leaves(inner, f"{key}.{name}".strip("."))
    else:
        yield key, node


def files() -> dict[str, dict[str, Any]]:
    """What each YAML says, under the full names of its keys."""
    said = {}
    for path in sorted(CONF.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(CONF).with_suffix("")
        package = "" if "@package _global_" in text else ".".join(where.parts[:-1])
        values = yaml.safe_load(text) or {}
        defaults = values.pop("defaults", [])
        said[where.as_posix()] = {"defaults": defaults, **dict(leaves(values, package))}
    return said


@pytest.fixture
def configured() -> Iterator[Any]:
    """Composes as the command does; Hydra is told of it, and forgets it at the end."""

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])

    yield composed
    HydraConfig.instance().cfg = None


# ------------------------------------------------------------- in plain sight


def test_no_file_is_chosen_by_others() -> None:
    assert not list(CONF.rglob("sized"))
    for name, said in files().items():
        for entry in said["defaults"]:
            assert "${" not in str(entry), f"{name}: {entry}"


def test_every_value_of_a_budget_is_read_and_every_one_read_is_there() -> None:
    said = files()
    known = {key for key, _ in said["budget/default"].items() if key != "defaults"}
    given = {key for name in said for key in said[name] if key.startswith("budget.")}
    values = [str(value) for name in said for value in said[name].values()]
    needed = {key for value in values for key in re.findall(r"\$\{(budget\.[\w.]+)\}", value)}
    asked = {key for value in values for key in re.findall(r"oc\.select:(budget\.[\w.]+)", value)}
    assert needed <= known, "what others need is in `default`"
    assert given - {"budget.data", "budget.retrain"} <= needed | asked, "nothing is said in vain"


def test_experiments_hold_no_sizes() -> None:
    """None sets a key that reads the budget; each names a budget, by itself or by its space."""
    said = files()
    sizes = {
        key
        for name in said
        if not name.startswith(("experiment/", "arm/"))
        for key, value in said[name].items()
        if key != "defaults" and "budget." in str(value)
    }
    assert {"search.candidates", "trainer.max_epochs", "estimator.training.epochs"} <= sizes
    for name in EXPERIMENTS:
        assert not sizes & said[f"experiment/{name}"].keys(), name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_takes_any_budget(name: str, configured: Any) -> None:
    smoke = dict(leaves(plain(configured("experiment=smoke"))))
    cfg = plain(configured(f"experiment={name}", "budget=smoke"))
    small = dict(leaves(cfg))
    for key in ("trainer.max_epochs", "search.candidates", "callbacks.probes.architectures"):
        assert small[key] == smoke[key], key
    assert small.get("estimator.child_steps", 0) <= 4
    assert small["estimator.controller_steps"] in (2, 3, 100), "100 look-ups are soon done"
    assert cfg.keys().isdisjoint(ASIDE)


def test_a_saved_configuration_holds_each_value_where_it_is_used(configured: Any) -> None:
    saved = plain(configured("experiment=smoke"))
    assert saved.keys().isdisjoint(ASIDE)
    assert "${" not in str(saved)
    assert saved["search"]["candidates"] == 6


# ------------------------------------------------------------- combinations


def options(group: str) -> list[str]:
    return sorted(file.stem for file in CONF.glob(f"{group}/*.yaml"))


def covering(factors: list[list[str]]) -> list[Row]:
    """Rows in which every two options of two groups meet, chosen one after the other."""
    pairs = {
        ((i, a), (j, b))
        for i, j in itertools.combinations(range(len(factors)), 2)
        for a in factors[i]
        for b in factors[j]
    }
    rows = []
    while pairs:
        row = dict(min(pairs))
        for i in [i for i in range(len(factors)) if i not in row]:
            row[i] = max(
                factors[i],
                key=lambda option: sum(
                    tuple(sorted(((i, option), other))) in pairs for other in row.items()
                ),
            )
        rows.append(tuple(row[i] for i in range(len(factors))))
        pairs -= set(itertools.combinations(sorted(row.items()), 2))
    return rows


def runs(space: str, estimator: str, controller: str, memory: str, budget: str) -> bool:
    """What is expected to run; data and reward are the space's."""
    without = ("evolution", "local_search", "predictor", "pnas", "optuna", "proposer")
    relaxes = controller in ("darts", "gdas", "drnas")
    if relaxes and (estimator != "weight_sharing" or memory != "none"):
        return False
    learns = controller not in ("random", "untrained") and not controller.startswith(without)
    remembers = learns and controller != "factorized"
    shared = () if relaxes else ("weight_sharing",)
    judged = {
        "enas_rnn": ("from_scratch",) if relaxes else ("weight_sharing", "from_scratch"),
        "darts_rnn": ("weight_sharing", "from_scratch"),
        "modules": ("weight_sharing", "from_scratch", "pairs"),
        "nas_bench_201": ("table", *shared, "from_scratch", "pairs"),
    }.get(space, ("from_scratch", "pairs"))
    return (
        estimator in (*judged, "function")
        and (memory == "none" or remembers or (learns and memory == "replay"))
        and (budget not in ("enas", "nas_bench_201") or controller not in ("lstm", "factorized"))
    )


ROWS = covering([options(group) for group in GROUPS])


def test_every_two_options_meet() -> None:
    for i, j in itertools.combinations(range(len(GROUPS)), 2):
        met = {(row[i], row[j]) for row in ROWS}
        assert met == set(itertools.product(options(GROUPS[i]), options(GROUPS[j])))
    assert len(ROWS) < 320
    assert {runs(*row) for row in ROWS} == {True, False}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """Data that were read, by their configuration."""
    return {}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_combination_runs_or_is_refused_in_one_line(
    part: int,
    data: dict[str, Any],
    configured: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def make_once(cfg: DictConfig, key: str, **offers: Any) -> Any:
        if key != "data":
            return make(cfg, key, **offers)
        node = str(cfg.data)
        if node not in data:
            data[node] = make(cfg, key)
        return data[node]

    monkeypatch.setattr(experiment, "make", make_once)
    for number, row in enumerate(ROWS[part::PARTS]):
        chosen = [f"{group}={option}" for group, option in zip(GROUPS, row, strict=True)]
        small = [key for key in SMALL if fits(key, row)]
        if row[1] == "function":
            small += JUDGE
        given = GIVEN.get(row[0], [])
        cfg = configured(*chosen, *QUIET, *small, *given)
        folder = tmp_path / str(number)
        folder.mkdir()
        if runs(*row):
            assert "${" not in str(plain(cfg))
            build(cfg, folder)
            continue
        with pytest.raises(UserError) as refused:
            build(cfg, folder)
        line = explained(refused.value)
        named = [*chosen[:4], *(key for key in given if key.startswith("data="))]
        assert line.startswith(f"{' '.join(named)}: "), line
        assert "\n" not in line
        assert re.search(r"(use|choose|give|raise) .*[=.]", line), f"{line}: what works?"


def fits(key: str, row: Row) -> bool:
    text = row[0] == "enas_rnn"
    if key.startswith("controller."):
        return key.split(".")[1].split("=")[0] in HAS.get(row[2].split("_")[0], ())
    if key.startswith("memory."):
        return row[3] != "none"
    return text


# What the user wrote, and what the line must say; no key that they did not write.
REFUSED = {
    "an arm's key": (
        "arm=entropy controller=random",
        "arm=entropy controller=random: one of them sets what the controller",
    ),
    "an experiment's key": (
        "experiment=ground_truth estimator=weight_sharing",
        "experiment=ground_truth estimator=weight_sharing: one of them sets what the estimator",
    ),
    "a part of a space that grows": (
        "search_space=nas_cnn arm=random_10",
        "search_space=nas_cnn arm=random_10: the space grows",
    ),
    "a baseline for one": (
        "search_space=enas_rnn budget=enas controller=lstm",
        "search_space=enas_rnn controller=lstm: the baseline compares",
    ),
    "networks without data": (
        "search_space=nas_bench_201 estimator=from_scratch",
        "search_space=nas_bench_201 estimator=from_scratch: data=null is not allowed: must be",
    ),
    "networks of pictures": (
        "search_space=nas_bench_201 estimator=weight_sharing data=python_docs",
        "search_space=nas_bench_201 estimator=weight_sharing data=python_docs: child: needs 'num_",
    ),
    "a key of one's own": (
        "controller=random controller.support=0",
        "controller.support=0 is not allowed: must be",
    ),
    "below a budget's": (
        "controller=lstm budget.search.log_every=0",
        "search.log_every=0 is not allowed: must be",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_what_was_chosen(case: str, configured: Any, tmp_path: Path) -> None:
    asked, line = REFUSED[case]
    with pytest.raises(UserError) as refused:
        build(configured(*asked.split(), *QUIET), tmp_path)
    assert str(refused.value).startswith(line)
    assert refused.value.__cause__ is not refused.value, "its causes come to an end"


@pytest.mark.parametrize(
    "asked",
    ["arm=permuted controller=random", "controller=random controller/baseline=permuted"],
)
def test_refused_before_it_is_composed(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *asked.split()])
    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(ConfigCompositionException) as refused,
    ):
        compose("config", asked.split())
    assert explained(refused.value).startswith(f"{asked}: the controller that is chosen has no bas")


def test_a_bad_number_keeps_its_key() -> None:
    """Whoever has written it into a file of their own needs it."""
    line = "search.candidates=-1 is not allowed: must be a whole number >= 0"
    assert reason(line) == line


def test_other_failures_to_compose_are_not_its_affair() -> None:
    assert not_composed("Could not find 'controller/nosuch'") is None
