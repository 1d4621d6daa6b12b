"""Scores texts: documents of ids in parts (total nats, bits and perplexity), and the tokens of a continuation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from minigpt.errors import named
from minigpt.models.decoder import decoder_for, target_nats
from minigpt.models.network import NOT_SCORED, Autocast, is_gpt
from minigpt.models.window import window_step, windows_at_once
from minigpt.sampling.distribution import Distribution, distribution, require_finite
from minigpt.sampling.records import FileScore, ScoredToken, perplexity
from minigpt.settings import require
from minigpt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from minigpt.models.baselines import Baseline
    from minigpt.models.network import AnyModel

_STRETCH = 1024  # of a stream, at once


class Part(NamedTuple):
    """Consecutive ids [N] of a document, with the bytes of its text that each stands for [N]; `begins` if the document
    starts here.
    """

    ids: np.ndarray
    byte_counts: np.ndarray
    begins: bool


class _Window(NamedTuple):
    """Ids [2 to context + 1] that the model sees at once; the first `seen` are context only."""

    ids: np.ndarray
    seen: int


def checked_stride(stride: int | None, context: int) -> int:
    """The stride of the windows, by default as in sampling. Raises ConfigError unless it is from 1 to `context`."""
    if stride is None:
        return window_step(context)
    require(
        1 <= stride <= context, f"{named('stride')} must be from 1 to the model's context, {context:,}, not {stride:,}."
    )
    return stride


def score(
    model: AnyModel,
    parts: Iterable[Part],
    *,
    name: str | None = None,
    stride: int | None = None,
    prefix_token: int | None = None,
    autocast: Autocast | None = None,
    progress: Callable[[int], None] = lambda byte_count: None,
) -> FileScore:
    """The loss of a model in evaluation mode over every document, each token but the first scored exactly once.

    Documents are scored separately: the first token has no context and is left out, whereas training puts end-of-text
    between documents. A document is read in windows of one context length that advance by `stride` tokens, so every
    token has at least context - stride tokens before it, if the text has as many. The default, half the context, gives
    the windows of `every_token` and of sampling; a stride of the whole context gives windows without overlap, as in the
    validation loss of a training.

    With a `prefix_token`, end-of-text, this is the rolling log-likelihood of EleutherAI's lm-evaluation-harness: first
    tokens are scored after that token, windows advance by the whole context, and the last window of a longer document
    reaches back until it is full. A recurrent model reads a document as one stream unless a stride or that token is
    given.

    `progress` receives the bytes scored. Only one batch is in memory. Logits are in float32, or as
    `autocast` has it; sums are in float64.
    """
    context, rolling = model.config.context, prefix_token is not None
    if not is_gpt(model) and stride is None and not rolling:
        return _stream_score(cast("Baseline", model), parts, name, autocast, progress)
    stride = checked_stride(context if rolling else stride, context)
    rows = windows_at_once(model.config, model.device)
    counted = _Documents(parts, progress, prefix_token)
    tokens, nats = 0, 0.0
    for batch in _batches(_windows(counted, context, stride, reach_back=rolling), rows):
        nats += _loss(model, batch, autocast)
        tokens += sum(len(window.ids) - 1 - window.seen for window in batch)
        counted.report()
    return _file_score(name, counted.documents, tokens, counted.bytes, nats, context, stride, rolling)


def total_score(scores: Sequence[FileScore]) -> FileScore:
    """The total of `scores`, one or more with the same context and stride, as of a single unnamed file."""
    return _file_score(
        None,
        sum(score.documents for score in scores),
        sum(score.tokens for score in scores),
        sum(score.bytes for score in scores),
        math.fsum(score.total_nats for score in scores),
        scores[0].context,
        scores[0].stride,
        scores[0].rolling,
    )


def _file_score(
    name: str | None,
    documents: int,
    tokens: int,
    byte_count: int,
    nats: float,
    context: int | None,
    stride: int | None,
    rolling: bool = False,
) -> FileScore:
    return FileScore(
        file=name,
        documents=documents,
        tokens=tokens,
        bytes=byte_count,
        total_nats=nats,
        nats_per_token=nats / tokens if tokens else None,
        bits_per_token=nats / math.log(2) / tokens if tokens else None,
        bits_per_byte=nats / math.log(2) / byte_count if byte_count else None,
        perplexity=perplexity(nats, tokens),
        context=context,
        stride=stride,
        rolling=rolling,
    )


def _stream_score(
    model: Baseline, parts: Iterable[Part], name: str | None, autocast: Autocast | None, progress: Callable[[int], None]
) -> FileScore:
    """Like `score`, with the recurrent state carried from part to part of a document."""
    from minigpt.models.state_decoder import stream_nats

    counted, state, last = _Documents(parts, progress), None, np.zeros(0, np.int64)
    tokens, nats = 0, 0.0
    for ids, begins in counted:
        if begins:
            state, last = None, last[:0]
        ids = np.concatenate([last, ids])
        last = ids[-1:]
        for first in range(0, len(ids) - 1, _STRETCH):
            stretch = ids[first : first + _STRETCH + 1]
            nats_T, state = stream_nats(model, stretch.astype(np.int64), state, autocast)
            nats, tokens = nats + _finite_sum(nats_T), tokens + len(stretch) - 1
        counted.report()
    return _file_score(name, counted.documents, tokens, counted.bytes, nats, None, None)


class _Documents:
    """Yields the ids of parts and whether a document begins, and counts the documents, and the bytes of their tokens.

    The first token of a document is not scored, and its bytes do not count, unless a `prefix_token` is put before it.
    """

    def __init__(self, parts: Iterable[Part], progress: Callable[[int], None], prefix_token: int | None = None) -> None:
        self._parts, self._progress, self._prefix_token = parts, progress, prefix_token
        self.documents = self.bytes = self._reported = 0

    def report(self) -> None:
        """Report the bytes read since the last report as progress."""
        self._progress(self.bytes - self._reported)
        self._reported = self.bytes

    def __iter__(self) -> Iterator[tuple[np.ndarray, bool]]:
        is_first = False  # whether the first token is still to come: a part can have none
        for ids, byte_counts, begins in self._parts:
            self.documents += begins
            is_first = begins or is_first
            if begins and self._prefix_token is not None:
                ids, is_first = np.concatenate([[self._prefix_token], ids]), False
            self.bytes += int(byte_counts[int(is_first) :].sum())
            is_first = is_first and not len(ids)
            yield ids, begins


def _windows(
    parts: Iterable[tuple[np.ndarray, bool]], context: int, stride: int, *, reach_back: bool = False
) -> Iterator[_Window]:
    """Windows that score every token but the first of each document once.

    With `reach_back`, the last one of a document begins before what is left, as far as its context allows.
    """
    nothing = np.zeros(0, np.int64)
    held, seen, before = nothing, 0, nothing
    for ids, begins in parts:
        if begins:
            yield from _rest(held, seen, before, context)
            held, seen, before = nothing, 0, nothing
        held = np.concatenate([held, ids])
        while len(held) > context:
            yield _Window(held[: context + 1], seen)
            held, seen, before = held[stride:], context - stride, held[:stride] if reach_back else nothing
    yield from _rest(held, seen, before, context)


def _rest(held: np.ndarray, seen: int, before: np.ndarray, context: int) -> Iterator[_Window]:
    """The last window of a document, if some of it is not scored yet."""
    if len(held) - 1 > seen:
        again = before[len(before) - min(len(before), context + 1 - len(held)) :]
        yield _Window(np.concatenate([again, held]), seen + len(again))


def _batches(windows: Iterator[_Window], rows: int) -> Iterator[list[_Window]]:
    while batch := list(islice(windows, rows)):
        yield batch


def _loss(model: AnyModel, batch: Sequence[_Window], autocast: Autocast | None) -> float:
    """The summed loss in nats. Shorter windows are padded on the right, where no earlier token sees the padding."""
    length = max(len(window.ids) for window in batch) - 1
    x_BT = np.zeros((len(batch), length), np.int64)
    y_BT = np.full((len(batch), length), NOT_SCORED)
    for x_T, y_T, (ids, seen) in zip(x_BT, y_BT, batch, strict=True):
        x_T[: len(ids) - 1] = ids[:-1]
        y_T[seen : len(ids) - 1] = ids[1 + seen :]
    return _finite_sum(target_nats(model, x_BT, y_BT, autocast))


def _finite_sum(nats: np.ndarray) -> float:
    """The sum. Raises CheckpointError for inf and NaN."""
    total = nats.sum()
    require_finite(total)
    return float(total)


def distribution_after(model: AnyModel, ids: Sequence[int]) -> Distribution:
    """The distribution after `ids` (one or more), unfiltered."""
    return distribution(decoder_for(model).prefill(ids)[0])


def before_each(model: AnyModel, ids: Sequence[int], tokens: Sequence[int]) -> Iterator[Distribution]:
    """The distribution before each of `tokens` (one or more) that follow `ids` (one or more), as in sampling."""
    decoder = decoder_for(model)
    yield distribution(decoder.prefill(ids)[0])
    for token in tokens[:-1]:
        yield distribution(decoder.step([token])[0])


def scored(dist: Distribution, tokenizer: Tokenizer, token: int) -> ScoredToken:
    """`token` with its numbers in `dist`. The surprisal is computed from logits, because a probability of 1e-400
    underflows.
    """
    logits_V, raw_V = dist.logits_V, dist.raw_V
    best = int(logits_V.argmax())
    nats = float(logits_V[best] - logits_V[token]) - math.log(raw_V[best])
    return ScoredToken.of(tokenizer, token, raw_prob=float(raw_V[token]), nats=nats)
