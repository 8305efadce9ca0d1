"""Text data: streams and windows, vocabularies, the three sources, and every bad input."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.data import text_files
from nas_lightning.data.base import Batch, in_words
from nas_lightning.data.sources import Splits, TextSource
from nas_lightning.data.text import TextData
from nas_lightning.data.text_sources import PennTreebank, PythonDocs, TextFiles
from nas_lightning.errors import UserError

SIZES: dict[str, Any] = {
    "batch_size": 3,
    "evaluation_batch_size": 2,
    "sequence_length": 4,
    "vocabulary_size": None,
    "level": "word",
}
TRAIN = " the cat sat \n the dog sat \n the end \n" * 5
VALIDATION = " the bird sat \n the dog ran away \n the end \n" * 2
TEST = " a zebra sat \n the dog lay \n the end \n"


class Given(TextSource):
    """A text given as it is."""

    def __init__(self, train: str) -> None:
        self.train = train

    def read(self) -> Splits:
        return Splits(self.train, VALIDATION, TEST)


def literal(train: str = TRAIN, **changes: Any) -> TextData:
    """Data of a text given as it is."""
    return loaded(Given(train), **changes)


def loaded(source: TextSource, **changes: Any) -> TextData:
    return TextData(source=source, **SIZES | changes)


def numbered(count: int) -> str:
    """A text of different words, so that each id occurs once."""
    return " ".join(f"w{number:04}" for number in range(count))


def write(folder: Path, **texts: str | bytes) -> Path:
    """Write `train="…"` as `train.txt`, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        data = text.encode() if isinstance(text, str) else text
        (folder / f"{name}.txt").write_bytes(data)
    return folder


def zipped(file: Path, **texts: str) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name.replace("__", "/") + ".txt", text)
    return file


def joined(batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    return (
        torch.cat([batch.inputs for batch in batches], 1),
        torch.cat([batch.targets for batch in batches], 1),
    )


def refused(path: Path, kind: type[TextFiles] | type[PennTreebank] = TextFiles) -> str:
    """The one-line message with which `path` is refused."""
    with pytest.raises(UserError) as caught:
        loaded(kind(path=path))
    message = str(caught.value)
    assert message.startswith(f"path={path}: ".replace("\n", " "))
    assert "\n" not in message
    return message


# Streams and windows


@pytest.mark.parametrize("count", [15, 16, 40, 41, 100])
def test_training_windows_cover_the_streams_once(count: int) -> None:
    data = literal(numbered(count))
    ids = data.vocabulary.encode(data.tokenize(numbered(count)))
    columns = count // 3
    streams = ids[: 3 * columns].view(3, columns)
    windows = (columns - 1) // 4
    inputs, targets = joined([data.train_batch(index) for index in range(windows)])
    assert torch.equal(inputs, streams[:, : windows * 4])
    assert torch.equal(targets, streams[:, 1 : windows * 4 + 1])


def test_training_wraps_around() -> None:
    data = literal(numbered(40))  # 13 columns: three windows
    batches = [data.train_batch(index) for index in range(7)]
    assert [batch.continues for batch in batches] == [False, True, True, False, True, True, False]
    for index in range(4):
        assert torch.equal(batches[index].inputs, batches[index + 3].inputs)
        assert torch.equal(batches[index].targets, batches[index + 3].targets)


@pytest.mark.parametrize("length", [1, 4, 5, 6, 100])
def test_evaluation_predicts_every_token_once(length: int) -> None:
    data = literal(numbered(500), sequence_length=length, batch_size=2)
    for batches, text in (
        (data.validation_batches(), VALIDATION),
        (data.test_batches(), TEST),
    ):
        ids = data.vocabulary.encode(data.tokenize(text))
        streams = ids[: len(ids) // 2 * 2].view(2, -1)
        inputs, targets = joined(batches)
        assert torch.equal(inputs, streams[:, :-1])
        assert torch.equal(targets, streams[:, 1:])
        assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
        assert all(batch.inputs.shape[1] == length for batch in batches[:-1])


def test_batches_are_contiguous_int64_and_cached() -> None:
    data = literal()
    assert data.validation_batches() is data.validation_batches()
    assert data.test_batches() is data.test_batches()
    for batch in (data.train_batch(1), *data.validation_batches(), *data.test_batches()):
        for tensor in (batch.inputs, batch.targets):
            assert tensor.dtype == torch.int64
            assert tensor.is_contiguous()


def test_no_random_numbers_are_drawn() -> None:
    before = torch.get_rng_state(), random.getstate()
    first, second = literal(), literal()
    assert torch.equal(first.train_batch(2).inputs, second.train_batch(2).inputs)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_the_test_split_is_encoded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = literal()
    asked = []
    encode = data.vocabulary.encode

    def watched(tokens: list[str]) -> Tensor:
        asked.append(tokens)
        return encode(tokens)

    monkeypatch.setattr(data.vocabulary, "encode", watched)
    data.train_batch(1)
    data.validation_batches()
    assert not asked
    data.test_batches()
    assert asked == [data.tokenize(TEST)]


# Tokens and vocabularies


def test_words_and_ends_of_lines() -> None:
    data = literal()
    assert data.tokenize(" a b \n\nc") == ["a", "b", "<eos>", "<eos>", "c"]
    assert data.tokens == {"train": 55, "validation": 24, "test": 11}


def test_vocabulary_is_the_training_split_by_frequency() -> None:
    data = literal()
    # the, <eos>: 15; sat: 10; cat, dog, end: 5; <unk> of other splits only.
    assert data.vocabulary.tokens == ("<eos>", "the", "sat", "cat", "dog", "end", "<unk>")
    assert data.sizes == {"vocabulary_size": 7}


def test_unknown_tokens() -> None:
    data = literal()
    first = data.test_batches()[0].inputs[0]
    assert [data.vocabulary.tokens[number] for number in first] == [
        "<unk>",
        "<unk>",
        "sat",
        "<eos>",
    ]


@pytest.mark.parametrize("limit", [3, 4, 5, 6, 7, 100])
def test_vocabulary_limit(limit: int) -> None:
    data = literal(vocabulary_size=limit)
    size = data.sizes["vocabulary_size"]
    assert size == min(limit, 7)
    assert {"<unk>", "<eos>", "the"} <= set(data.vocabulary.tokens)
    ids = data.vocabulary.encode(data.tokenize(TRAIN))
    counts = torch.bincount(ids, minlength=size).tolist()
    assert counts == sorted(counts, reverse=True), "ids are not by frequency"


def test_ties_are_broken_by_letters() -> None:
    lines = [f"{word} {word}\n" for word in ("pear", "apple", "fig", "date")] * 5
    forwards = literal("".join(lines), vocabulary_size=4).vocabulary.tokens
    backwards = literal("".join(reversed(lines)), vocabulary_size=4).vocabulary.tokens
    assert forwards == backwards == ("<eos>", "<unk>", "apple", "date")


def test_unk_in_the_text_is_the_unknown_token() -> None:
    data = literal("the <unk> sat\n" * 10, vocabulary_size=4)
    assert data.vocabulary.tokens.count("<unk>") == 1
    written, unseen = data.vocabulary.encode(["<unk>", "never"])
    assert written == unseen


def test_characters() -> None:
    data = literal("ab\ncde\n" * 10, level="character")
    assert data.tokens["train"] == 70
    assert set(data.vocabulary.tokens) == {*"abcde\n", "<unk>"}
    spelled = "".join(data.vocabulary.tokens[number] for number in data.train_batch(0).inputs[0])
    assert spelled == "ab\nc"


# Arguments


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in SIZES if name != "level" for value in (0, -1, 2.0, "3", True)),
        ("batch_size", None),
        ("vocabulary_size", 2),
        ("level", "sentence"),
        ("level", None),
    ],
)
def test_wrong_arguments(name: str, value: object) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^{name}=.* is not allowed: must be "):
        literal(**changes)


@pytest.mark.parametrize("path", [None, ""])
def test_wrong_path(path: Any) -> None:
    with pytest.raises(ValueError, match=r"^path=.* is not allowed"):
        TextFiles(path=path)


def test_misspelt_argument() -> None:
    with pytest.raises(TypeError, match="batchsize"):
        loaded(PythonDocs(), batchsize=3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"batch_size": 20},
            ["batch_size=20", "training", "55", "100", "sequence_length"],
        ),
        ({"sequence_length": 18}, ["batch_size=3", "55", "57"]),
        (
            {"evaluation_batch_size": 13},
            ["evaluation_batch_size=13", "validation", "24", "26"],
        ),
        ({"evaluation_batch_size": 6}, ["evaluation_batch_size=6", "test", "11", "12"]),
    ],
)
def test_too_short_a_text(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        literal(**changes)
    assert str(caught.value).startswith(words[0])
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_shortest_text_that_is_allowed() -> None:
    data = literal(sequence_length=17, evaluation_batch_size=5)  # 3 x 18 of 55; 5 x 2 of 11
    assert data.train_batch(0).inputs.shape == (3, 17)
    assert data.test_batches()[0].inputs.shape == (5, 1)


# Python's documentation


@pytest.fixture(scope="module")
def docs() -> TextData:
    changes = {"batch_size": 32, "evaluation_batch_size": 32, "vocabulary_size": 1000}
    return loaded(PythonDocs(), **changes)


def test_docs_are_divided_by_whole_topics() -> None:
    from pydoc_data.topics import topics

    splits = PythonDocs.assign(topics)
    assert sorted(name for split in splits for name in split) == sorted(topics)
    paragraphs = [{line for text in s.values() for line in text.splitlines()} for s in splits]
    assert not paragraphs[0] & paragraphs[1]
    assert not paragraphs[0] & paragraphs[2]
    assert not paragraphs[1] & paragraphs[2]
    assert PythonDocs.assign(dict(reversed(topics.items()))) == splits


def test_docs_are_near_80_10_10(docs: TextData) -> None:
    total = sum(docs.tokens.values())
    assert total > 50_000
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert docs.tokens[split] / total == pytest.approx(share, abs=0.03)
    assert docs.sizes == {"vocabulary_size": 1000}


def test_docs_words(docs: TextData) -> None:
    line = 'The "with" isn\'t __init__(x**2, 3.5).'
    assert docs.source.words(line) == [
        *('the', '"', "with", '"', "isn't", "__init__", "(", "x", "*", "*", "2"),
        *(",", "3", ".", "5", ")", "."),
    ]  # fmt: skip


def test_docs_are_predictable_from_training(docs: TextData) -> None:
    unknown = docs.vocabulary.tokens.index("<unk>")
    for batches in (docs.validation_batches(), docs.test_batches()):
        assert (joined(batches)[1] == unknown).float().mean() < 0.2


# Files


def test_folders_and_zips_read_alike(tmp_path: Path) -> None:
    texts = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
    prefixed = {f"ptb.{name}": text for name, text in texts.items()}
    sources = [
        write(tmp_path / "plain", **texts),
        write(tmp_path / "long", train=TRAIN, validation=VALIDATION, test=TEST),
        write(tmp_path / "prefixed", **prefixed),
        write(tmp_path / "outer" / "inner", **texts).parent,
        zipped(tmp_path / "plain.zip", **texts),
        zipped(tmp_path / "deep.zip", **{f"inner__{name}": text for name, text in texts.items()}),
        write(
            tmp_path / "marked", **{n: "\ufeff" + t.replace("\n", "\r\n") for n, t in texts.items()}
        ),
    ]
    for source in sources:
        assert TextFiles(path=str(source)).read() == (TRAIN, VALIDATION, TEST)


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "texts", train=TRAIN, valid=VALIDATION, test=TEST)
    assert loaded(TextFiles(path="~/texts")).tokens["train"] == 55


def test_other_files_do_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path, train=TRAIN, valid=VALIDATION, test=TEST, latest="x", constrain="x")
    write(folder, **{"._train": b"\xff"})
    write(folder / "a" / "b", train="too deep")
    (folder / "dir.train.txt").mkdir()
    assert loaded(TextFiles(path=folder)).tokens["train"] == 55


def test_no_such_path(tmp_path: Path) -> None:
    for name in ("nothing", "line\nbreak", "null\0byte"):
        assert "no such file or folder" in refused(tmp_path / name)
    assert "cannot be read (File name too long)" in refused(tmp_path / ("x" * 300))
    assert "give a folder or .zip with train.txt, valid.txt and test.txt" in refused(
        tmp_path / "no"
    )


def test_missing_split(tmp_path: Path) -> None:
    assert "no file for the train split" in refused(tmp_path)
    assert "no file for the validation split" in refused(write(tmp_path, train=TRAIN, test=TEST))
    archive = zipped(tmp_path / "a.zip", train=TRAIN, valid=VALIDATION)
    assert "no file for the test split" in refused(archive)


def test_ambiguous_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", train=TRAIN, valid=VALIDATION, validation=VALIDATION, test=TEST)
    assert "(valid.txt, validation.txt)" in refused(folder)
    nested = write(tmp_path / "b", train=TRAIN, valid=VALIDATION, test=TEST)
    write(nested / "inner", test=TEST)
    assert "(inner/test.txt, test.txt)" in refused(nested)


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    message = refused(write(tmp_path, train=TRAIN, valid=text, test=TEST))
    assert "valid.txt is empty" in message


def test_not_utf8(tmp_path: Path) -> None:
    folder = write(tmp_path, train=TRAIN, valid=VALIDATION, test="caf\u00e9".encode("latin-1"))
    assert "test.txt is not UTF-8 (byte 3)" in refused(folder)
    write(folder, test=TEST.encode("utf-16"))
    assert "test.txt is not UTF-8 (byte 0)" in refused(folder)


def test_neither_folder_nor_zip(tmp_path: Path) -> None:
    file = tmp_path / "train.zip"
    file.write_text(TRAIN)
    assert "not a sound .zip" in refused(file)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "neither a folder nor a regular file" in refused(pipe)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.txt")
    assert "no file for the train split" in refused(tmp_path)


def test_damaged_zips_never_end_in_a_traceback(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", train=TRAIN, valid=VALIDATION, test=TEST).read_bytes()
    damaged = tmp_path / "damaged.zip"
    for length in range(0, len(whole), 7):
        damaged.write_bytes(whole[:length])
        refused(damaged)
    messages = []
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                loaded(TextFiles(path=damaged))
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > len(whole)
    assert all(text.startswith("path=") for text in messages)
    assert not any("\n" in text for text in messages)


def test_too_big_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
    monkeypatch.setattr(text_files, "MEMBER_LIMIT", 100)
    for source in (write(tmp_path / "a", **texts), zipped(tmp_path / "a.zip", **texts)):
        assert f"train.txt has {len(TRAIN)} bytes, at most 100 are read" in refused(source)


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated, because root may read everything.
    def deny(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", deny)
    assert "cannot be read (Permission denied)" in refused(tmp_path)


# One text, names, line ends, what is said


LINES = [f"a{n % 7} b{n % 5} c{n % 3}\n" for n in range(200)]


def test_one_text_is_cut_by_its_lines(tmp_path: Path) -> None:
    expected = ("".join(LINES[:160]), "".join(LINES[160:180]), "".join(LINES[180:]))
    text = "".join(LINES)
    (tmp_path / "my.md").write_text(text)
    sources = [
        tmp_path / "my.md",
        write(tmp_path / "a", book=text),
        zipped(tmp_path / "a.zip", book=text),
    ]
    for source in sources:
        data = loaded(TextFiles(path=source))
        assert data.source.read() == expected
        assert data.description["split"] == (
            "first 80 % of the lines train, next 10 % validation, last 10 % test"
        )
    (folder := write(tmp_path / "b", book=text, other=text)).mkdir(exist_ok=True)
    assert "no file for the train split" in refused(folder)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("\n a  b\nc " * 40, "words"), ("ab" * 70, "characters"), ("a\n" * 100, "lines")],
)
def test_cuts_are_the_text(text: str, unit: str) -> None:
    splits, rule = text_files.cut(text)
    assert "".join(splits) == text
    assert unit in rule
    assert len(splits.train) == pytest.approx(0.8 * len(text), rel=0.02)
    assert len(splits.test) == pytest.approx(0.1 * len(text), rel=0.1)


@pytest.mark.parametrize(
    "names",
    [
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("wiki.train.raw", "wiki.valid.raw", "wiki.test.raw"),
        ("Train.txt", "dev.txt", "TEST.txt"),
        ("corpus.training", "corpus.val", "corpus.testing"),
    ],
)
def test_names_of_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    texts = dict(zip(names, (TRAIN, VALIDATION, TEST), strict=True))
    (tmp_path / "a/inner").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, text in texts.items():
            (tmp_path / "a/inner" / name).write_text(text)
            archive.writestr(f"inner/{name}", text)
    for source in (tmp_path / "a", tmp_path / "a.zip"):
        assert TextFiles(path=source).read() == (TRAIN, VALIDATION, TEST)


def test_line_ends_of_all_kinds(tmp_path: Path) -> None:
    for end in ("\r", "\r\n", "\n"):
        (tmp_path / "my.txt").write_bytes("".join(LINES).replace("\n", end).encode())
        assert "".join(TextFiles(path=tmp_path / "my.txt").read()) == "".join(LINES)


def test_zero_bytes_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_bytes("".join(LINES).encode("utf-16-le"))
    assert "my.txt is no text in UTF-8 (it holds zero bytes)" in refused(tmp_path / "my.txt")


@pytest.mark.parametrize(("text", "level"), [("a a\n" * 200, "word"), ("a" * 300, "character")])
def test_one_type_is_nothing_to_learn(text: str, level: str, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text(text)
    with pytest.raises(UserError) as caught:
        loaded(TextFiles(path=tmp_path / "my.txt"), level=level)
    start = f"path={tmp_path / 'my.txt'}: the training text has one {level} only, 'a'; "
    assert str(caught.value).startswith(start)


def test_what_is_said_of_a_text() -> None:
    data = literal(vocabulary_size=4)
    unknown = data.vocabulary.tokens.index("<unk>")
    assert data.description == {
        "level": "word",
        "tokens": {"train": 55, "validation": 24, "test": 11},
        "unknown": {
            "train": (data.vocabulary.encode(data.tokenize(TRAIN)) == unknown).double().mean(),
            "validation": pytest.approx(10 / 24),
            "test": pytest.approx(5 / 11),
        },
        "types": 5,
        "vocabulary": 4,
    }
    assert in_words(data.description).startswith(
        "level word; tokens 55 train, 24 validation, 11 test; unknown 27.27% train, "
    )


# Penn Treebank


def test_another_text_is_not_penn_treebank(tmp_path: Path) -> None:
    folder = write(tmp_path, train=TRAIN, valid=VALIDATION, test=TEST)
    message = refused(folder, PennTreebank)
    assert "55 / 24 / 11" in message
    assert "929,589 / 73,760 / 82,430" in message


def test_text_by_letters_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
    folder = write(tmp_path, **{f"ptb.{name}": text for name, text in texts.items()})
    write(folder, **{f"ptb.char.{name}": "a b" for name in texts})
    monkeypatch.setattr(PennTreebank, "WORDS", (55, 24, 11))
    assert PennTreebank(path=folder).read() == (TRAIN, VALIDATION, TEST)


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), ValueError("another hash " * 99)])
def test_download_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("pooch.retrieve", fail)
    with pytest.raises(UserError) as caught:
        PennTreebank(path=None).read()
    message = str(caught.value)
    assert message.startswith("path=null: ")
    assert "\n" not in message
    assert len(message) < 600
    assert "path=FOLDER" in message
    assert PennTreebank.URL in message


def test_download_is_checked_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"ptb.train.txt": TRAIN, "ptb.valid.txt": VALIDATION, "ptb.test.txt": TEST}

    def retrieve(url: str, known_hash: str, *, fname: str, path: Path) -> str:
        assert url == PennTreebank.URL + fname
        assert known_hash == "sha256:" + PennTreebank.SHA256[fname]
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_text(texts[fname])
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(PennTreebank, "WORDS", (55, 24, 11))
    assert loaded(PennTreebank(path=None)).tokens["validation"] == 24


def test_the_real_penn_treebank() -> None:
    beside = Path(__file__).parents[2].parent / "shared/data/ptb.zip"
    path = Path(os.environ.get("NAS_LIGHTNING_PTB", beside))
    if not path.exists():
        pytest.skip("Penn Treebank is not here; set NAS_LIGHTNING_PTB to a folder or .zip")
    data = loaded(PennTreebank(path=path))
    assert tuple(data.tokens.values()) == PennTreebank.WORDS
    assert data.sizes == {"vocabulary_size": 10_000}
    unknown = data.vocabulary.tokens.index("<unk>")
    ids = joined(data.validation_batches())[1]
    assert 0.03 < (ids == unknown).float().mean() < 0.06
    assert sum(batch.targets.numel() for batch in data.test_batches()) == 82_430 - 2


# Configuration


@pytest.mark.parametrize("name", ["python_docs", "text", "ptb"])
def test_configuration_names_every_argument(name: str, tmp_path: Path) -> None:
    from omegaconf import DictConfig, OmegaConf

    from nas_lightning.assembly.make import make

    config = OmegaConf.create((Path(__file__).parents[2] / f"conf/data/{name}.yaml").read_text())
    assert isinstance(config, DictConfig)
    assert OmegaConf.missing_keys(config) == ({"source.path"} if name == "text" else set())
    if name == "text":
        texts = {"train": TRAIN * 22, "valid": VALIDATION * 3, "test": TEST * 6}
        config.source.path = str(write(tmp_path, **texts))
    if name == "ptb":  # Its text is not here.
        config.source.path = str(write(tmp_path, train=TRAIN, valid=TRAIN, test=TEST))
        with pytest.raises(UserError, match="not Mikolov's"):
            make(OmegaConf.create({"data": config}), "data")
    else:
        data = make(OmegaConf.create({"data": config}), "data")
        assert data.train_batch(0).inputs.shape == (32, 35)


def test_successive_windows_continue() -> None:
    data = literal(numbered(100))
    for left, right in pairwise(data.train_batch(index) for index in range(8)):
        assert torch.equal(left.targets[:, -1], right.inputs[:, 0])
