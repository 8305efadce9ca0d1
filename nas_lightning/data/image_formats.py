"""How images lie in files: idx (MNIST's format), CIFAR-10's pickled batches, NumPy's .npy.

Strict readers of streams that nobody vouches for: what a header claims is checked before memory is
asked for, no more is read than it claims, and nothing from a pickle is ever executed. Each says
what is wrong with a ValueError; `image_sources.py` puts the file's name before it.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
from collections.abc import Callable
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Stream = IO[bytes] | gzip.GzipFile

ARRAY_LIMIT = 2 * 1024**3
"""The largest array read, in bytes: 2 GiB, forty times MNIST. Images stay in memory."""

BATCH_LIMIT = 64 * 1024**2
"""The largest pickled batch read, in bytes: 64 MiB, twice one of CIFAR-10's."""

_KINDS = {
    **{"u": "whole", "i": "whole", "f": "floating numbers"},
    **{"b": "truth values", "U": "text", "S": "text"},
}
_CHUNK = 1024**2
_IDX_BYTES = 0x08  # idx's code of unsigned bytes


def read_idx(stream: Stream, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes.

    Args:
        stream: The file, decompressed.
        dimensions: How many it must have: 3 for images `(N, H, W)`, 1 for labels `(N,)`.

    Raises:
        ValueError: If it is another kind of file, claims too much, or is longer or shorter than
            it claims.
    """
    magic = bytes([0, 0, _IDX_BYTES, dimensions])
    found = bytes(_exactly(stream, 4))
    if found != magic:
        raise ValueError(
            f"it starts with {found.hex(' ')}, an idx file of bytes in {dimensions} dimensions "
            f"with {magic.hex(' ')}"
        )
    shape = tuple(np.frombuffer(_exactly(stream, 4 * dimensions), ">u4").tolist())
    size = _size(shape, 1)
    data = _exactly(stream, size)
    if stream.read(1):
        raise ValueError(f"it goes on after the {size:,} bytes its header claims")
    return np.ndarray(shape, np.uint8, data)


def read_npy(stream: Stream, size: int, kinds: str = "uif") -> NDArray[Any]:
    """Read a .npy file.

    Args:
        stream: The file.
        size: Its size in bytes, as the archive it stands in declares it.
        kinds: NumPy's letters of the kinds of values that it may hold, of `_KINDS`.

    Raises:
        ValueError: If it is another kind of file, holds other values, claims too much, or is
            longer or shorter than it claims.
    """
    shape, fortran, dtype = _npy_header(stream)
    if dtype.kind not in kinds or not dtype.itemsize:
        what = "Python objects" if dtype.hasobject else str(dtype)
        allowed = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
        raise ValueError(f"it holds {what}, must be {allowed}, by .astype(…)")
    claimed = _size(shape, dtype.itemsize)
    there = size - stream.tell()
    if claimed != there:
        raise ValueError(f"its header claims {claimed:,} bytes of array, it has {there:,}")
    return np.ndarray(shape, dtype, _exactly(stream, claimed), order="F" if fortran else "C")


def _npy_header(stream: Stream) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and dtype.

    Raises:
        ValueError: If it cannot be read.
    """
    # Typed for files on disk, though all they do is to read.
    file: Any = stream
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # A forged header raises whatever Python's parsers do.
        reason = f"{type(error).__name__}: {error}"[:100]
        raise ValueError(f"its header is not that of a .npy, {reason}") from error
    raise ValueError(f"version {version} of .npy is not read, only (1, 0) and (2, 0)")


def read_cifar_batch(stream: Stream) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one batch of the "python version" of CIFAR-10.

    Returns:
        Images `(N, 3, 32, 32)` and labels `(N,)`.

    Raises:
        ValueError: If it is truncated, is another kind of file, or holds anything but containers,
            text, whole numbers and arrays of uint8.
    """
    raw = stream.read(BATCH_LIMIT + 1)
    if len(raw) > BATCH_LIMIT:
        raise ValueError(f"it has more than {BATCH_LIMIT:,} bytes, a batch of CIFAR-10 has half")
    try:
        batch = _Unpickler(io.BytesIO(raw)).load()
    except Exception as error:  # A forged pickle raises whatever it likes to.
        reason = f"{type(error).__name__}: {error}"[:100]
        raise ValueError(
            f"not a whole pickle of plain values and uint8 arrays, {reason}"
        ) from error
    if type(batch) is not dict:
        raise ValueError(f"it holds a {type(batch).__name__}, must be a dict")
    # Python 2 wrote the keys, so they are bytes.
    fields = {k.decode("latin-1") if type(k) is bytes else k: v for k, v in batch.items()}
    images, labels = fields.get("data"), fields.get("labels")
    if type(images) is not _Array or images.array.shape[1:] != (3072,):
        raise ValueError("its 'data' must be uint8 of (N, 3072)")
    if type(labels) is not list or any(
        type(label) is not int or not 0 <= label <= 9 for label in labels
    ):
        raise ValueError("its 'labels' must be a list of whole numbers from 0 to 9")
    if len(labels) != len(images.array):
        raise ValueError(f"it has {len(images.array):,} images and {len(labels):,} labels")
    return images.array.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


class _Array:
    """What stands for an array while a pickle is read; NumPy's own would trust the pickle."""

    __slots__ = ("array",)
    array: NDArray[np.uint8]

    def __init__(self) -> None:
        self.array = np.zeros((0,), np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        valid = (
            isinstance(dtype, _Uint8)
            and type(data) is bytes
            and type(shape) is tuple
            and all(type(length) is int and length >= 0 for length in shape)
            and math.prod(shape) == len(data)
        )
        if not valid:
            raise ValueError("an array whose shape and data do not agree")
        self.array = np.ndarray(shape, np.uint8, data, order="F" if fortran else "C")


class _Uint8:
    """What stands for the dtype; its state (byte order and the like) says nothing of a byte."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _NewArray:
    """What stands for the function that makes an empty array. No slots: nothing can be set."""

    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _NewDtype:
    """What stands for the type of dtypes."""

    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _Uint8:
        if code not in (b"u1", "u1", b"|u1", "|u1"):
            raise ValueError(f"an array of dtype {code!r}, must be uint8")
        return _Uint8()


_NAMES = {"_reconstruct": _NewArray(), "ndarray": None, "dtype": _NewDtype()}
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")

_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.NONE),
    *(pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET),
)


class _Unpickler(pickle._Unpickler):
    """A pickle machine that knows few instructions and no function but those above.

    Python's one and not C's, which allocates what a forged index or length claims.
    """

    dispatch: ClassVar[dict[int, Callable[[pickle.Unpickler], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES
    }

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        if module not in _MODULES or name not in _NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return _NAMES[name]


def _size(shape: tuple[int, ...], item: int) -> int:
    size = math.prod(shape) * item
    if size > ARRAY_LIMIT:
        raise ValueError(
            f"its header claims {' x '.join(map(str, shape))} values, {size:,} bytes; "
            f"at most {ARRAY_LIMIT:,} are read"
        )
    return size


def _exactly(stream: Stream, size: int) -> bytearray:
    """The next `size` bytes; read in pieces, so that memory grows with what there is."""
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(_CHUNK, size - len(data)))
        if not piece:
            raise ValueError(f"it is truncated: {size:,} bytes announced, {len(data):,} there")
        data += piece
    return data
