"""The distribution before each token of a continuation, and the surprisal of each token."""

import math
from collections.abc import Iterator, Sequence

from minigpt.models.decoder import decoder_for
from minigpt.models.kinds import Model
from minigpt.sampling.distribution import Distribution, distribution
from minigpt.sampling.records import ScoredToken
from minigpt.text.tokenizer import Tokenizer


def distribution_after(model: Model, ids: Sequence[int]) -> Distribution:
    """The distribution after `ids` (one or more), unfiltered."""
    return distribution(decoder_for(model).prefill(ids)[0])


def before_each(model: Model, ids: Sequence[int], tokens: Sequence[int]) -> Iterator[Distribution]:
    """The distribution before each of `tokens` (one or more) that follow `ids` (one or more), as in sampling."""
    decoder = decoder_for(model)
    yield distribution(decoder.prefill(ids)[0])
    for token in tokens[:-1]:
        yield distribution(decoder.step([token])[0])


def scored(dist: Distribution, tokenizer: Tokenizer, token: int) -> ScoredToken:
    """`token` with its numbers in `dist`. The surprisal is computed from logits, because a probability of 1e-400
    underflows.
    """
    logits_V, raw_V = dist.logits_V.numpy(), dist.raw_V.numpy()
    best = int(logits_V.argmax())
    nats = float(logits_V[best] - logits_V[token]) - math.log(raw_V[best])
    return ScoredToken.of(tokenizer, token, raw_prob=float(raw_V[token]), nats=nats)
