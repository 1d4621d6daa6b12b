"""Which characters train, which validate; which windows a batch can hold."""

import numpy as np
import pytest
import torch

from minigpt.errors import ConfigError, CorpusError
from minigpt.text.shards import encode_split, fitting_context, random_batch, split_documents
from minigpt.text.tokenizer import Tokenizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("documents", "train", "validation"),
    [
        (["0123456789"], ["012345678"], ["9"]),
        (["0" * 50, "1" * 50], ["0" * 50, "1" * 40], ["1" * 10]),
        (["0" * 90, "1" * 10], ["0" * 90], ["1" * 10]),
        (["0" * 95, "1" * 5], ["0" * 90], ["0" * 5, "1" * 5]),
        (["0" * 80, "1" * 12, "2" * 8], ["0" * 80, "1" * 10], ["1" * 2, "2" * 8]),
        (["ü😀" * 50], ["ü😀" * 45], ["ü😀" * 5]),
        (["a"], [], ["a"]),
        ([], [], []),
    ],
)
def test_the_last_tenth_of_all_characters_is_for_validation(
    documents: list[str], train: list[str], validation: list[str]
) -> None:
    assert split_documents(documents, 0.1) == (train, validation)


@pytest.mark.parametrize("length", range(10, 400, 10))
def test_the_split_is_exact_at_every_length(length: int) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(length))
    documents = [text[: length // 3], text[length // 3 : length // 3 + 1], text[length // 3 + 1 :]]
    train, validation = split_documents(documents, 0.1)
    assert "".join(train) + "".join(validation) == text
    assert len("".join(validation)) == length // 10


def test_without_validation_everything_trains() -> None:
    assert split_documents(["abc", "def"], 0.0) == (["abc", "def"], [])


@pytest.mark.parametrize("fraction", [1.0, 1.5, -0.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="--val-fraction"):
        split_documents(["text"], fraction)


def test_both_parts_have_end_of_text_between_documents(tokenizer: Tokenizer) -> None:
    data = encode_split(tokenizer, ["one", "two"], ["three"])
    assert data.train.tolist() == [*tokenizer.encode("one"), tokenizer.end_of_text, *tokenizer.encode("two")]
    assert data.validation.tolist() == tokenizer.encode("three")


@pytest.mark.parametrize(
    ("tokens", "context", "fitting"),
    [
        (1000, 128, 128), (129, 128, 128), (128, 128, 64), (127, 128, 32), (64, 128, 32), (63, 128, 16), (33, 100, 16),
        (31, 32, 8), (16, 128, 8), (16, 16, 8), (17, 16, 16), (10, 4, 4), (100, 100, 32),
    ],
)  # fmt: skip
def test_fitting_context(tokens: int, context: int, fitting: int) -> None:
    assert fitting_context(tokens, context) == fitting


@pytest.mark.parametrize("tokens", range(16, 300))
def test_a_context_made_smaller_leaves_two_windows(tokens: int) -> None:
    context = fitting_context(tokens, 1024)
    assert 2 * context <= tokens < 4 * context


@pytest.mark.parametrize("tokens", [0, 1, 15])
def test_a_text_too_short_for_any_context_is_refused(tokens: int) -> None:
    with pytest.raises(CorpusError, match=f"too short to learn from: {tokens} training tokens, and at least 16"):
        fitting_context(tokens, 128)


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
