"""Two models on one text: where they agree and where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minigpt.errors import CheckpointError, CorpusError, named
from minigpt.records import Record
from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, Stream, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.sampling.distribution import Distribution
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedToken(Token):
    """A token that could come next, with its numbers in one model and in another (`other_`)."""

    raw_prob: float
    other_raw_prob: float
    rank: int
    other_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNext(Record):
    """What two models (`other_`: the second) predict after the same text: tokens + rest = 1 in both."""

    tokens: tuple[ComparedToken, ...]  # those that are likeliest in either, the likeliest first
    moved: tuple[ComparedToken, ...]  # those whose probabilities differ most, the largest difference first
    rest: int  # tokens that are not in `tokens`, with their summed probability:
    rest_raw_prob: float
    rest_other_raw_prob: float
    entropy_bits: float
    other_entropy_bits: float
    divergence_bits: float  # D(first || second)
    other_divergence_bits: float  # D(second || first)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSpan:
    """The shortest stretch of a text that ends a token in both vocabularies, with its surprisal in each model.

    With equal vocabularies it is one token, and `divergence_bits` is the KL divergence of the distributions before it.
    The first stretch of a text holds a token without context, so its surprisals are None.
    """

    tokens: tuple[Token, ...]
    other_tokens: tuple[Token, ...]
    surprisal_bits: float | None
    other_surprisal_bits: float | None
    divergence_bits: float | None  # D(first || second)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedText:
    """Totals over the stretches of a text that have a surprisal in both models."""

    bytes: int
    tokens: int
    other_tokens: int
    bits_per_byte: float | None
    other_bits_per_byte: float | None
    divergence_bits_per_token: float | None  # mean; None between different vocabularies


def same_vocabulary(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether every id stands for the same bytes in both."""
    return one.vocab_size == other.vocab_size and all(
        one.token_bytes(token) == other.token_bytes(token) for token in range(one.vocab_size)
    )


def compare_next(one: Checkpoint, other: Checkpoint, text: str, *, top: int, moved: int = 3) -> ComparedNext:
    """The predictions of both models after `text` (not empty). Raises CheckpointError if their vocabularies differ."""
    if not same_vocabulary(one.tokenizer, other.tokenizer):
        raise CheckpointError(
            f"{one.path} and {other.path} have different vocabularies, so their next tokens cannot be compared one by "
            f"one.\nWith {named('every')}, they are compared stretch by stretch of the text."
        )
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution

    ids = one.tokenizer.encode(text)
    first, second = (distribution(decoder_for(checkpoint.model).prefill(ids)[0]) for checkpoint in (one, other))
    return _compared(first, second, one.tokenizer, top, moved)


def _compared(first: Distribution, second: Distribution, tokenizer: Tokenizer, top: int, moved: int) -> ComparedNext:
    from minigpt.sampling.distribution import best_ids, divergence_bits, step_record, sum_without

    def compared(ids: Iterable[int]) -> tuple[ComparedToken, ...]:
        return tuple(ComparedToken.of(tokenizer, token, **numbers(token)) for token in ids)

    def numbers(token: int) -> dict[str, float]:
        probs = {"raw_prob": float(first.raw_V[token]), "other_raw_prob": float(second.raw_V[token])}
        return {**probs, "rank": _rank(first, token), "other_rank": _rank(second, token)}

    listed = best_ids(first.raw_V.maximum(second.raw_V), top)
    entropies = [step_record(dist, tokenizer.token_bytes, position=0, top=1).entropy_bits for dist in (first, second)]
    assert entropies[0] is not None
    assert entropies[1] is not None
    return ComparedNext(
        tokens=compared(listed),
        moved=compared(best_ids((first.raw_V - second.raw_V).abs(), moved)),
        rest=len(first.raw_V) - len(listed),
        rest_raw_prob=sum_without(first.raw_V, listed),
        rest_other_raw_prob=sum_without(second.raw_V, listed),
        entropy_bits=entropies[0],
        other_entropy_bits=entropies[1],
        divergence_bits=divergence_bits(first.logits_V, second.logits_V),
        other_divergence_bits=divergence_bits(second.logits_V, first.logits_V),
    )


def _rank(dist: Distribution, token: int) -> int:
    return 1 + int((dist.logits_V > dist.logits_V[token]).sum())


def compare_text(one: Checkpoint, other: Checkpoint, text: str) -> Iterator[ComparedSpan]:
    """Compare two models on `text`, stretch by stretch, each with its own tokens and windows.

    Only one window of each model is in memory.
    """
    if same_vocabulary(one.tokenizer, other.tokenizer):
        yield from _token_by_token(one, other, one.tokenizer.encode(text))
    else:
        yield from _stretches(_costs(one, text), _costs(other, text))


def _token_by_token(one: Checkpoint, other: Checkpoint, ids: Sequence[int]) -> Iterator[ComparedSpan]:
    from minigpt.models.reading import position_logits
    from minigpt.sampling.distribution import divergence_bits, surprisal

    if ids:
        yield _span([_Cost(Token.of(one.tokenizer, ids[0]), None)], [_Cost(Token.of(other.tokenizer, ids[0]), None)])
    both = zip(position_logits(one.model, ids), position_logits(other.model, ids), strict=True)
    for (position, logits_V), (_, other_V) in both:
        token = Token.of(one.tokenizer, ids[position])
        costs = [_Cost(token, surprisal(values_V, token.id)) for values_V in (logits_V, other_V)]
        yield _span(costs[:1], costs[1:], divergence_bits(logits_V, other_V))


class _Cost(NamedTuple):
    """A token of a text and its surprisal in bits; None for the first one, which has no context."""

    token: Token
    bits: float | None


def _costs(checkpoint: Checkpoint, text: str) -> Iterator[_Cost]:
    from minigpt.models.reading import position_logits
    from minigpt.sampling.distribution import surprisal

    tokenizer, ids = checkpoint.tokenizer, checkpoint.tokenizer.encode(text)
    if ids:
        yield _Cost(Token.of(tokenizer, ids[0]), None)
    for position, logits_V in position_logits(checkpoint.model, ids):
        yield _Cost(Token.of(tokenizer, ids[position]), surprisal(logits_V, ids[position]))


def _stretches(ones: Iterator[_Cost], others: Iterator[_Cost]) -> Iterator[ComparedSpan]:
    """Merge two tokenizations of one text into the shortest stretches that end a token in both."""
    mine: list[_Cost] = []
    theirs: list[_Cost] = []
    ahead = 0  # bytes by which the first is further on
    while True:
        side, costs, sign = (mine, ones, 1) if ahead <= 0 else (theirs, others, -1)
        cost = next(costs, None)
        if cost is None:
            if mine or theirs or any(True for _ in chain(ones, others)):
                raise CorpusError(
                    "One of the two tokenizers changes the text, such as its capitals or its spaces, so their tokens "
                    "do not meet.\nCompare the models by evaluate, each with its own tokens."
                )
            return
        side.append(cost)
        ahead += sign * (len(cost.token.bytes) // 2)
        if ahead == 0 and mine and theirs:
            yield _span(mine, theirs)
            mine, theirs = [], []


def _span(mine: Sequence[_Cost], theirs: Sequence[_Cost], divergence: float | None = None) -> ComparedSpan:
    return ComparedSpan(
        tokens=tuple(cost.token for cost in mine),
        other_tokens=tuple(cost.token for cost in theirs),
        surprisal_bits=_total(mine),
        other_surprisal_bits=_total(theirs),
        divergence_bits=divergence,
    )


def _total(costs: Sequence[_Cost]) -> float | None:
    bits = [cost.bits for cost in costs]
    known = [value for value in bits if value is not None]
    return math.fsum(known) if len(known) == len(bits) else None


class ComparedTally:
    """Adds up the surprisals of both models as stretches pass through."""

    def __init__(self) -> None:
        self._bytes, self._tokens, self._other_tokens = 0, 0, 0
        self._bits: list[float] = []
        self._other_bits: list[float] = []
        self._divergences: list[float] = []

    def watch(self, spans: Iterable[ComparedSpan]) -> Iterator[ComparedSpan]:
        """Pass the stretches on, and count those that have a surprisal in both models."""
        for span in spans:
            if span.surprisal_bits is not None and span.other_surprisal_bits is not None:
                self._bytes += sum(len(token.bytes) // 2 for token in span.tokens)
                self._tokens += len(span.tokens)
                self._other_tokens += len(span.other_tokens)
                self._bits.append(span.surprisal_bits)
                self._other_bits.append(span.other_surprisal_bits)
            if span.divergence_bits is not None:
                self._divergences.append(span.divergence_bits)
            yield span

    def fields(self) -> Mapping[str, Any]:
        """The totals for JSON."""
        return {"totals": self.totals()}

    def totals(self) -> ComparedText:
        """The totals over all stretches so far."""
        return ComparedText(
            bytes=self._bytes,
            tokens=self._tokens,
            other_tokens=self._other_tokens,
            bits_per_byte=math.fsum(self._bits) / self._bytes if self._bytes else None,
            other_bits_per_byte=math.fsum(self._other_bits) / self._bytes if self._bytes else None,
            divergence_bits_per_token=(
                math.fsum(self._divergences) / len(self._divergences) if self._divergences else None
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """The flag that asks for a comparison with another checkpoint."""

    against: Path | None = setting(
        None,
        help=f"Compare with another checkpoint, side by side; with {named('every')}, stretch by stretch.",
        completes="model",
    )


def _ask(question: Question) -> Answer:
    one, other = question.checkpoint, _other(question)
    record = compare_next(one, other, question.text, top=question.top)
    return Answer(records=(record,), text=question.text, **_beside(one, other))


def _ask_every(question: Question) -> Answer:
    one, other = question.checkpoint, _other(question)
    spans = Stream(lambda: compare_text(one, other, question.text))
    return Answer(records=spans, tally=ComparedTally, **_beside(one, other))


def _other(question: Question) -> Checkpoint:
    from minigpt.checkpoint.folder import load

    return load(question.flags.against, question.checkpoint.model.device)


def _beside(one: Checkpoint, other: Checkpoint) -> dict[str, Any]:
    """The description of both checkpoints."""
    from minigpt.checkpoint.folder import described

    return {"fields": {"against": described(other.path)}, "facts": {"paths": (one.path, other.path)}}


NEXT = View(
    record=ComparedNext,
    ask=_ask,
    title="What two models expect",
    settings=Flags,
    asked_by=("against",),
)
EVERY = View(
    record=ComparedSpan,
    key="spans",
    ask=_ask_every,
    title="What a text costs two models",
    asked_by=("every", "against"),
    tokens_ahead=lambda question: -1,
    at_end=False,
)
