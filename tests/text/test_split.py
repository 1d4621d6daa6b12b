"""Which characters train, which validate, and what a tokenizer learns from."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from minigpt.errors import ConfigError
from minigpt.text import blocks as blocks_module
from minigpt.text.blocks import Block
from minigpt.text.corpus import Corpus, Split, corpus_of


def texts(blocks: Iterable[Block]) -> list[str]:
    """Whole documents."""
    documents: list[str] = []
    for block in blocks:
        if block.begins or not documents:
            documents.append("")
        documents[-1] += block.text
    return documents


def split(documents: list[str], fraction: float) -> tuple[list[str], list[str]]:
    halves = Split(corpus_of("", documents), None, fraction)
    return texts(halves.train()), texts(halves.validation())


@pytest.fixture(params=[1 << 18, 4], ids=["whole", "in blocks"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "BLOCK", request.param)


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("documents", "train", "validation"),
    [
        (["0123456789"], ["012345678"], ["9"]),
        (["0" * 50, "1" * 50], ["0" * 50, "1" * 40], ["1" * 10]),
        (["0" * 90, "1" * 10], ["0" * 90], ["1" * 10]),
        (["0" * 95, "1" * 5], ["0" * 90], ["0" * 5, "1" * 5]),
        (["0" * 80, "1" * 12, "2" * 8], ["0" * 80, "1" * 10], ["1" * 2, "2" * 8]),
        (["ü😀" * 50], ["ü😀" * 45], ["ü😀" * 5]),
        (["ab"], ["a"], ["b"]),
    ],
)
def test_the_last_tenth_of_all_characters_is_for_validation(
    documents: list[str], train: list[str], validation: list[str]
) -> None:
    assert split(documents, 0.1) == (train, validation)


@pytest.mark.parametrize("length", range(10, 400, 10))
def test_the_split_is_exact_at_every_length(length: int) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(length))
    documents = [text[: length // 3], text[length // 3 : length // 3 + 1], text[length // 3 + 1 :]]
    train, validation = split(documents, 0.1)
    assert "".join(train) + "".join(validation) == text
    assert len("".join(validation)) == length // 10


def test_without_validation_everything_trains() -> None:
    assert split(["abc", "def"], 0.0) == (["abc", "def"], [])


def test_with_a_text_held_out_everything_trains() -> None:
    halves = Split(corpus_of("", ["abc", "def"]), corpus_of("", ["gh"]), 0.1)
    assert (texts(halves.train()), texts(halves.validation())) == (["abc", "def"], ["gh"])
    assert (halves.train_characters, halves.characters) == (6, 8)


@pytest.mark.parametrize("fraction", [1.0, 1.5, -0.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="val_fraction="):
        split(["text"], fraction)


def test_bytes_are_those_of_the_training_text() -> None:
    assert Split(corpus_of("", ["ü" * 90 + "a" * 10]), None, 0.1).train_bytes == 180
    assert Split(corpus_of("", ["ü" * 90 + "a" * 10]), None, 0.0).train_bytes == 190


# The sample


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A thousand documents, each its number a hundred times."""
    monkeypatch.setattr("minigpt.text.corpus._SAMPLED", 100)
    return corpus_of("", [f"{number:04} " * 100 for number in range(1000)])


def test_a_sample_of_a_short_text_is_all_of_it(numbered: Corpus) -> None:
    halves = Split(numbered, None, 0.1)
    assert list(halves.sample(450_000)) == list(halves.train())


def test_a_sample_is_bounded_and_spread_over_the_training_text(numbered: Corpus) -> None:
    sampled = list(Split(numbered, None, 0.1).sample(45_000))
    assert 40_000 < sum(len(block.text) for block in sampled) < 50_000
    numbers = [int(block.text.split()[0]) for block in sampled]
    for tenth in range(9):
        assert 30 < sum(number // 100 == tenth for number in numbers) < 65
    assert max(numbers) < 900  # none of what validates
    assert 0.4 < sum(number % 2 for number in numbers) / len(numbers) < 0.6  # no rhythm


def test_a_sample_is_the_same_again(numbered: Corpus) -> None:
    halves = Split(numbered, None, 0.1)
    assert list(halves.sample(5_000)) == list(halves.sample(5_000))


# A part of the text


@pytest.fixture
def pieces_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt.text.corpus._SAMPLED", 10)


@pytest.mark.usefixtures("pieces_of_ten")
@pytest.mark.parametrize("part", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("held_out", [False, True])
def test_a_part_is_pieces_from_all_over_both_texts(part: float, held_out: bool) -> None:
    words = [f" word{n:05}" for n in range(2000)]
    corpus = corpus_of("", ["".join(words)])
    used = Split(corpus, corpus if held_out else None, 0.1, part)
    ends = (2000, 2000) if held_out else (1800, 200)
    for blocks, count in zip((used.train(), used.validation()), ends, strict=True):
        found = "".join(block.text for block in blocks).split()
        assert len(found) == pytest.approx(part * count, rel=0.15)
        assert found == sorted(found)
        gaps = [int(b[4:]) - int(a[4:]) for a, b in pairwise(found)]
        assert max(gaps) <= 4 / part
    assert used.train_characters == sum(len(block.text) for block in used.train())
    assert used.characters == pytest.approx(part * (2 if held_out else 1) * corpus.characters, abs=1)


@pytest.mark.usefixtures("pieces_of_ten")
def test_a_part_counts_its_own_bytes_and_is_what_a_tokenizer_learns_from() -> None:
    used = Split(corpus_of("", [" größer" * 500]), None, 0.1, 0.2)
    text = "".join(block.text for block in used.train())
    assert used.train_bytes == len(text.encode())
    assert "".join(block.text for block in used.sample(used.sampled_characters)) == text


def test_of_a_short_text_any_part_is_a_piece() -> None:
    used = Split(corpus_of("", ["a short text, and no more"]), None, 0.1, 0.001)
    assert texts(used.train()) == ["a short text, and no m"]
    assert texts(used.validation()) == ["ore"]


def test_the_whole_is_as_it_is_without_a_part() -> None:
    corpus = corpus_of("", ["one two", "three four"])
    assert list(Split(corpus, None, 0.1, 1.0).train()) == list(Split(corpus, None, 0.1).train())


@pytest.mark.parametrize("part", [0.0, -0.5, 1.01, float("nan")])
def test_a_part_that_is_none_is_refused(part: float) -> None:
    with pytest.raises(ConfigError, match="part= must be above 0 and at most 1"):
        Split(corpus_of("", ["text"]), None, 0.1, part)
