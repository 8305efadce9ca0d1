"""Readers of files, given what nobody has written by hand: they refuse, or leave out, and end.

Examples follow from a fixed seed. Whatever a reader raises must be what it documents; what it
returns must be what it promises, so that those who use it need not look again.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nas_lightning.assembly.retraining import architecture_in
from nas_lightning.data import archives, image_formats, text_files
from nas_lightning.data.image_formats import read_cifar_batch, read_idx, read_npy
from nas_lightning.data.members import read_members, read_npz
from nas_lightning.data.pictures import decode
from nas_lightning.data.text_files import read_splits
from nas_lightning.errors import UserError
from nas_lightning.estimators.table_file import SHIPPED, read_table
from nas_lightning.runs.records import read_ledger, read_metrics
from nas_lightning.runs.run import read_best, read_run
from nas_lightning.runs.state import RunState
from nas_lightning.search_spaces.child import LOSS
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace
from nas_lightning.studies.cross_evaluation import RECORD, Scores, read_record

few = settings(
    derandomize=True,
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SPACE = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu", "identity", "sigmoid"])

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -1, 2**63, True]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
DEEP = b"[" * 5_000


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields, any of which may be missing or hold anything."""
    return st.fixed_dictionaries({}, optional={k: st.one_of(v, values) for k, v in fields.items()})


def lines(rows: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Files of such objects, a line each, some of them cut, some no JSON at all."""
    whole = rows.map(lambda row: json.dumps(row).encode())
    cut = whole.map(lambda line: line[: len(line) // 2])
    some = st.lists(st.one_of(whole, cut, st.binary(max_size=9), st.just(DEEP)), max_size=6)
    return some.map(lambda found: b"".join(line + b"\n" for line in found))


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with some of its bytes changed, then cut or made longer."""
    changes = st.lists(
        st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )

    def change(drawn: tuple[list[tuple[int, int]], int, bytes]) -> bytes:
        found = bytearray(whole)
        for place, value in drawn[0]:
            found[place] = value
        return bytes(found[: drawn[1]]) + drawn[2]

    length = st.one_of(st.just(len(whole)), st.integers(0, len(whole)))
    return st.tuples(changes, length, st.binary(max_size=4)).map(change)


def peak(work: Callable[[], object]) -> int:
    """The most bytes of Python's that were in use at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --------------------------------------------------------------------- what a search leaves


@few
@given(
    st.one_of(
        objects(actions=st.lists(numbers, max_size=4), found_in_epoch=numbers).map(
            lambda found: json.dumps(found).encode()
        ),
        values.map(lambda found: json.dumps(found).encode()),
        st.binary(max_size=20),
        st.just(DEEP),
    )
)
def test_an_architecture(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    try:
        actions, epoch = architecture_in(file)
    except ValueError:
        pass
    else:
        assert all(type(action) is int and action >= 0 for action in actions)
        assert isinstance(epoch, str)
    best = read_best(file)
    assert best is None or isinstance(best.get("metrics", {}), dict)


@few
@given(
    lines(
        objects(
            actions=st.lists(numbers, max_size=3),
            metrics=st.dictionaries(st.sampled_from(["loss", "perplexity"]), numbers),
            purpose=st.sampled_from(["candidate", "controller"]),
            epoch=st.integers(0, 3),
        )
    )
)
def test_a_ledger(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    judged, unread = read_ledger(path, LOSS)
    assert judged.rows + unread == content.count(b"\n")
    found = [row["metrics"]["loss"] for row in judged.best]
    assert all(math.isfinite(value) for value in found)
    assert sorted(found) == found


@few
@given(
    lines(
        objects(
            seed=st.integers(0, 3),
            architectures_of=st.sampled_from(["lstm", "random"]),
            weights_of=st.sampled_from(["lstm", "random"]),
            losses=st.lists(numbers, min_size=1, max_size=2),
            counts=st.lists(numbers, min_size=1, max_size=2),
            uncalibrated=st.none(),
            minibatches=st.integers(1, 4),
            epochs=st.lists(st.integers(1, 4), min_size=2, max_size=2),
        )
    )
)
def test_a_cross_evaluation(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    found, unread = read_record(tmp_path)
    assert len(found) + unread <= content.count(b"\n")
    for scores in found:
        assert isinstance(scores, Scores)
        assert scores.drawn >= scores.diverged >= 0
        assert isinstance(scores.mean(), float)
        assert isinstance(scores.median(), float)
        scores.mean_uncalibrated()


METRICS = b"time,epoch,child_step,controller_step,architectures_judged,name,value\n"
FIELD = b"0,0,0,0,0,reward," + b"9" * 200_000 + b"\n"


@few
@given(
    st.one_of(
        damaged(METRICS + b"0,0,0,0,0,reward,1.5\n0,1,0,0,0,reward,nan\n"),
        st.binary(max_size=60),
        st.just(METRICS + FIELD),
        st.just(METRICS.replace(b"name", b"nome") + b"0,0,0,0,0,reward,1\n"),
    )
)
def test_metrics(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    found, _ = read_metrics(path)
    for series in found.values():
        assert len(series.epochs) == len(series.judged) == len(series.values)
    config = {"estimator": {"objective": "loss"}}
    state = RunState("done", True, "has finished")
    run = read_run(tmp_path, "a", 0, config, state)
    assert bool(run.at_end) == bool(found)


@few
@given(damaged(SHIPPED["enas_rnn_3"].read_bytes()))
def test_a_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    try:
        table = read_table(path, SPACE)
    except ValueError as error:
        assert str(error).startswith("path=")  # noqa: PT017
    else:
        assert len(table.architectures) == SPACE.size
        for column in table.values:
            assert all(math.isfinite(loss) for row in table.rows(column).values() for loss in row)


# --------------------------------------------------------------------- data

IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3]) + IMAGES.tobytes()


def refuses(reader: Callable[[bytes], Any], content: bytes) -> None:
    """Read; a ValueError of one line is all that may be raised."""
    try:
        reader(content)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@few
@given(st.one_of(damaged(IDX), st.binary(max_size=40)))
def test_idx(content: bytes) -> None:
    refuses(lambda data: read_idx(io.BytesIO(data), 3), content)
    refuses(
        lambda data: read_idx(gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data))), 3), content
    )


@few
@given(st.one_of(damaged(npy(IMAGES)), st.binary(max_size=40)))
def test_npy(content: bytes) -> None:
    refuses(lambda data: read_npy(io.BytesIO(data), len(data)), content)


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(IMAGES).save(stream, kind)
    return stream.getvalue()


@few
@given(st.one_of([damaged(picture(kind)) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP")]))
def test_a_picture(content: bytes) -> None:
    refuses(lambda data: decode(io.BytesIO(data), None), content)


@few
@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda b: b"\x80\x02" + b)))
def test_a_batch(content: bytes) -> None:
    refuses(lambda data: read_cifar_batch(io.BytesIO(data)), content)


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_txt", ".txt"), content)
    return stream.getvalue()


def tarred(content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("images")
        info.size, info.type = len(content), kind
        tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@few
@given(
    st.one_of(
        damaged(zipped(train_txt=b"a b\n", valid_txt=b"a\n", test_txt=b"b\n")),
        damaged(zipped(images=IDX)),
        damaged(tarred(IDX)),
        st.binary(max_size=60),
    )
)
def test_archives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive"
    path.write_bytes(content)

    def images(stream: Any) -> Any:
        return read_idx(stream, 3)

    for reader in (
        read_splits,
        lambda path: read_npz(path, {"images": "uif"}),
        lambda path: read_members(path, {"images": images}),
    ):
        try:
            reader(path)
        except UserError as error:
            assert str(error).startswith(f"path={path}: ")  # noqa: PT017


# --------------------------------------------------------------------- bombs

MIB = 2**20


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb(method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused whatever size it declares, before it is unpacked, or when there is more."""
    monkeypatch.setattr(text_files, "MEMBER_LIMIT", 2 * MIB)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("train.txt", "valid.txt", "test.txt"):
            archive.writestr(name, bytes(40 * MIB))
    honest = path.read_bytes()
    lying = honest.replace((40 * MIB).to_bytes(4, "little"), (MIB).to_bytes(4, "little"))
    assert lying != honest
    for content in (honest, lying):
        path.write_bytes(content)

        def read() -> None:
            with pytest.raises(UserError, match=r"^path="):
                read_splits(path)

        assert peak(read) < 16 * MIB


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE])
def test_a_tar_bomb(kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of a header, or a file that is passed over: no more is unpacked than allowed."""
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 8 * MIB)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(tarred(bytes(100 * MIB), kind))

    def read() -> None:
        with pytest.raises(UserError, match=r"^path="):
            read_members(path, {"labels": lambda stream: read_idx(stream, 1)})

    assert peak(read) < 16 * MIB


def test_a_batch_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_formats, "BATCH_LIMIT", MIB)
    packed = gzip.compress(bytes(100 * MIB))

    def read() -> None:
        with pytest.raises(ValueError, match="more than"):
            read_cifar_batch(gzip.GzipFile(fileobj=io.BytesIO(packed)))

    assert peak(read) < 8 * MIB


def test_members_cannot_leave(tmp_path: Path) -> None:
    """Nothing is extracted: a name that leads elsewhere is a name that nobody asks for."""
    path = tmp_path / "here/archive.zip"
    path.parent.mkdir()
    names = ("../train.txt", "/tmp/../valid.txt", "../../test.txt")
    path.write_bytes(zipped(**dict.fromkeys(names, b"a b\n")))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="no file for the"):
        read_splits(path)
    assert sorted(tmp_path.rglob("*")) == before
