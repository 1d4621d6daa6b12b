"""BPE-dropout of ids: the same text in smaller tokens, with each merge undone as often as asked."""

import numpy as np
import pytest

from minigpt.text.learning import train_tokenizer
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.step import merge_parents, with_merges_undone

TEXT = "the cat sat on the mat, and the other cats sat there, café and all. " * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer("bpe", [TEXT], 320)


def windows(tokenizer: Tokenizer, rows: int = 6, length: int = 40) -> np.ndarray:
    ids = tokenizer.encode_documents([TEXT]).astype(np.int64)
    return ids[: rows * length].reshape(rows, length)


def test_the_parents_of_a_token_are_its_text_and_bytes_have_none(tokenizer: Tokenizer) -> None:
    parents = merge_parents(tokenizer)
    assert parents.shape == (tokenizer.vocab_size, 2)
    for token, pair in enumerate(parents.tolist()):
        if pair != [-1, -1]:
            assert tokenizer.decode_bytes(pair) == tokenizer.token_bytes(token)
    is_merged = parents[:, 0] >= 0
    assert is_merged.sum() == len(tokenizer.merges())
    lengths = np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)])
    assert (lengths[~is_merged & (np.arange(len(lengths)) != tokenizer.end_of_text)] == 1).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_each_row_remains_the_beginning_of_its_text(tokenizer: Tokenizer, share: float) -> None:
    ids = windows(tokenizer)
    undone = with_merges_undone(ids, merge_parents(tokenizer), share, np.random.default_rng(1).random)
    assert undone.shape == ids.shape
    for row, whole in zip(undone.tolist(), ids.tolist(), strict=True):
        text, before = tokenizer.decode_bytes(row), tokenizer.decode_bytes(whole)
        assert before.startswith(text)
        assert len(text) < len(before)
    if share == 1:
        assert (merge_parents(tokenizer)[undone, 0] == -1).all()  # nothing but bytes


def test_a_share_of_nothing_changes_nothing(tokenizer: Tokenizer) -> None:
    ids = windows(tokenizer)
    assert (with_merges_undone(ids, merge_parents(tokenizer), 0.0, np.random.default_rng(1).random) == ids).all()


def test_a_tokens_parents_may_be_undone_too_and_nothing_else_is(tokenizer: Tokenizer) -> None:
    """With one token per row and room enough, the number of tokens follows from independent draws."""
    parents = merge_parents(tokenizer)
    of_two = np.flatnonzero((parents[:, 0] >= 0) & (parents[parents[:, 0], 0] < 0) & (parents[parents[:, 1], 0] < 0))
    token = int(of_two[0])
    deeper = int(np.flatnonzero((parents == token).any(1) & ((parents[parents, 0] < 0).sum(1) == 1))[0])
    rows = np.full((20_000, 3), 0, np.int64)
    rows[:, 0] = deeper
    undone = with_merges_undone(rows, parents, 0.3, np.random.default_rng(2).random)
    whole, once = (undone[:, 0] == deeper).mean(), (undone == token).any(1).mean()
    assert whole == pytest.approx(0.7, abs=0.02)
    assert once == pytest.approx(0.3 * 0.7, abs=0.02)


def test_a_tokenizer_without_merges_has_no_parents() -> None:
    parents = merge_parents(train_tokenizer("char", ["abc"]))
    assert (parents == -1).all()
