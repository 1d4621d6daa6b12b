"""Two models on one text: where they agree and where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from minigpt.errors import CheckpointError, concerning, named
from minigpt.records import Record
from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.probs import TextTally
from minigpt.views.view import Answer, Question, Stream, Tally, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.text.tokenizer import Encoded, Tokenizer

_MOVED = 3  # tokens whose probabilities differ most


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
    bytes: int  # of the text
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


def compare_next(one: Checkpoint, other: Checkpoint, text: str, *, top: int) -> ComparedNext:
    """The predictions of both models after `text` (not empty). Raises CheckpointError if their vocabularies differ."""
    if not same_vocabulary(one.tokenizer, other.tokenizer):
        raise CheckpointError(
            f"{one.path} and {other.path} have different vocabularies, so their next tokens cannot be compared one by "
            f"one.\nTheir surprisals of a text can be compared: minigpt inspect-probs TEXT -c {quote(str(one.path))} "
            f"--against {quote(str(other.path))} --all"
        )
    import numpy as np

    from minigpt.sampling.distribution import all_others, candidates, divergence_bits
    from minigpt.sampling.score import distribution_after
    from minigpt.sampling.vocabulary import best_ids

    token_bytes = one.tokenizer.token_bytes
    first, second = (distribution_after(each.model, each.tokenizer.encode_prompt(text).ids) for each in (one, other))

    def compared(tokens: list[int]) -> tuple[ComparedToken, ...]:
        pairs = zip(candidates(first, tokens, token_bytes), candidates(second, tokens, token_bytes), strict=True)
        return tuple(
            ComparedToken.of(
                one.tokenizer,
                mine.id,
                raw_prob=mine.raw_prob,
                other_raw_prob=its.raw_prob,
                rank=mine.rank,
                other_rank=its.rank,
            )
            for mine, its in pairs
        )

    listed = best_ids(np.maximum(first.raw_V, second.raw_V), top)
    rest, other_rest = all_others(first, listed), all_others(second, listed)
    return ComparedNext(
        tokens=compared(listed),
        moved=compared(best_ids(abs(first.raw_V - second.raw_V), _MOVED)),
        rest=rest.count,
        rest_raw_prob=rest.raw_prob,
        rest_other_raw_prob=other_rest.raw_prob,
        entropy_bits=first.entropy_bits,
        other_entropy_bits=second.entropy_bits,
        divergence_bits=divergence_bits(first.logits_V, second.logits_V),
        other_divergence_bits=divergence_bits(second.logits_V, first.logits_V),
    )


def compare_text(one: Checkpoint, other: Checkpoint, text: str) -> Iterator[ComparedSpan]:
    """Compare two models on `text`, stretch by stretch, each with its own tokens and windows.

    The divergence is that before a single token, the same in both. Only the windows of one stretch are in memory.
    """
    from minigpt.sampling.distribution import divergence_bits

    same = same_vocabulary(one.tokenizer, other.tokenizer)
    if not text:
        return
    reads = (_tokens_read(each, each.tokenizer.encode_prompt(text)) for each in (one, other))
    for mine, its in _stretches(*reads):
        logits_V, other_logits_V = mine[0].logits_V, its[0].logits_V
        yield ComparedSpan(
            tokens=tuple(read.token for read in mine),
            other_tokens=tuple(read.token for read in its),
            bytes=sum(read.byte_count for read in mine),
            surprisal_bits=_total_bits(mine),
            other_surprisal_bits=_total_bits(its),
            divergence_bits=(
                divergence_bits(logits_V, other_logits_V)
                if same and len(mine) == len(its) == 1 and logits_V is not None and other_logits_V is not None
                else None
            ),
        )


class _TokenRead(NamedTuple):
    """A token of a text, the bytes of the text that it stands for, and the logits that predict it; None for the first
    one, which has no context.
    """

    token: Token
    byte_count: int
    logits_V: np.ndarray | None


def _tokens_read(checkpoint: Checkpoint, read: Encoded) -> Iterator[_TokenRead]:
    from minigpt.models.decoder import position_logits

    ids, byte_counts = read
    if ids:
        yield _TokenRead(Token.of(checkpoint.tokenizer, ids[0]), byte_counts[0], None)
    for position, logits_V in position_logits(checkpoint.model, ids):
        yield _TokenRead(Token.of(checkpoint.tokenizer, ids[position]), byte_counts[position], logits_V)


def _stretches(
    ones: Iterator[_TokenRead], others: Iterator[_TokenRead]
) -> Iterator[tuple[list[_TokenRead], list[_TokenRead]]]:
    """Merge two tokenizations of one text into the shortest stretches that end a token in both."""
    mine: list[_TokenRead] = []
    its: list[_TokenRead] = []
    ahead = 0  # bytes by which the first is further on
    while True:
        is_mine = ahead < 0 or (ahead == 0 and not mine)
        read = next(ones if is_mine else others, None)
        if read is None:
            return
        (mine if is_mine else its).append(read)
        ahead += read.byte_count if is_mine else -read.byte_count
        if ahead == 0 and mine and its:
            yield mine, its
            mine, its = [], []


def _total_bits(tokens: Sequence[_TokenRead]) -> float | None:
    """The surprisal of all tokens; None if one of them has no context."""
    from minigpt.sampling.distribution import surprisal

    bits = [surprisal(read.logits_V, read.token.id) for read in tokens if read.logits_V is not None]
    return math.fsum(bits) if len(bits) == len(tokens) else None


class ComparedTally(Tally):
    """Adds up the surprisals of both models as stretches pass through."""

    def __init__(self) -> None:
        self._first, self._second = TextTally(), TextTally()
        self._divergences: list[float] = []

    def watch(self, records: Iterable[ComparedSpan]) -> Iterator[ComparedSpan]:
        """Pass the stretches on, and count those that have a surprisal in both models."""
        for span in records:
            if span.surprisal_bits is not None and span.other_surprisal_bits is not None:
                self._first.add(span.surprisal_bits, tokens=len(span.tokens), byte_count=span.bytes)
                self._second.add(span.other_surprisal_bits, tokens=len(span.other_tokens), byte_count=span.bytes)
            if span.divergence_bits is not None:
                self._divergences.append(span.divergence_bits)
            yield span

    def fields(self) -> Mapping[str, Any]:
        """The totals for JSON."""
        return {"totals": self.totals()}

    def totals(self) -> ComparedText:
        """The totals over all stretches so far."""
        first, second, divergences = self._first.score(), self._second.score(), self._divergences
        return ComparedText(
            bytes=first.bytes,
            tokens=first.tokens,
            other_tokens=second.tokens,
            bits_per_byte=first.bits_per_byte,
            other_bits_per_byte=second.bits_per_byte,
            divergence_bits_per_token=math.fsum(divergences) / len(divergences) if divergences else None,
        )


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    against: Path | None = setting(
        None,
        help=f"Compare with another checkpoint, side by side; with {named('every')}, stretch by stretch.",
        completes="model",
    )


def _ask(question: Question) -> Answer:
    one, other, beside = _both(question)
    record = compare_next(one, other, question.text, top=question.top)
    return Answer(records=(record,), text=question.text, **beside)


def _ask_every(question: Question) -> Answer:
    one, other, beside = _both(question)
    return Answer(records=Stream(lambda: compare_text(one, other, question.text)), tally=ComparedTally, **beside)


def _both(question: Question) -> tuple[Checkpoint, Checkpoint, dict[str, Any]]:
    """Both checkpoints, and what an answer says about them."""
    from minigpt.checkpoint.folder import described

    one = question.checkpoint
    with concerning("against"):
        other = one.beside(question.flags.against)
    other = replace(other, tokenizer=other.tokenizer.reading(**one.tokenizer.reads))
    for sentence in other.notes:
        question.note(sentence)
    return one, other, {"fields": {"against": described(other.path)}, "facts": {"paths": (one.path, other.path)}}


NEXT = View(
    record=ComparedNext,
    ask=_ask,
    title="What two models predict next",
    settings=_Flags,
    asked_by=("against",),
    needs_torch=False,
)
EVERY = View(
    record=ComparedSpan,
    key="spans",
    ask=_ask_every,
    title="How surprising each part of a text is to two models",
    asked_by=("every", "against"),
    tokens_ahead=lambda question: -1,
    at_end=False,
    needs_torch=False,
)
