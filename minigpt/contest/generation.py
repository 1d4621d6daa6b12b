"""Measures how long each generated token takes, by the number of tokens before it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from minigpt.contest.records import Points
from minigpt.models.decoder import decoder_for, decoding_threads
from minigpt.models.kinds import new_model
from minigpt.settings import ModelConfig

TOKENS = (1, 64, 128, 256, 512, 1024)
_AROUND = 16  # steps whose median is taken: those after this one


def step_costs(config: ModelConfig, device: torch.device, tokens: Sequence[int] = TOKENS) -> Points:
    """(number of the token, milliseconds) for a random model whose context holds all of them."""
    model = new_model(replace(config, context=tokens[-1] + _AROUND + 1))
    model = model.initialise(torch.Generator().manual_seed(0)).to(device).eval()
    with decoding_threads(model):
        decoder = decoder_for(model)
        decoder.prefill([0])
        times = [_timed(decoder.step) for _ in range(tokens[-1] + _AROUND)]
    return tuple((number, 1000 * median(times[number - 1 : number - 1 + _AROUND])) for number in tokens)


def _timed(step: Callable[[Sequence[int]], Tensor]) -> float:
    started = time.perf_counter()
    float(step([0])[0, 0])  # a GPU is waited for
    return time.perf_counter() - started
