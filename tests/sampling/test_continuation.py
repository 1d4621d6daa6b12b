"""The distributions along a continuation are those of full passes, one a token, in the windows of sampling."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.sampling.distribution import distribution
from minigpt.sampling.score import before_each, scored
from minigpt.text.tokenizer import Tokenizer


@pytest.mark.parametrize("context", [1, 2, 5, 16, 17])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 40])
def test_each_is_as_in_a_pass_of_its_own(
    make_model: Callable[..., GPT], bpe: Tokenizer, corpus: str, context: int, length: int
) -> None:
    model, ids = make_model(bpe.vocab_size, context), bpe.encode(corpus)[: length + 12]
    found = list(before_each(model, ids[:length], ids[length:]))
    assert len(found) == 12
    for end, dist in enumerate(found, start=length):
        with torch.no_grad():
            logits_V = model(torch.tensor([ids[window_start(end, context) : end]]))[0, -1]
        np.testing.assert_allclose(dist.raw_V, logits_V.double().softmax(-1).numpy(), atol=1e-5, rtol=1e-3)


def test_no_more_is_read_than_is_needed(model: GPT, bpe: Tokenizer) -> None:
    assert len(list(before_each(model, [1], [2]))) == 1


def test_a_token_has_its_probability_and_its_cost(bpe: Tokenizer) -> None:
    dist = distribution(np.arange(bpe.vocab_size) / 7)
    token = scored(dist, bpe, bpe.encode("€")[0])
    assert token.text is None or token.text == "€"
    assert bytes.fromhex(token.bytes) == bpe.token_bytes(token.id)
    assert token.nats == pytest.approx(-math.log(token.raw_prob))


def test_the_cost_of_what_is_all_but_impossible_is_a_number(bpe: Tokenizer) -> None:
    logits = np.zeros(bpe.vocab_size)
    logits[7] = 2000.0
    dist = distribution(logits)
    assert (scored(dist, bpe, 7).nats, scored(dist, bpe, 7).raw_prob) == (0.0, 1.0)
    assert (scored(dist, bpe, 8).nats, scored(dist, bpe, 8).raw_prob) == (2000.0, 0.0)
