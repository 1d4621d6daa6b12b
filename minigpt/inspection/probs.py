"""A text in; the distribution after it, or behind every one of its tokens, out."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minigpt.models.decoder import Decoder
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import window_start
from minigpt.records import StepRecord, TextScore, Token
from minigpt.sampling.distribution import distribution, step_record, token_text
from minigpt.text.tokenizer import Tokenizer


def next_token(model: GPT, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> StepRecord:
    """What comes after `ids` (one or more): the softmax of the logits, nothing filtered, nothing drawn."""
    logits_V = Decoder(model).prefill(ids)
    return step_record(distribution(logits_V), tokenizer.token_bytes, position=len(ids), top=top)


def every_token(model: GPT, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> Iterator[StepRecord]:
    """One record for each of `ids`, seen from the ones before it. The first has no context, hence no numbers.

    A text beyond the context is read in windows that overlap, each token in the very window in which sampling would
    see it; one window of logits is held at a time.
    """
    if ids:
        yield first_token(tokenizer, ids[0])
    for position, logits_V in _logits(model, ids):
        yield step_record(
            distribution(logits_V),
            tokenizer.token_bytes,
            position=position,
            top=top,
            token=ids[position],
        )


def text_score(records: Iterable[StepRecord]) -> TextScore:
    """Totals over the records that have numbers."""
    scored = [(r.surprisal_bits, len(r.token.bytes) // 2) for r in records if r.token and r.surprisal_bits is not None]
    bits, byte_count = [b for b, _ in scored], sum(n for _, n in scored)
    total_nats = math.fsum(bits) * math.log(2)
    return TextScore(
        tokens=len(bits),
        bytes=byte_count,
        total_nats=total_nats,
        bits_per_byte=math.fsum(bits) / byte_count if byte_count else None,
        perplexity=_exp(total_nats / len(bits)) if bits else None,
    )


def _exp(nats: float) -> float | None:
    """None where it is too large for a float, as it can be for a model whose training diverged."""
    try:
        return math.exp(nats)
    except OverflowError:
        return None


def first_token(tokenizer: Tokenizer, token: int) -> StepRecord:
    """The record of a text's first token: nothing stands before it, so nothing predicts it."""
    data = tokenizer.token_bytes(token)
    return StepRecord(
        sample=0,
        position=0,
        token=Token(id=token, text=token_text(data), bytes=data.hex()),
        candidates=(),
        other=None,
        entropy_bits=None,
        surprisal_bits=None,
        stages=(),
    )


def _logits(model: GPT, ids: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """(position, logits [V] for it) for every position but the first, window by window."""
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
