"""What docs/how-to-own-project.md says is done: its files are written, and its command is run."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

from tests.processes import Command, run

TEXT = (Path(__file__).parents[1] / "docs/how-to-own-project.md").read_text(encoding="utf-8")
SMALL = ("budget=smoke", "logger=csv", "threads=1", "trainer.max_epochs=1", "hydra.run.dir=run")


def find_them() -> None:
    """What PYTHONPATH=. does for a process that begins."""
    sys.path.insert(0, ".")


def test_the_whole_way_to_the_page(tmp_path: Path) -> None:
    files = re.findall(r"^`([\w/]+\.\w+)`.*?\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert [Path(name).suffix for name, _ in files] == [".yaml", ".yaml", ".yaml", ".py"]
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    found = re.search(r"^PYTHONPATH=\. nas-lightning (.*)$", TEXT, re.MULTILINE)
    assert found is not None
    ended = run(Command((*shlex.split(found[1]), *SMALL), tmp_path, prepare=find_them))
    assert ended.code == 0, ended
    best = json.loads((tmp_path / "run/best_architecture.json").read_text())
    assert list(best["decisions"]) == ["0", "2", "3"]
    assert (tmp_path / "run/report.html").exists()
