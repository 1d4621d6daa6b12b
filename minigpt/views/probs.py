"""A text in; the distribution after it, or behind every one of its tokens, out."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minigpt.models.baselines import Baseline
from minigpt.models.kinds import Model, decoder_for
from minigpt.models.kv_cache import window_start
from minigpt.models.stream_decoder import read_stretches
from minigpt.sampling.distribution import distribution, step_record, token_text
from minigpt.sampling.records import BareToken, StepRecord
from minigpt.text.records import Token
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.records import TextScore


def next_token(model: Model, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> StepRecord:
    """What comes after `ids` (one or more): the softmax of the logits, nothing filtered, nothing drawn."""
    logits_V = decoder_for(model).prefill(ids)
    return step_record(distribution(logits_V), tokenizer.token_bytes, position=len(ids), top=top)


def every_token(model: Model, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> Iterator[StepRecord]:
    """One record for each of `ids`, seen from the ones before it. The first has no context, hence no numbers.

    A text beyond the context is read in windows that overlap, each token in the very window in which sampling would
    see it; one window of logits is held at a time.
    """
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


def perplexity(total_nats: float, tokens: int) -> float | None:
    """exp(nats per token). None without a token, or where it is too large for a float, as of a diverged model."""
    try:
        return math.exp(total_nats / tokens) if tokens else None
    except OverflowError:
        return None


def named_token(tokenizer: Tokenizer, token: int) -> Token:
    """A token by its id, without numbers."""
    data = tokenizer.token_bytes(token)
    return Token(id=token, text=token_text(data), bytes=data.hex())


def first_token(tokenizer: Tokenizer, token: int) -> StepRecord:
    """The record of a text's first token: nothing stands before it, so nothing predicts it."""
    data = tokenizer.token_bytes(token)
    return StepRecord(
        sample=0,
        position=0,
        token=BareToken(id=token, text=token_text(data), bytes=data.hex()),
        candidates=(),
        other=None,
        entropy_bits=None,
        surprisal_bits=None,
        stages=(),
    )


def surprisal(logits_V: Tensor, token: int) -> float:
    """-log2 of the probability of `token`, in float64; 0 or more."""
    logits_V = logits_V.cpu().double()
    return max(0.0, float(logits_V.logsumexp(-1) - logits_V[token])) / math.log(2)


def position_logits(model: Model, ids: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """(position, logits [V] for it) for every position but the first, window by window, as sampling would see them."""
    if isinstance(model, Baseline):
        stretches = read_stretches(model, ids[:-1])
        yield from enumerate((logits_V for logits_TV, _ in stretches for logits_V in logits_TV), start=1)
        return
    context = model.config.context
    position = 1
    while position < len(ids):
        start = window_start(position, context)
        end = min(start + context, len(ids) - 1)  # this window's last token predicts ids[end]
        with torch.inference_mode():
            logits_TV = model(torch.tensor([ids[start:end]], device=model.device))[0]
        for row in range(position - 1 - start, end - start):
            yield start + row + 1, logits_TV[row]
        position = end + 1
