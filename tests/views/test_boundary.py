"""How a prompt's end is cut: against numbers by hand and against full passes over every token of the vocabulary."""

import math
from collections.abc import Callable
from itertools import accumulate
from operator import mul

import pytest
import torch

from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.sampling.records import Other
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.tokenization import Boundary, boundary


def longer(tokenizer: Tokenizer, data: bytes) -> list[int]:
    return [
        token
        for token in range(tokenizer.vocab_size)
        if token != tokenizer.end_of_text
        and tokenizer.token_bytes(token).startswith(data)
        and tokenizer.token_bytes(token) != data
    ]


def sums(end: Boundary) -> float:
    return math.fsum(
        [end.raw_prob, *(token.raw_prob for token in end.longer), end.other_longer.raw_prob, end.others.raw_prob]
    )


def test_a_uniform_model_by_hand(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    """Of 320 equal tokens, a space begins as many as there are words with one: the share is 1 in 1 + that."""
    count = len(longer(bpe, b" "))
    assert count > 5
    end = boundary(constant_model([0.0] * bpe.vocab_size), bpe, bpe.encode("The "), top=3)
    assert end is not None
    assert (end.text, end.bytes, len(end.tokens)) == (" ", "20", 1)
    assert end.position == len(bpe.encode("The ")) - 1
    assert end.share == pytest.approx(1 / (1 + count))
    assert end.raw_prob == pytest.approx(1 / 320)
    assert [token.id for token in end.longer] == longer(bpe, b" ")[:3]
    assert end.other_longer == Other(
        count=count - 3, raw_prob=pytest.approx((count - 3) / 320), prob=pytest.approx((count - 3) / 320)
    )
    assert (end.others.count, end.others.raw_prob) == (319 - count, pytest.approx((319 - count) / 320))


def test_probabilities_by_hand(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    """The space has 1 part, ` d` has 2, ` f` has 5, all others next to nothing."""
    logits = [-50.0] * bpe.vocab_size
    for text, parts in ((" ", 1), (" d", 2), (" f", 5)):
        (token,) = bpe.encode(text)
        logits[token] = math.log(parts)
    end = boundary(constant_model(logits), bpe, bpe.encode("The "), top=2)
    assert end is not None
    assert [(token.text, token.raw_prob) for token in end.longer] == [
        (" f", pytest.approx(5 / 8)),
        (" d", pytest.approx(2 / 8)),
    ]
    assert end.tokens[0].nats == pytest.approx(math.log(8))
    assert (end.raw_prob, end.share) == (pytest.approx(1 / 8), pytest.approx(1 / 8))


def test_a_word_that_stops_short_is_seen_from_where_its_token_would_begin(
    constant_model: Callable[..., GPT], bpe: Tokenizer
) -> None:
    """` the` is one token, ` th` is three: the model that expects the word does not expect them."""
    assert [bpe.token_bytes(token) for token in bpe.encode("a the")] == [b"a", b" the"]
    ids = bpe.encode("a th")
    assert [bpe.token_bytes(token) for token in ids] == [b"a", b" ", b"t", b"h"]
    logits = [0.0] * bpe.vocab_size
    logits[bpe.encode(" the")[0]] = math.log(1000)
    end = boundary(constant_model(logits), bpe, ids, top=1)
    assert end is not None
    assert (end.text, end.position, [token.text for token in end.tokens]) == (" th", 1, [" ", "t", "h"])
    whole = 1000 + bpe.vocab_size - 1
    assert end.raw_prob == pytest.approx(1 / whole**3)
    assert end.longer[0].raw_prob == pytest.approx(1000 / whole)
    assert end.share == pytest.approx(end.raw_prob / (end.raw_prob + 1000 / whole), rel=0.01)
    assert end.others.count == bpe.vocab_size - len(longer(bpe, b" th"))
    assert sums(end) == pytest.approx(1, abs=1e-9)


PROMPTS = [
    "The ",
    "The quick brown fo",
    "the lazy d",
    "Der Fuchs spr",
    "Numbers: 1",
    "速い茶",
    "größe",
    "a\n\n",
    "x😀",
    "it's",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_numbers_against_full_passes(make_model: Callable[..., GPT], tokenizer: Tokenizer, prompt: str) -> None:
    model, ids = make_model(tokenizer.vocab_size), tokenizer.encode(prompt)
    end = boundary(model, tokenizer, ids, top=4)
    assert end is not None
    shares = []
    for count in range(1, min(3, len(ids) - 1) + 1):
        own, others = [], longer(tokenizer, tokenizer.decode_bytes(ids[-count:]))
        for position in range(len(ids) - count, len(ids)):
            with torch.no_grad():
                start = window_start(position, model.config.context)
                probs = model(torch.tensor([ids[start:position]]))[0, -1].double().softmax(-1)
            own.append(float(probs[ids[position]]))
            if len(own) == 1:
                mass = float(probs[others].sum())
        *_, product = accumulate(own, mul)
        shares.append(product / (product + mass) if others else 1.0)
    assert end.share == pytest.approx(min(shares), rel=1e-4)
    assert len(end.tokens) == shares.index(min(shares)) + 1
    assert [token.id for token in end.tokens] == ids[-len(end.tokens) :]
    assert end.position == len(ids) - len(end.tokens)
    assert bytes.fromhex(end.bytes) == tokenizer.decode_bytes(ids[-len(end.tokens) :])
    assert [token.raw_prob for token in end.longer] == sorted((t.raw_prob for t in end.longer), reverse=True)
    assert sums(end) == pytest.approx(1, abs=1e-9)


def test_beyond_the_context_it_sees_what_sampling_sees(model: GPT, bpe: Tokenizer, corpus: str) -> None:
    for length in range(14, 40):
        ids = bpe.encode(corpus)[:length]
        end = boundary(model, bpe, ids, top=1)
        assert end is not None
        with torch.no_grad():
            start = window_start(end.position, model.config.context)
            probs = model(torch.tensor([ids[start : end.position]]))[0, -1].double().softmax(-1)
        assert end.tokens[0].raw_prob == pytest.approx(float(probs[ids[end.position]]), rel=1e-3)


def test_where_no_token_goes_on_the_last_one_is_shown(
    constant_model: Callable[..., GPT], char: Tokenizer, corpus: str
) -> None:
    """Characters: no prompt, wherever it ends, could have been cut otherwise."""
    model = constant_model([0.0] * char.vocab_size, context=64)
    for stop in range(2, 60):
        end = boundary(model, char, char.encode(corpus[:stop]), top=5)
        assert end is not None
        assert (end.share, end.longer, end.other_longer.count) == (1.0, (), 0)
        assert len(end.tokens) == 1
        assert (end.others.count, sums(end)) == (char.vocab_size - 1, pytest.approx(1, abs=1e-9))


@pytest.mark.parametrize("ids", [[], [5]])
def test_nothing_stands_before_a_single_token(model: GPT, bpe: Tokenizer, ids: list[int]) -> None:
    assert boundary(model, bpe, ids, top=5) is None


def test_the_share_of_what_is_impossible_is_nothing_rather_than_an_error(
    constant_model: Callable[..., GPT], bpe: Tokenizer
) -> None:
    logits = [-3000.0] * bpe.vocab_size
    logits[bpe.encode("T")[0]] = 0.0
    end = boundary(constant_model(logits), bpe, bpe.encode("The "), top=2)
    assert end is not None
    assert (end.share, end.raw_prob, end.others.raw_prob) == (1.0, 0.0, 1.0)


def test_the_prompt_is_read_once(model: GPT, bpe: Tokenizer, passes: list[tuple[int, int]]) -> None:
    ids = bpe.encode("The quick brow")
    boundary(model, bpe, ids, top=3)
    assert passes == [(1, len(ids) - 3), (1, 1), (1, 1)]  # what the last one predicts is not asked for
