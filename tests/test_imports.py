"""Imports run one way: docs/architecture.md, "Rooms"."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "nas_lightning"

TABLE = re.search(
    r"^\| room \|.*\n\|[-|]+\n((?:\|.*\n)+)",
    (ROOT / "docs/architecture.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
assert TABLE is not None
ORDER = [set(re.findall(r"`(\w+)`", line.split("|")[1])) for line in TABLE[1].splitlines()]
"""Who may import whom: what stands on a line above, and what is of the same room."""

RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
RANK["__init__"] = len(ORDER)  # it has the public names of `api`

# What one room knows of another is the contract, never a concrete class.
CONTRACTS = {"base", "child", "module"}

# Rooms of functions and files, where there is nothing to choose among.
GROUND = {"runs", "training", "analysis"}

# Where a library may be imported; it may be imported anywhere if it is not named here.
PLACES = {
    "pytorch_lightning": {"engine", "data", "callbacks", "loggers", "assembly"},
    "hydra": {"assembly", "commands"},
    "omegaconf": {"assembly", "commands", "benchmarks", "runs"},
    "wandb": {"commands", "loggers"},
    "wandb_workspaces": {"commands"},
    "lightning": set[str](),  # its classes are others than pytorch_lightning's
    "torchvision": set[str](),
}


def modules() -> list[Path]:
    files = [*(ROOT / PACKAGE).rglob("*.py"), *ROOT.glob("scripts/*.py"), ROOT / "train.py"]
    return sorted(file.relative_to(ROOT) for file in files)


@functools.cache
def imports(file: Path) -> list[str]:
    """The full names of all modules that a file imports, wherever in it."""
    return list(walked(file))


def walked(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            module = str(node.module)
            for alias in node.names:
                inner = ROOT / module.replace(".", "/") / alias.name
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{module}.{alias.name}" if is_module else module


def room(file: Path) -> str:
    """The part of the package that a file belongs to: a folder, or a file beside the folders."""
    return file.parts[1].removesuffix(".py")


def test_the_table_is_complete() -> None:
    rooms = {room(file) for file in modules() if file.parts[0] == PACKAGE}
    assert rooms == RANK.keys(), "docs/architecture.md: another table of rooms"


def of_all() -> Iterator[tuple[Path, str]]:
    """Every file, with every name that it imports."""
    return ((file, name) for file in modules() for name in imports(file))


def test_one_way() -> None:
    for file, name in of_all():
        top, *inner = name.split(".")
        if top != PACKAGE or not inner:
            continue
        if file.parts[0] != PACKAGE:
            assert RANK[inner[0]] >= RANK["report"], f"{file} is a shim, and imports {name}"
            continue
        here, there = room(file), inner[0]
        assert here == there or RANK[there] < RANK[here], f"{file} imports {name}"
        contract = len(inner) == 1 or inner[1] in CONTRACTS or there in GROUND
        if here != there and RANK[here] < RANK["studies"]:
            assert contract, f"{file} names {name}, and may only know the contract"
        if here == there and len(file.parts) > 3 and RANK[here] < RANK["studies"]:
            known = (file.parts[2], "choices")  # of whose parts other spaces may be built
            assert contract or inner[1] in known, f"{file} imports its sibling {name}"


def test_libraries_stay_in_their_places() -> None:
    for file, name in of_all():
        library = name.split(".")[0]
        if library in PLACES and file.parts[0] == PACKAGE:
            assert room(file) in PLACES[library], f"{file} imports {name}"


def test_every_library_is_declared() -> None:
    """What comes with another library today may not tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split(r"[^\w-]", line)[0].lower() for lines in asked for line in lines}
    known = {*sys.stdlib_module_names, PACKAGE, "_typeshed"}  # the last for types alone
    libraries = {name.split(".")[0] for _, name in of_all()} - known
    libraries -= {"benchmarks"}
    assert {"torch", "yaml"} <= libraries
    brought = packages_distributions()
    missing = {
        library
        for library in libraries
        if declared.isdisjoint(name.lower() for name in brought.get(library, [library]))
    }
    assert not missing


def test_the_walk_sees_imports() -> None:
    """The test above would pass on an empty list."""
    assert "nas_lightning.controllers.base" in imports(Path(PACKAGE, "engine", "module.py"))
    assert "nas_lightning.callbacks.checkpoint" in imports(Path(PACKAGE, "assembly", "search.py"))
    assert len(modules()) > 20


def test_no_room_for_everything() -> None:
    assert not [file for file in modules() if file.stem in ("utils", "helpers", "registry")]
