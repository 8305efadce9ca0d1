"""The house stays easy to hold in the head: sizes, names, and where a `_target_` points."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import yaml

import nas_lightning

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nas_lightning"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("scripts/**/*.py")])
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def targets(node: object) -> list[str]:
    """All classes that a part of a configuration names."""
    if isinstance(node, list):
        return [name for item in node for name in targets(item)]
    if not isinstance(node, dict):
        return []
    own = [node["_target_"]] if "_target_" in node else []
    return own + [name for value in node.values() for name in targets(value)]


TARGETS = sorted(
    {
        target
        for file in (ROOT / "conf").rglob("*.yaml")
        for target in targets(yaml.safe_load(file.read_text(encoding="utf-8")))
        if target.startswith("nas_lightning.")
    }
)


def test_few_modules_at_the_root() -> None:
    modules = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 8, modules
    assert (PACKAGE / "py.typed").exists()


def test_sizes() -> None:
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 350, f"{file}: a file of more than one reason to exist?"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 60, f"{file}: {node.name} has {lines} lines"


def test_no_crowded_folder() -> None:
    for folder in {file.parent for file in SOURCES}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 18, f"{folder}: {len(files)}"


def test_no_public_name_is_a_rooms() -> None:
    """`nas_lightning.search` cannot be a function and a folder."""
    public = {
        name
        for name, value in vars(nas_lightning).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert (public | set(nas_lightning.__all__)).isdisjoint(ROOMS)


def test_targets_are_public() -> None:
    """A package exports what its YAML names, so that moving a file breaks no saved run."""
    for target in TARGETS:
        room, _, name = target.rpartition(".")
        module = importlib.import_module(room)
        internal = room in ("nas_lightning.rewards", "nas_lightning.commands.application")
        assert internal or name in module.__all__, target


def test_targets_were_found() -> None:
    assert len(TARGETS) > 20
