"""How hard a text is, by simple models: exact on small texts, and independent of what is not the text's."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from minigpt.text.corpus import Split, corpus_of
from minigpt.training import difficulty
from minigpt.training.difficulty import simple_bits_per_byte


def bits(train: str, validation: str) -> float | None:
    return simple_bits_per_byte(Split(corpus_of("train", [train]), corpus_of("validation", [validation])), copies=True)


def test_pairs_of_tokens_are_the_model_of_witten_and_bell() -> None:
    generator = np.random.default_rng(1)
    train, ids = (generator.integers(0, 40, size) ** 2 // 40 for size in (900, 300))
    ids[100] = 45  # which `train` lacks
    single, pairs = Counter(train.tolist()), Counter(pairwise(train.tolist()))
    after = {first: [pair for pair in pairs if pair[0] == first] for first in single}
    expected = []
    for first, second in pairwise(ids.tolist()):
        kinds, tokens = len(after.get(first, [])), sum(pairs[pair] for pair in after.get(first, []))
        fallback = (single[second] + 1) / (len(train) + 50)
        expected.append((pairs[first, second] + kinds * fallback) / (tokens + kinds) if kinds else fallback)
    assert any(pair not in pairs for pair in pairwise(ids.tolist()))
    assert any(first not in after for first in ids.tolist())
    assert difficulty._bigram(train, ids, 50) == pytest.approx(expected)


def test_what_followed_the_longest_match_is_copied_as_surely_as_before() -> None:
    ids = np.array([2, 1, 7, 3, 1, 8, 2, 1, 7])
    mixed = difficulty._with_copies(ids, np.full(8, 0.1))
    assert mixed[:4] == pytest.approx(0.1)  # nothing to copy
    assert mixed[4] == pytest.approx(0.1 / 2)  # after 1 came 7, not 8; a first guess has half of the weight
    assert mixed[5] == pytest.approx(0.1)
    assert mixed[6] == pytest.approx(
        1 / 3 + 0.1 * 2 / 3
    )  # after 2 came 1, and a guess after one token was wrong so far
    assert mixed[7] == pytest.approx(1 / 2 + 0.1 / 2)  # after 2 1 came 7: the first guess after two tokens
    far = np.concatenate([[1, 2], np.arange(10, 10 + difficulty._WINDOW), [1, 2]])
    assert difficulty._with_copies(far, np.full(len(far) - 1, 0.1)) == pytest.approx(0.1)


def test_a_text_that_repeats_itself_is_easier_than_a_random_one() -> None:
    random = "".join(chr(97 + i) for i in np.random.default_rng(0).integers(0, 26, 20_000))
    easy, hard = (
        bits("all work and no play " * 900, "all work and no play " * 90),
        bits(random[:18_000], random[18_000:]),
    )
    assert easy is not None
    assert hard is not None
    assert easy < 0.1
    assert math.log2(26) < hard < math.log2(26) + 1


def test_without_a_validation_text_the_second_half_is_predicted() -> None:
    text = "the cat sat on the mat. the dog sat on the log. " * 40
    middle = len(text) // 2
    halves = Split(corpus_of("first", [text[:middle]]), corpus_of("second", [text[middle:]]))
    whole = Split(corpus_of("whole", [text]))
    assert simple_bits_per_byte(whole, copies=True) == simple_bits_per_byte(halves, copies=True)


def test_too_short_a_text_has_none() -> None:
    assert bits("abab", "ab") is None  # which is one token
