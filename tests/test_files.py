"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_lightning.files import read_json, whole_file, write, write_csv, write_json


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, "one")

    def killed() -> None:
        with whole_file(path) as file:
            file.write(b"tw")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_all_is_there(tmp_path: Path) -> None:
    path, before = tmp_path / "last", tmp_path / "previous"
    for text in (b"one", b"two", b"three"):
        with whole_file(path, before=before) as file:
            file.write(text)
            file.flush()
            assert not path.exists() or path.read_bytes() != text
    assert (path.read_bytes(), before.read_bytes()) == (b"three", b"two")


def test_tables_and_json(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["a", "b"], [[1, 'x, "y"'], [2.5, ""]])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,"x, ""y"""\n2.5,\n'
    write_json(tmp_path / "j.json", {"a": float("nan"), "b": [1.0, float("inf")]})
    assert read_json(tmp_path / "j.json") == {"a": None, "b": [1.0, None]}
    (tmp_path / "j.json").write_text("[1]")
    assert read_json(tmp_path / "j.json") is None
    assert read_json(tmp_path / "none.json") is None
