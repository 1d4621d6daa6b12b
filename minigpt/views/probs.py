"""The distribution after a text, or before each of its tokens; in a model of pairs, before those of a given target."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from minigpt.errors import named
from minigpt.sampling.records import StepLogits, StepRecord, TextScore, first_token, perplexity
from minigpt.settings import SampleConfig, Settings, require, setting
from minigpt.views.view import Answer, Question, Stream, Tally, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from minigpt.models.encoder_decoder import EncoderDecoder
    from minigpt.models.network import AnyModel
    from minigpt.text.tokenizer import Encoded, Tokenizer

UNFILTERED = SampleConfig(temperature=1.0, top_p=1.0)


def next_token(model: AnyModel, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> StepRecord:
    """The distribution after `ids` (one or more): the softmax of the logits, unfiltered; nothing is drawn."""
    from minigpt.sampling.distribution import step_record
    from minigpt.sampling.score import distribution_after

    return step_record(distribution_after(model, ids), tokenizer.token_bytes, position=len(ids), top=top)


def every_token(
    model: AnyModel, tokenizer: Tokenizer, ids: Sequence[int], *, top: int, given: int = 0
) -> Iterator[StepRecord]:
    """One record for each of `ids` but the `given` ones, predicted from those before it. The first has no context,
    hence no numbers.

    A text beyond the context is read in overlapping windows, each token in the same window as in sampling; the logits
    of one window are held at a time.
    """
    from minigpt.models.decoder import position_logits
    from minigpt.sampling.distribution import distribution, step_record

    if ids and not given:
        yield first_token(tokenizer, ids[0])
    for position, logits_V in position_logits(model, ids):
        if position < given:
            continue
        dist, token = distribution(logits_V), ids[position]
        yield step_record(dist, tokenizer.token_bytes, position=position, top=top, token=token)


class TextTally(Tally):
    """Adds up the surprisals of records as they pass through, so that they need not be held in memory.

    `byte_counts`: by position, how many bytes of the text each token stands for; by default its own.
    """

    def __init__(self, byte_counts: Sequence[int] | None = None) -> None:
        self._byte_counts = byte_counts
        self._bits: list[float] = []
        self._tokens = self._bytes = 0

    def add(self, surprisal_bits: float, *, tokens: int, byte_count: int) -> None:
        """Add a stretch of text."""
        self._bits.append(surprisal_bits)
        self._tokens += tokens
        self._bytes += byte_count

    def watch(self, records: Iterable[StepRecord]) -> Iterator[StepRecord]:
        """Pass the records on, and count those that have numbers."""
        for record in records:
            if record.token is not None and record.surprisal_bits is not None:
                own, counts = len(record.token.bytes) // 2, self._byte_counts
                byte_count = own if counts is None else counts[record.position]
                self.add(record.surprisal_bits, tokens=1, byte_count=byte_count)
            yield record

    def fields(self) -> Mapping[str, Any]:
        """The totals so far, in the order of the JSON."""
        score = self.score()
        return {name: getattr(score, name) for name in ("total_nats", "bits_per_byte", "perplexity", "bytes", "tokens")}

    def score(self) -> TextScore:
        """The totals so far."""
        bits = math.fsum(self._bits)
        total_nats = bits * math.log(2)
        return TextScore(
            tokens=self._tokens,
            bytes=self._bytes,
            total_nats=total_nats,
            bits_per_byte=bits / self._bytes if self._bytes else None,
            perplexity=perplexity(total_nats, self._tokens),
        )


def text_score(records: Iterable[StepRecord], byte_counts: Sequence[int] | None = None) -> TextScore:
    """Totals over the records that have numbers; `byte_counts` as for TextTally."""
    tally = TextTally(byte_counts)
    deque(tally.watch(records), maxlen=0)
    return tally.score()


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    every: bool = setting(False, flag="all", help="Score every token of the text, not only what comes next.")


def _next(question: Question) -> Answer:
    record = next_token(question.model, question.tokenizer, question.ids, top=question.top)
    return Answer(records=(record,), text=question.text)


def _next_page(question: Question, answer: Answer) -> Iterable[StepLogits]:
    from minigpt.sampling.page_steps import listed, open_step

    return (open_step(question.checkpoint, question.ids, listed(1)),)


def _every(question: Question) -> Answer:
    model, tokenizer, ids = question.model, question.tokenizer, question.ids
    return Answer(
        records=Stream(lambda: every_token(model, tokenizer, ids, top=question.top)),
        tally=partial(TextTally, question.byte_counts),
        facts={"tokens": [first_token(tokenizer, token).token for token in set(ids)]},
    )


def _every_page(question: Question, answer: Answer) -> Iterable[StepRecord | StepLogits]:
    from minigpt.sampling.page_steps import every_step, listed

    return every_step(question.checkpoint, question.ids, UNFILTERED, listed(len(question.ids)))


NEXT = View(
    record=StepRecord,
    key="steps",
    ask=_next,
    title="What comes next",
    page=_next_page,
    needs_torch=False,
    of_pairs=True,
)
EVERY = View(
    record=StepRecord,
    key="steps",
    ask=_every,
    title="How surprising each token of the text is",
    settings=_Flags,
    asked_by=("every",),
    page=_every_page,
    tokens_ahead=lambda question: -1,
    at_end=False,
    needs_torch=False,
    advice_for_pairs=f"{named('target', 'TEXT')} scores a target that you give.",
)


def with_target(model: AnyModel, tokenizer: Tokenizer, source: Encoded, target: str) -> Encoded:
    """A pair as one sequence: the source with its end-of-text, then the target with its own.

    Raises ConfigError if the model reads no pairs, if the target is empty, or if a side exceeds the model's context.
    """
    require(
        model.config.reads_pairs,
        f"{named('target')} goes with a model of pairs; a GPT continues one text: {named('every')} scores that.",
    )
    target = target.strip()
    require(bool(target), f"{named('target')} is empty: give the text whose tokens are scored.")
    ids = tokenizer.encode(target)
    pair = [*source.ids, *ids, tokenizer.end_of_text]
    cast("EncoderDecoder", model).fitting(pair)
    return type(source)(pair, [*source.byte_counts, *tokenizer.byte_counts(target, ids).tolist(), 0])


@dataclass(frozen=True, kw_only=True)
class _TargetFlags(Settings):
    target: str | None = setting(
        None, help="Score this target of the text, token by token; for a model of pairs.", metavar="TEXT"
    )


def _encoded(question: Question) -> Encoded:
    from minigpt.text.tokenizer import Encoded

    source = Encoded(list(question.ids), list(question.byte_counts))
    return with_target(question.model, question.tokenizer, source, question.flags.target)


def _ask_target(question: Question) -> Answer:
    from minigpt.text.losses import loss_note

    model, tokenizer, given = question.model, question.tokenizer, len(question.ids)
    ids, byte_counts = _encoded(question)
    if lost := loss_note(tokenizer, question.flags.target):
        question.note(lost)
    return Answer(
        records=Stream(lambda: every_token(model, tokenizer, ids, top=question.top, given=given)),
        text=question.text.strip(),
        tally=partial(TextTally, byte_counts),
        fields={"target": question.flags.target.strip()},
        facts={"tokens": [first_token(tokenizer, token).token for token in set(ids[given:])]},
    )


def _target_page(question: Question, answer: Answer) -> Iterable[StepRecord | StepLogits]:
    from minigpt.sampling.page_steps import every_step, listed

    ids, given = _encoded(question).ids, len(question.ids)
    return every_step(question.checkpoint, ids, UNFILTERED, listed(len(ids) - given), given=given)


TARGET = View(
    record=StepRecord,
    key="steps",
    ask=_ask_target,
    title="How surprising each token of the target is",
    settings=_TargetFlags,
    asked_by=("target",),
    page=_target_page,
    tokens_ahead=None,
    needs_torch=False,
    of_pairs=True,
)
