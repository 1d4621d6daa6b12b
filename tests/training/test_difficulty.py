"""How hard a text is, by a bigram model: exact on small texts, and independent of what is not the text's."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from minigpt.text.corpus import Split, corpus_of
from minigpt.text.learning import train_tokenizer
from minigpt.training.difficulty import bigram_bits_per_byte


def bits(train: str, validation: str) -> float | None:
    return bigram_bits_per_byte(Split(corpus_of("train", [train]), corpus_of("validation", [validation])))


def test_it_is_the_model_of_witten_and_bell() -> None:
    words = [f"w{i}é " for i in range(40)]
    draws = np.random.default_rng(1).integers(0, 40, 3000) ** 2 // 40
    train, held_out = ("".join(words[i] for i in part) for part in (draws[:2500], draws[2500:]))
    tokenizer = train_tokenizer("bpe", [train], 1024)
    learned, ids = tokenizer.encode_documents([train]), tokenizer.encode_documents([held_out + "!?"])
    single, pairs = Counter(learned), Counter(pairwise(learned))
    after = {first: [pair for pair in pairs if pair[0] == first] for first in single}
    total = 0.0
    for first, second in pairwise(ids):
        kinds, tokens = len(after.get(first, [])), sum(pairs[pair] for pair in after.get(first, []))
        fallback = (single[second] + 1) / (len(learned) + tokenizer.vocab_size)
        prob = (pairs[first, second] + kinds * fallback) / (tokens + kinds) if kinds else fallback
        total -= math.log2(prob)
    assert any(pair not in pairs for pair in pairwise(ids))
    assert any(first not in after for first in ids)
    assert bits(train, held_out + "!?") == pytest.approx(total / len(tokenizer.decode(ids[1:]).encode()))


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
    assert bigram_bits_per_byte(Split(corpus_of("whole", [text]))) == bigram_bits_per_byte(halves)


def test_too_short_a_text_has_none() -> None:
    assert bits("abab", "ab") is None  # which is one token
