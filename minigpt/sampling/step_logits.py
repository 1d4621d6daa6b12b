"""One step's logits in; its best ones, and the log-sum-exp of the rest at many temperatures, out.

A softmax over the best logits alone is not the model's: what is not listed must be in the denominator. It depends on
the temperature, so it is computed here for each of a fixed set, over the whole vocabulary and in float64.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.sampling.distribution import TokenBytes, distribution, step_record, sum_without
from minigpt.sampling.filters import SamplingStage
from minigpt.sampling.records import StepLogits, StepRecord

TEMPERATURES = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 5.0),
)  # fmt: skip


def step_logits(
    logits_V: Tensor,
    stages: Sequence[SamplingStage],
    history: Sequence[int] | Tensor,
    token_bytes: TokenBytes,
    *,
    step: StepRecord,
    best: int,
    temperatures: Sequence[float] = TEMPERATURES,
) -> StepLogits:
    """What `step`, made of `logits_V` [V], needs to be computed again: its `best` largest logits, and the rest summed.

    A repetition penalty depends on the text before, not on the step: it must be the first of the stages, and is in the
    listed logits for good.
    """
    logits_V = raw_logits_V = logits_V.cpu().double()
    if stages and stages[0].looks_back:
        logits_V = stages[0].apply(logits_V, torch.as_tensor(history, dtype=torch.long))
        stages = stages[1:]
    assert not any(stage.looks_back for stage in stages)
    token = None if step.token is None else step.token.id
    listed = step_record(
        distribution(logits_V, stages), token_bytes, position=step.position, top=best, token=token, sample=step.sample
    )
    ids = [candidate.id for candidate in listed.candidates]
    return StepLogits(
        step=step,
        listed=listed,
        raw_logits=tuple(raw_logits_V[ids].tolist()),
        other_raw_prob=sum_without(raw_logits_V.softmax(-1), ids),
        log_sum=float(raw_logits_V.logsumexp(-1)),
        place=_place(logits_V, ids[-1]),
        temperatures=tuple(temperatures),
        rest_log_sums=_rest_log_sums(logits_V, ids, temperatures),
    )


def _place(logits_V: Tensor, token: int) -> int:
    before_V = logits_V > logits_V[token]
    equal_V = logits_V[:token] == logits_V[token]
    return int(before_V.sum()) + int(equal_V.sum())


def _rest_log_sums(logits_V: Tensor, listed: list[int], temperatures: Sequence[float]) -> tuple[float | None, ...]:
    is_rest_V = torch.ones_like(logits_V, dtype=torch.bool)
    is_rest_V[listed] = False
    below_R = (logits_V - logits_V.max())[is_rest_V]
    return tuple(_log_sum(below_R, temperature) if temperature else None for temperature in temperatures)


def _log_sum(below_R: Tensor, temperature: float) -> float | None:
    """One temperature at a time: all at once would be a matrix of megabytes, and several times as slow."""
    if not len(below_R):
        return None
    largest = float(below_R.max())
    found = largest / temperature + math.log(float(((below_R - largest) / temperature).exp().sum()))
    return None if found == -math.inf else found
