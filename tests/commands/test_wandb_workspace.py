"""The W&B workspace: its sections, and that it draws what is logged, over the right counter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas_lightning.assembly.configuration import CONF
from nas_lightning.commands.wandb_workspace import ARM, DRAWINGS, PANELS, axis
from tests.given import composed
from tests.processes import Command
from tests.shell import Shell

ROOT = Path(__file__).parents[2]


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, by somebody without a login."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/wandb_workspace.py"), *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "WANDB_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is written without a login."""
    folder = tmp_path_factory.mktemp("dashboard")
    ended = called(folder, "output=view.json", "project=mine")
    assert ended.returncode == 0, ended.stderr
    assert "nobody is logged in" in ended.stdout
    written = json.loads((folder / "view.json").read_text(encoding="utf-8"))
    assert written["project"] == "mine"
    section: dict[str, Any] = written["spec"]["section"]
    return section


def test_sections_and_their_panels(spec: dict[str, Any]) -> None:
    sections = spec["panelBankConfig"]["sections"]
    names = [section["name"] for section in sections]
    assert names == list(PANELS)
    for section in sections:
        configs = [panel["config"] for panel in section["panels"]]
        drawn = [config["metrics"] for config in configs if "metrics" in config]
        assert drawn == list(PANELS[section["name"]].values())
        shown = [config["mediaKeys"] for config in configs if "mediaKeys" in config]
        assert shown == (list(DRAWINGS.values()) if section["name"] == "architectures" else [])


def test_families_are_drawn_over_their_counters(spec: dict[str, Any]) -> None:
    axes = {
        metric: panel["config"]["xAxis"]
        for section in spec["panelBankConfig"]["sections"]
        for panel in section["panels"]
        for metric in panel["config"].get("metrics", [])
    }
    assert axes["relaxed/skips"] == "child_step"
    assert axes["controller/reward"] == axes["memory/loss"] == "controller_step"
    assert axes["derive/best_perplexity"] == axes["probes/accuracy"] == "epoch"
    assert axes["child/loss"] == "child_step"
    assert axes["system/cpu"] == "_runtime"


def test_metrics_of_one_panel_share_an_axis() -> None:
    for panels in PANELS.values():
        for metrics in panels.values():
            assert len({axis(metric) for metric in metrics}) == 1, metrics


def test_arms_are_laid_over_each_other(spec: dict[str, Any]) -> None:
    """Runs are grouped by what tells any two arms apart."""
    (runs,) = spec["runSets"]
    assert [key["name"] for key in runs["grouping"]] == [
        key.replace(".", ".value.", 1) for key in ARM
    ]
    groups: dict[tuple[object, ...], str] = {}
    for arm in sorted(file.stem for file in CONF.glob("arm/*.yaml")):
        cfg = composed(f"arm={arm}")
        values = tuple(OmegaConf.select(cfg, key) for key in ARM)
        assert values not in groups, f"{arm} and {groups[values]} are drawn as one"
        groups[values] = arm


def test_only_what_is_documented_is_drawn() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("docs/metrics*.md")))
    for metric in (m for panels in PANELS.values() for ms in panels.values() for m in ms):
        family, _, rest = metric.partition("/")
        metric = re.sub(r"_after_\w+?(_mean|_std|_median|$)", r"_after_…\1", metric)
        bare = re.sub(r"_(std|median)$", "_mean", metric)
        family_known = family in {"hidden", "diversity"} and f"`{rest}`" in text
        known = f"`{metric}`" in text or f"`{bare}`" in text or family_known
        known |= metric.startswith("system/") and "`system/*`" in text
        assert known, f"{metric} is not explained"


def test_a_wrong_argument_ends_in_one_line(tmp_path: Path, shell: Shell) -> None:
    module = "nas_lightning.commands.wandb_workspace"
    ended = shell.run(Command(["outpt=3"], tmp_path / "here", module=module))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.ours
    assert line.startswith("error: ")
    assert "outpt" in line


def test_the_sweep_composes() -> None:
    """Each of its parameters is a key or a group, with values that there are."""
    sweep = yaml.safe_load((ROOT / "docs/sweep.yaml").read_text(encoding="utf-8"))
    assert sweep["program"] == "train.py"
    assert sweep["command"][-1] == "${args_no_hyphens}"
    for key, given in sweep["parameters"].items():
        for value in given.get("values", [given.get("value")]):
            with initialize_config_dir(str(CONF), version_base="1.3"):
                cfg = compose("config", [f"{key}={value}"], return_hydra_config=True)
            chosen = cfg.hydra.runtime.choices if (CONF / key).is_dir() else cfg
            assert chosen[key] == value
    family, _, _ = sweep["metric"]["name"].partition("/")
    assert family == "derive"
