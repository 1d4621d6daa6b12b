"""Computes the logits at every position of a text of any length, each with the context that sampling would use."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from minigpt.models.baselines import Baseline
from minigpt.models.decoder import read_stretches
from minigpt.models.kinds import Model
from minigpt.models.kv_cache import window_start


def position_logits(model: Model, ids: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """(position, logits [V] for it) for every position but the first, window by window as in sampling."""
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
