"""Ids that are kept for the next time: made once, found again, made anew where they are damaged, and not for ever."""

from pathlib import Path

import numpy as np
import pytest

from minigpt.errors import OutputError
from minigpt.text import shards
from minigpt.text.corpus import Split, corpus_of
from minigpt.text.shards import Shards, TokenData, cache_folder, cached_tokens
from minigpt.text.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every text counts as a large one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shards, "_SMALL", 10)
    return tmp_path / "cache" / "minigpt" / "tokens"


def split(text: str, fraction: float = 0.0) -> Split:
    return Split(corpus_of("notes", [text, "a second document"]), fraction=fraction)


def heard(tokenizer: Tokenizer, what: Split) -> tuple[TokenData, int]:
    """The ids, and how many characters were tokenized for them."""
    told: list[int] = []
    return cached_tokens(tokenizer, what, told.append), sum(told)


def test_a_text_is_tokenized_once(bpe: Tokenizer, small: Path) -> None:
    first, work = heard(bpe, split("The quick brown fox"))
    again, less = heard(bpe, split("The quick brown fox"))
    expected = bpe.encode_documents(["The quick brown fox", "a second document"])
    assert (work, less) == (36, 0)
    assert np.array_equal(first.train[:], expected)
    assert np.array_equal(again.train[:], expected)
    assert first.train_bytes == again.train_bytes == 36
    assert [path.name[0] != "." for path in small.iterdir()] == [True]


def test_another_text_tokenizer_or_split_is_another(bpe: Tokenizer, char: Tokenizer) -> None:
    for tokenizer, what in (
        (bpe, split("The quick brown fox")),
        (bpe, split("The quick brown fix")),
        (char, split("The quick brown fox")),
        (bpe, split("The quick brown fox", 0.5)),
    ):
        assert heard(tokenizer, what)[1] == 36


def test_a_small_text_is_not_kept(bpe: Tokenizer, small: Path) -> None:
    data = cached_tokens(bpe, Split(corpus_of("notes", ["The dog"])))
    assert data.train[:].tolist() == bpe.encode("The dog")
    assert not small.exists()


@pytest.mark.parametrize("damage", ["ids", "manifest", "length"])
def test_what_is_damaged_is_made_anew(bpe: Tokenizer, small: Path, damage: str) -> None:
    expected = heard(bpe, split("The quick brown fox"))[0].train[:].tolist()
    (folder,) = small.iterdir()
    file = folder / ("manifest.json" if damage == "manifest" else "train-00000.bin")
    data = file.read_bytes()
    file.write_bytes(data[:-2] if damage == "length" else bytes(len(data)))
    again, work = heard(bpe, split("The quick brown fox"))
    assert work == 36
    assert again.train[:].tolist() == expected
    assert heard(bpe, split("The quick brown fox"))[1] == 0


def test_the_last_few_are_kept(bpe: Tokenizer, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_CACHED", 2)
    for text in ("The first text", "The second text", "The third text"):
        heard(bpe, split(text))
    assert len(list(small.iterdir())) == 2
    assert heard(bpe, split("The third text"))[1] == 0
    assert heard(bpe, split("The first text"))[1] > 0


def test_many_ids_are_mapped(bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_IN_MEMORY", 1)
    assert isinstance(heard(bpe, split("The quick brown fox"))[0].train, Shards)


def test_a_place_that_cannot_be_written_says_what_to_do(
    bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot be written: Not a directory.\nTo cache .* set XDG_CACHE_HOME"):
        cached_tokens(bpe, split("The quick brown fox"))


def test_an_interruption_leaves_nothing_behind(bpe: Tokenizer, small: Path) -> None:
    def stop(amount: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_tokens(bpe, split("The quick brown fox"), stop)
    assert list(small.iterdir()) == []


def test_the_place_is_in_the_home_folder_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "minigpt" / "tokens"
