"""Ids on disk are the ids in memory; what is not what was written is refused; which windows a batch can hold."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from minigpt.errors import CheckpointError, OutputError
from minigpt.text import blocks, shards
from minigpt.text import tokenizer as tokenizer_module
from minigpt.text.corpus import Split, corpus_of
from minigpt.text.shards import (
    Shards,
    TokenData,
    keep_shards,
    made_before,
    made_from,
    open_shards,
    read_manifest,
    reuse_shards,
    tokenize,
)
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.step import random_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tiny_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, batches and shards of a few characters, so that a short text has many of each; nothing is held."""
    monkeypatch.setattr(blocks, "BLOCK", 50)
    monkeypatch.setattr(tokenizer_module, "_BATCH", 100)
    monkeypatch.setattr(shards, "_SHARD", 200)
    monkeypatch.setattr(shards, "_IN_MEMORY", 0)


@pytest.fixture
def split(corpus: str) -> Split:
    return Split(corpus_of("notes", [corpus, "another document", corpus]), None, 0.2)


# Tokenized


def test_both_parts_have_end_of_text_between_documents(tokenizer: Tokenizer) -> None:
    data = tokenize(tokenizer, Split(corpus_of("", ["one", "two"]), corpus_of("", ["three"])))
    assert data.train[:].tolist() == [*tokenizer.encode("one"), tokenizer.end_of_text, *tokenizer.encode("two")]
    assert data.validation[:].tolist() == tokenizer.encode("three")
    assert data.train_bytes == 6


def test_without_validation_there_are_no_ids_for_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    split = Split(corpus_of("", ["one two"]), None, 0.0)
    assert len(tokenize(tokenizer, split).validation) == 0
    assert len(tokenize(tokenizer, split, tmp_path / "ids").validation) == 0


@pytest.mark.usefixtures("tiny_limits")
def test_ids_on_disk_are_those_in_memory(tokenizer: Tokenizer, split: Split, tmp_path: Path) -> None:
    held, on_disk = tokenize(tokenizer, split), tokenize(tokenizer, split, tmp_path / "ids")
    assert isinstance(on_disk.train, Shards)
    assert len(list((tmp_path / "ids").glob("train-*.bin"))) > 2
    for ours, theirs in ((on_disk.train, held.train), (on_disk.validation, held.validation)):
        assert len(ours) == len(theirs) > 0
        assert ours[:].tolist() == theirs[:].tolist()
        assert ours.dtype == theirs.dtype
    assert (on_disk.train_bytes, on_disk.made_from) == (held.train_bytes, held.made_from)


@pytest.mark.usefixtures("tiny_limits")
def test_blocks_do_not_change_the_ids(tokenizer: Tokenizer, split: Split, corpus: str) -> None:
    train = tokenize(tokenizer, Split(split.corpus)).train
    end = [tokenizer.end_of_text]
    one, other = tokenizer.encode(corpus), tokenizer.encode("another document")
    assert train[:].tolist() == [*one, *end, *other, *end, *one]


def test_progress_is_told_of_all_characters(tokenizer: Tokenizer, split: Split) -> None:
    told: list[int] = []
    tokenize(tokenizer, split, progress=told.append)
    assert sum(told) == split.characters


def test_wide_ids_are_kept_whole(bpe: Tokenizer, tmp_path: Path) -> None:
    ids = np.array([70_000, 1, 2], dtype="<u4")
    kept = keep_shards(TokenData(ids, ids[:0]), tmp_path / "ids")
    assert open_shards(kept.folder or tmp_path).train[:].tolist() == [70_000, 1, 2]


# Read from disk


@pytest.fixture
def many(tmp_path: Path) -> Shards:
    """0 to 99 in three files."""
    for name, part in (("a", range(40)), ("b", range(40, 41)), ("c", range(41, 100))):
        np.array(part, "<u2").tofile(tmp_path / name)
    return Shards([tmp_path / name for name in "abc"], np.dtype("<u2"))


@pytest.mark.parametrize(
    "ends", [(0, 100), (0, 5), (38, 43), (40, 41), (41, 99), (90, 200), (-3, None), (7, 3), (0, 90, 20)]
)
def test_a_slice_may_cross_files(many: Shards, ends: tuple[int, ...]) -> None:
    assert many[slice(*ends)].tolist() == list(range(100))[slice(*ends)]


def test_a_window_may_cross_files(many: Shards) -> None:
    x, y = random_batch(many, 400, 8, generator())
    expected = random_batch(np.arange(100, dtype=np.uint16), 400, 8, generator())
    assert torch.equal(x, expected[0])
    assert torch.equal(y, expected[1])
    assert {39, 40, 41} <= set(x[:, 0].tolist())


# Kept, reused, refused


@pytest.fixture
def folder(bpe: Tokenizer, split: Split, tmp_path: Path) -> Path:
    tokenize(bpe, split, tmp_path / "ids")
    return tmp_path / "ids"


def test_the_manifest_says_what_the_ids_are(folder: Path, bpe: Tokenizer, split: Split) -> None:
    manifest = read_manifest(folder)
    assert manifest.made_from == made_from(bpe, split)
    assert manifest.made_from["text_sha256"] == split.corpus.sha256
    assert [source.name for source in manifest.sources] == ["notes"]
    (train,), (validation,) = manifest.shards.train, manifest.shards.validation
    assert train.bytes == 2 * train.tokens == (folder / train.file).stat().st_size
    assert train.tokens + validation.tokens == len(tokenize(bpe, split).train) + len(tokenize(bpe, split).validation)


def test_moved_or_written_they_are_the_same(folder: Path, bpe: Tokenizer, split: Split, tmp_path: Path) -> None:
    moved = keep_shards(open_shards(folder), tmp_path / "moved")
    written = keep_shards(tokenize(bpe, split), tmp_path / "written")
    assert not folder.exists()
    assert moved.folder == tmp_path / "moved"
    assert written.folder == tmp_path / "written"
    for name in sorted(os.listdir(tmp_path / "moved")):
        assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "written" / name).read_bytes()


def test_the_same_text_and_tokenizer_are_not_tokenized_again(folder: Path, bpe: Tokenizer, split: Split) -> None:
    target = folder.with_name("again")
    assert list(made_before([folder.with_name("none"), folder], made_from(bpe, split))) == [folder]
    assert reuse_shards(folder, target).folder == target
    assert open_shards(target).train[:].tolist() == open_shards(folder).train[:].tolist()
    assert os.path.samefile(target / "train-00000.bin", folder / "train-00000.bin")


@pytest.mark.parametrize("change", ["text", "fraction", "validation", "tokenizer"])
def test_what_differs_in_anything_is_tokenized_again(
    folder: Path, bpe: Tokenizer, char: Tokenizer, split: Split, corpus: str, change: str
) -> None:
    other = {
        "text": Split(corpus_of("notes", [corpus, "another document", corpus + "."]), None, 0.2),
        "fraction": Split(split.corpus, None, 0.1),
        "validation": Split(split.corpus, corpus_of("", ["held out"]), 0.2),
    }.get(change, split)
    wanted = made_from(char if change == "tokenizer" else bpe, other)
    assert list(made_before([folder], wanted)) == []


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("train-00000.bin", cut_short, r"train-00000.bin has [\d,]+ bytes, and should have [\d,]+: it is damaged"),
        ("train-00000.bin", flip, "train-00000.bin is damaged: its contents have changed since they were written"),
        ("train-00000.bin", Path.unlink, "train-00000.bin cannot be read: No such file"),
        ("manifest.json", cut_short, "manifest.json is not JSON"),
        ("manifest.json", Path.unlink, "manifest.json cannot be read"),
        ("manifest.json", lambda file: file.write_text('{"format": 1}'), "manifest.json is damaged"),
        ("manifest.json", lambda file: file.write_text('{"format": 2}'), "manifest.json is of another version"),
    ],
)
def test_damage_is_told_and_never_reused(folder: Path, name: str, damage: object, told: str) -> None:
    damage(folder / name)  # type: ignore[operator]
    for read in (open_shards, lambda damaged: reuse_shards(damaged, folder.with_name("again"))):
        with pytest.raises((CheckpointError, OutputError), match=told):
            read(folder)
    assert not folder.with_name("again").exists()


def test_a_full_disk_is_one_message_and_leaves_nothing(
    bpe: Tokenizer, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="ids cannot be written: No space left on device"):
        tokenize(bpe, split, tmp_path / "ids")
    with pytest.raises(OutputError, match="ids cannot be written: No space left on device"):
        keep_shards(tokenize(bpe, split), tmp_path / "ids")
    assert os.listdir(tmp_path) == []


# Batches


def test_targets_are_the_inputs_one_token_on() -> None:
    x, y = random_batch(np.arange(100, dtype=np.uint16), 32, 8, generator())
    assert x.shape == y.shape == (32, 8)
    assert x.dtype == y.dtype == torch.int64
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(8))


def test_the_same_generator_gives_the_same_batch() -> None:
    ids = np.arange(1000, dtype=np.uint16)
    first, same, other = (random_batch(ids, 4, 8, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_every_window_can_be_drawn_and_the_last_as_well() -> None:
    x, y = random_batch(np.arange(12, dtype=np.uint32), 500, 8, generator())
    assert set(x[:, 0].tolist()) == {0, 1, 2, 3}
    assert int(y.max()) == 11


def test_a_text_of_one_window_has_one_batch() -> None:
    x, y = random_batch(np.arange(9, dtype=np.uint16), 2, 8, generator())
    assert x.tolist() == [list(range(8))] * 2
    assert y.tolist() == [list(range(1, 9))] * 2


def test_large_ids_survive() -> None:
    x, _ = random_batch(np.full(20, 65_535, dtype=np.uint16), 1, 8, generator())
    assert x.unique().tolist() == [65_535]
