"""The distribution after a text, or behind each of its tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minigpt.sampling.records import BareToken, StepRecord, TextScore, perplexity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minigpt.models.kinds import Model
    from minigpt.text.tokenizer import Tokenizer


def next_token(model: Model, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> StepRecord:
    """What comes after `ids` (one or more): the softmax of the logits, nothing filtered, nothing drawn."""
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution, step_record

    logits_V = decoder_for(model).prefill(ids)[0]
    return step_record(distribution(logits_V), tokenizer.token_bytes, position=len(ids), top=top)


def every_token(model: Model, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> Iterator[StepRecord]:
    """One record for each of `ids`, seen from the ones before it. The first has no context, hence no numbers.

    A text beyond the context is read in windows that overlap, each token in the very window in which sampling would
    see it; one window of logits is held at a time.
    """
    from minigpt.models.reading import position_logits
    from minigpt.sampling.distribution import distribution, step_record

    if ids:
        yield first_token(tokenizer, ids[0])
    for position, logits_V in position_logits(model, ids):
        yield step_record(
            distribution(logits_V),
            tokenizer.token_bytes,
            position=position,
            top=top,
            token=ids[position],
        )


class TextTally:
    """Adds up what a text costs while its records pass by, so that nobody has to hold them all."""

    def __init__(self) -> None:
        self._bits: list[float] = []
        self._bytes = 0

    def watch(self, records: Iterable[StepRecord]) -> Iterator[StepRecord]:
        """The same records; those that have numbers are counted."""
        for record in records:
            if record.token is not None and record.surprisal_bits is not None:
                self._bits.append(record.surprisal_bits)
                self._bytes += len(record.token.bytes) // 2
            yield record

    def score(self) -> TextScore:
        """The totals so far."""
        bits, tokens = math.fsum(self._bits), len(self._bits)
        total_nats = bits * math.log(2)
        return TextScore(
            tokens=tokens,
            bytes=self._bytes,
            total_nats=total_nats,
            bits_per_byte=bits / self._bytes if self._bytes else None,
            perplexity=perplexity(total_nats, tokens),
        )


def text_score(records: Iterable[StepRecord]) -> TextScore:
    """Totals over the records that have numbers."""
    tally = TextTally()
    for _ in tally.watch(records):
        pass
    return tally.score()


def first_token(tokenizer: Tokenizer, token: int) -> StepRecord:
    """The record of a text's first token: nothing stands before it, so nothing predicts it."""
    return StepRecord(
        sample=0,
        position=0,
        token=BareToken.of(tokenizer, token),
        candidates=(),
        other=None,
        entropy_bits=None,
        surprisal_bits=None,
        stages=(),
    )
