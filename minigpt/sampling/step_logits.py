"""A step's best logits, and the log-sum-exp of the rest at many temperatures: what a page computes its funnels from.

A softmax over the best logits alone is not the model's: what is not listed must be in the denominator. It depends on
the temperature, so it is computed here for each of a fixed set, over the whole vocabulary and in float64.
"""

import math
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from minigpt.sampling.distribution import TokenBytes, distribution, step_record, sum_without
from minigpt.sampling.filters import SamplingStage, look_back
from minigpt.sampling.records import StepLogits, StepRecord
from minigpt.settings import TEMPERATURES


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
    """What is needed to recompute `step`, made from `logits_V` [V]: its `best` largest logits, and the rest summed.

    Stages that change the logits of single tokens, such as penalties and biases, must come first; their effect is fixed
    in the listed logits.
    """
    logits_V = raw_logits_V = logits_V.cpu().double()
    history_T = torch.as_tensor(history if look_back(stages) else (), dtype=torch.long)
    changes = list(takewhile(lambda stage: stage.spec.by_token, stages))
    for stage in changes:
        logits_V = stage.apply(logits_V, history_T)
    stages = stages[len(changes) :]
    assert not any(stage.spec.by_token for stage in stages)
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
        sigma=float(logits_V.std(correction=0)),
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
    """Computed one temperature at a time: all at once would need a matrix of megabytes, and be several times slower."""
    if not len(below_R):
        return None
    largest = float(below_R.max())
    found = largest / temperature + math.log(float(((below_R - largest) / temperature).exp().sum()))
    return None if found == -math.inf else found
