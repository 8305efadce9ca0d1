"""The readers of idx, .npy and CIFAR-10's pickles: round trips, damage, and forged claims."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas_lightning.data import image_formats
from nas_lightning.data.image_formats import read_cifar_batch, read_idx, read_npy

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (5, 4, 3), dtype=np.uint8)
ROWS = RANDOM.integers(0, 256, (3, 3072), dtype=np.uint8)


def idx(array: NDArray[Any], code: int = 8) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def npy(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    return stream.getvalue()


def text(value: bytes) -> bytes:
    """A `str` as Python 2 pickles it."""
    short = len(value) < 256
    return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<I", len(value))) + value


def python2_array(rows: NDArray[Any], *, code: bytes = b"u1", raw: bytes | None = None) -> bytes:
    """An array as Python 2's cPickle writes it, which is how CIFAR-10 is published."""
    shape = b"".join(b"J" + struct.pack("<i", length) for length in rows.shape)
    return b"".join(
        (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87R",
            b"q\x09(K\x01(" + shape + b"tcnumpy\ndtype\nq\x0a" + text(code) + b"K\x00K\x01\x87R",
            b"q\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            text(rows.tobytes() if raw is None else raw) + b"tb",
        )
    )


def python2_batch(labels: list[int], array: bytes, extra: bytes = b"") -> bytes:
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"".join(
        (
            b"\x80\x02}q\x01(" + text(b"batch_label") + text(b"training batch 1 of 5"),
            text(b"labels") + b"]q\x02(" + numbers + b"e" + text(b"data") + array,
            text(b"filenames") + b"](" + text(b"leptodactylus_pentadactylus.png") + b"e",
            extra + b"u.",
        )
    )


BATCH = python2_batch([6, 0, 9], python2_array(ROWS))


def refused(reader: Any, data: bytes, **arguments: Any) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        reader(io.BytesIO(data), **arguments)
    return str(caught.value)


# idx


@pytest.mark.parametrize("shape", [(5, 4, 3), (1, 1, 1), (0, 4, 3), (7,), (0,)])
def test_idx_round_trip(shape: tuple[int, ...]) -> None:
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    found = read_idx(io.BytesIO(idx(array)), len(shape))
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)
    with gzip.open(io.BytesIO(gzip.compress(idx(array)))) as unpacked:
        assert np.array_equal(read_idx(unpacked, len(shape)), array)


def test_idx_of_another_kind() -> None:
    assert "starts with 00 00 08 01" in refused(read_idx, idx(IMAGES[:, 0, 0]), dimensions=3)
    assert "starts with 00 00 0d 03" in refused(read_idx, idx(IMAGES, 13), dimensions=3)
    assert "00 00 08 03" in refused(read_idx, b"\x89PNG\r\n\x1a\n", dimensions=3)


def test_idx_of_a_wrong_length() -> None:
    whole = idx(IMAGES)
    for length in range(len(whole)):
        assert "truncated" in refused(read_idx, whole[:length], dimensions=3)
    assert "goes on after the 60 bytes" in refused(read_idx, whole + b"\0", dimensions=3)


def test_idx_is_refused_before_memory_is_asked_for() -> None:
    for shape in [(2**32 - 1, 28, 28), (2**32 - 1,) * 3]:
        header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)
        assert "4294967295 x" in refused(read_idx, header, dimensions=3)


class Endless(io.RawIOBase):
    """A stream that does not end, and counts what is read."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.served = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 2**20, "everything at once"
        self.served += size
        piece, self.start = self.start[:size], self.start[size:]
        return piece or bytes(size)


def test_idx_reads_no_more_than_it_claims() -> None:
    stream: Any = Endless(idx(IMAGES)[:16])
    with pytest.raises(ValueError, match="goes on"):
        read_idx(stream, 3)
    assert stream.served <= 16 + IMAGES.size + 1


# .npy


@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "f2", "<i8", "u8"])
def test_npy_round_trip(dtype: str) -> None:
    for array in (IMAGES.astype(dtype), np.asfortranarray(IMAGES.astype(dtype)), np.zeros(0, "u1")):
        for version in ((1, 0), (2, 0)):
            data = npy(array, version)
            found = read_npy(io.BytesIO(data), len(data))
            assert found.dtype == array.dtype
            assert np.array_equal(found, array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([{}, None]), "Python objects"),
        (np.array(["a"]), "<U1"),
        (np.array([1j]), "complex128"),
        (np.array([True]), "bool"),
        (np.zeros(2, "u1,f4"), "must be whole or floating numbers"),
    ],
)
def test_npy_of_no_numbers(array: NDArray[Any], words: str) -> None:
    data = npy(array)
    assert words in refused(read_npy, data, size=len(data))


def test_npy_of_a_wrong_length() -> None:
    data = npy(IMAGES)
    assert "claims 60 bytes of array, it has 59" in refused(read_npy, data[:-1], size=len(data) - 1)
    assert "it has 61" in refused(read_npy, data + b"\0", size=len(data) + 1)
    assert "truncated" in refused(read_npy, data[:-1], size=len(data))
    huge = data.replace(b"(5, 4, 3)", b"(10**12,)").replace(b"10**12", b"9" * 6)
    assert "claims 999,999 bytes" in refused(read_npy, huge, size=len(huge))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    assert "1000000000000 x 28 x 28" in refused(read_npy, start + header, size=10**15)


def test_damaged_npy_is_a_value_error() -> None:
    whole = npy(IMAGES)
    for place in range(128):
        for flip in (0x01, 0x20, 0xFF):
            data = whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
            try:
                read_npy(io.BytesIO(data), len(data))
            except ValueError as error:
                assert "\n" not in str(error)  # noqa: PT017


# CIFAR-10's batches


@pytest.mark.parametrize("write", ["python 2", 3, 4])
def test_cifar_round_trip(write: str | int) -> None:
    data = BATCH
    if isinstance(write, int):
        data = pickle.dumps({"data": ROWS, b"labels": [6, 0, 9]}, protocol=write)
    images, labels = read_cifar_batch(io.BytesIO(data))
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [6, 0, 9]
    assert np.array_equal(images, ROWS.reshape(3, 3, 32, 32))


def test_cifar_in_fortran_order() -> None:
    data = pickle.dumps({"data": np.asfortranarray(ROWS), "labels": [1, 2, 3]}, protocol=4)
    images, _ = read_cifar_batch(io.BytesIO(data))
    assert np.array_equal(images, ROWS.reshape(3, 3, 32, 32))


def test_truncated_cifar() -> None:
    for length in (*range(250), *range(250, len(BATCH), 97), len(BATCH) - 1):
        assert "not a whole pickle" in refused(read_cifar_batch, BATCH[:length])


def test_damaged_cifar_is_a_value_error() -> None:
    places = (*range(200), *range(len(BATCH) - 80, len(BATCH)))
    for place in places:
        for flip in (0x01, 0x20, 0xFF):
            data = BATCH[:place] + bytes([BATCH[place] ^ flip]) + BATCH[place + 1 :]
            try:
                read_cifar_batch(io.BytesIO(data))
            except ValueError as error:
                assert "\n" not in str(error)  # noqa: PT017


CALLED: list[object] = []


class Harmful:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return CALLED.append, (1,)


class Other:
    """An ordinary class."""


@pytest.mark.parametrize(
    "value",
    [Harmful(), Other(), Other, print, {1, 2}, 1.5, bytearray(8), 2**4000, np.float64(1), np.dtype],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_else_is_admitted(value: object, protocol: int) -> None:
    data = pickle.dumps({"data": value, "labels": []}, protocol=protocol)
    message = refused(read_cifar_batch, data)
    assert "not a whole pickle" in message or "'data' must be" in message
    assert len(message) < 200
    assert not CALLED


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(U\x04truetR.",
        b"cbuiltins\neval\n(U\x011tR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\n_reconstruct\n}(U\x01aK\x01ub.",  # sets an attribute
        b"cnumpy.core.multiarray\n_reconstruct\nN}(U\x01aK\x01u\x86b.",
        b"cnumpy\ndtype\nN}(U\x01aK\x01u\x86b.",
        b"Pid.",
        b"\x82\x01.",  # a registered extension
        b"(i__main__\nOther\n.",
    ],
)
def test_forged_pickles(code: bytes) -> None:
    assert "not a whole pickle" in refused(read_cifar_batch, code)
    assert read_cifar_batch(io.BytesIO(BATCH))[1].tolist() == [6, 0, 9], "something was left behind"


@pytest.mark.parametrize(
    "code",
    [
        b"N" + b"r" + struct.pack("<I", 2**32 - 1) + b".",  # a memo as long as its largest index
        b"B" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x8e" + struct.pack("<Q", 2**40) + b".",
        b"\x96" + struct.pack("<Q", 2**40) + b".",
    ],
)
def test_forged_lengths(code: bytes) -> None:
    refused(read_cifar_batch, b"\x80\x05" + code)


def test_forged_arrays() -> None:
    def batch(array: bytes) -> str:
        return refused(read_cifar_batch, python2_batch([1, 2, 3], array))

    assert "shape and data do not agree" in batch(python2_array(ROWS, raw=b"abc"))
    assert "dtype b'f8', must be uint8" in batch(python2_array(ROWS, code=b"f8"))
    assert "uint8 of (N, 3072)" in batch(python2_array(ROWS[:, :3071]))
    assert "uint8 of (N, 3072)" in batch(python2_array(ROWS[0]))
    assert "uint8 of (N, 3072)" in batch(text(b"abc"))


def test_forged_labels() -> None:
    assert "3 images and 2 labels" in refused(
        read_cifar_batch, python2_batch([1, 2], python2_array(ROWS))
    )
    for labels in ("cat", [1, 2, "cat"], [1, 2, True], [1, 2, 10], [1, 2, -1]):
        data = pickle.dumps({"data": ROWS, "labels": labels}, protocol=4)
        assert "'labels' must be a list of whole numbers" in refused(read_cifar_batch, data)
    assert "holds a list, must be a dict" in refused(read_cifar_batch, pickle.dumps([1]))


def test_too_big_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_formats, "BATCH_LIMIT", 1000)
    assert "more than 1,000 bytes" in refused(read_cifar_batch, BATCH)
