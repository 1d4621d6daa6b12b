"""Measures how many tokens per second a model trains on, by the length of its context."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from minigpt.contest.records import Points
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.training.speed import measure_rate

CONTEXTS = (32, 64, 128, 256, 512)


def training_rates(
    config: ModelConfig,
    settings: TrainConfig,
    device: torch.device,
    tokens_per_step: int,
    contexts: Sequence[int] = CONTEXTS,
) -> Points:
    """(context, tokens per second), with a constant number of tokens per step: as the context doubles, the batch
    halves.
    """
    return tuple(
        (length, measure_rate(replace(config, context=length), device, settings, max(1, tokens_per_step // length)))
        for length in contexts
    )


def rate_at(rates: Points, context: int) -> float:
    """The rate of the measured length nearest to `context`."""
    return min(rates, key=lambda point: abs(point[0] - context))[1]
