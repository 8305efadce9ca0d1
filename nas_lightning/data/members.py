"""Files in a folder, a .zip or a .tar.gz, read in place; what is wrong with one is a line.

Every line starts with `path=…` and tells the way out.
"""

from __future__ import annotations

import gzip
import lzma
import os
import struct
import tarfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from nas_lightning.data.archives import open_tar, open_zip
from nas_lightning.data.image_formats import Stream, read_npy
from nas_lightning.errors import Remedy, UserError, require

T = TypeVar("T")


class File(NamedTuple):
    """A file in a folder or archive: its path inside, and how to open it."""

    name: str
    open: Callable[[], IO[bytes]]


# What the archives' readers raise on damaged, encrypted and rare ones, and the formats' readers.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError),
)


def read_members(path: Path, readers: Mapping[str, Callable[[Stream], T]]) -> dict[str, T]:
    """Read files in a folder, .zip or .tar.gz, at the top or one folder deep.

    Args:
        path: The folder or archive.
        readers: How to read each wanted file, by its name without the folder; one that is not
            there is read from the .gz of the same name.

    Returns:
        What each reader made of its file.

    Raises:
        UserError: If a file is missing, double or damaged.
    """
    wanted = f"give a folder, .zip or .tar.gz with {', '.join(readers)}"
    with files_in(path, wanted, _one_deep) as files:
        chosen = {_choose(path, files, name): name for name in readers}
        # In the archive's order, because going back in a .tar.gz is to start over.
        return {
            chosen[file]: read(path, file, readers[chosen[file]])
            for file in files
            if file in chosen
        }


def read_npz(path: Path, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read those of the named arrays that a .npz holds.

    Args:
        path: The .npz.
        kinds: Name of an array -> the kinds of values it may hold, as `read_npy` has them.

    Raises:
        UserError: If it is damaged, or an array is or holds Python objects.
    """
    require_regular(path, "give a .npz as numpy.savez writes it")
    with _refusing(path, ".npz", "write it with numpy.savez"), open_zip(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        return {
            name: read(
                path,
                File(f"{name}.npy", partial(archive.open, f"{name}.npy")),
                partial(read_npy, size=sizes[f"{name}.npy"], kinds=allowed),
            )
            for name, allowed in kinds.items()
            if f"{name}.npy" in sizes
        }


@contextmanager
def files_in(
    path: Path, way_out: str, listed: Callable[[Path], Iterable[Path]]
) -> Iterator[list[File]]:
    """The files in a folder, sorted, or in a .zip or .tar.gz, in its order, while it is open.

    Args:
        path: The folder or archive.
        way_out: What to give instead of something else.
        listed: What of a folder counts; of an archive all that it holds does.

    Raises:
        UserError: If it cannot be read.
    """
    with _refusing(path, "archive", way_out):
        if path.is_dir():
            yield [
                File(file.relative_to(path).as_posix(), partial(_open, file))
                for file in sorted(listed(path))
                if file.is_file()
            ]
            return
        require_regular(path, way_out)
        if zipfile.is_zipfile(path):
            with open_zip(path) as archive:
                yield [
                    File(info.filename, partial(archive.open, info))
                    for info in archive.infolist()
                    if not info.is_dir()
                ]
            return
        with open_tar(path) as tar:
            yield [File(info.name, partial(_extract, tar, info)) for info in tar if info.isfile()]


def read(path: Path, file: File, reader: Callable[[Stream], T]) -> T:
    """What a reader makes of a file in `path`, unpacked if it is a .gz.

    Raises:
        UserError: If the reader raises what readers do.
    """
    try:
        with file.open() as stream:
            if not file.name.endswith(".gz"):
                return reader(stream)
            with gzip.open(stream) as unpacked:
                return reader(unpacked)
    except (OSError, *_DAMAGE) as error:  # gzip's own error is an OSError.
        raise refusal(path, f"{file.name} is unsound ({error}); replace it") from error


def require_regular(path: Path, way_out: str) -> None:
    """Raise UserError for what is no file; reading a pipe or a device could wait for ever."""
    try:
        regular, exists = path.is_file(), path.exists()
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror or error})") from error
    if not regular:
        problem = "not a regular file" if exists else "no such file or folder"
        raise refusal(path, f"{problem}; {way_out}")


def downloaded(name: str, url: str, hashes: Mapping[str, str], other_copy: str = "") -> Path:
    """Download files, unless they are in the user's cache, into its folder `name`, which it gives.

    Args:
        name: What they are.
        url: Of their folder, with a slash at its end.
        hashes: Name of a file -> its SHA-256.
        other_copy: What else a user may get, in words.

    Raises:
        UserError: If there is no network, or a file is another than expected.
    """
    import pooch  # Here, because it is slow to import.

    folder = Path(pooch.os_cache("nas-lightning")) / name
    try:
        for file, digest in hashes.items():
            pooch.retrieve(url + file, f"sha256:{digest}", fname=file, path=folder)
    except (OSError, ValueError) as error:  # No network or disk | another file than expected.
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder="…")
        other = f", or {other_copy}," if other_copy else ""
        raise UserError(
            f"path=null: {name} could not be downloaded ({reason}); get "
            f"{', '.join(hashes)} from {url} on another machine{other} and give their folder as "
            "path=FOLDER"
        ) from error
    return folder


def local(path: str | Path) -> Path:
    """The path that was given; raises ValueError if none was."""
    require(path not in (None, ""), "path", path, "a folder or a file")
    # A number is a name like others, though YAML reads it as no text. `~` as the shell has it.
    return Path(os.path.expanduser(str(path)))


def refusal(path: Path, reason: str, remedy: Remedy | None = None) -> UserError:
    """What to raise about a file."""
    # A file's name may hold a newline; the message is one line.
    return UserError(" ".join(f"path={path}: {reason}".splitlines()), remedy)


@contextmanager
def _refusing(path: Path, kind: str, way_out: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror or error})") from error
    except _DAMAGE as error:
        raise refusal(path, f"not a sound {kind} ({error}); {way_out}") from error


def _one_deep(folder: Path) -> Iterable[Path]:
    # `iterdir` raises where a folder may not be read, `glob` passes over such subfolders.
    return [*folder.iterdir(), *folder.glob("*/*")]


def _open(file: Path) -> IO[bytes]:
    return file.open("rb")


def _extract(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    assert stream is not None, "only regular files are listed"
    return stream


def _choose(path: Path, files: list[File], name: str) -> File:
    for wanted in (name, f"{name}.gz"):
        matches = [
            file
            for file in files
            if file.name.count("/") <= 1 and file.name.rpartition("/")[2] == wanted
        ]
        if len(matches) > 1:
            found = ", ".join(file.name for file in matches)
            raise refusal(path, f"several files are called {wanted} ({found}); leave one")
        if matches:
            return matches[0]
    raise refusal(path, f"there is no {name} (or {name}.gz) in it; add the file")
