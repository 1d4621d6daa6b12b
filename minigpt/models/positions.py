"""Replaces a GPT's learned table of positions by a fixed one.

What is given stands in `wpe`, as what is learned does, so that the checkpoint is a GPT-2 like any other.
"""

import torch
from torch import Tensor

from minigpt.models.gpt import GPT

# Of the sinusoids. Token vectors begin at a standard deviation of 0.02, and what is much larger drowns the other in the
# first layer norm. Python's reference, nano, 300 steps, bits per byte: 0.02 1.973, 0.05 1.902,
# 0.1 1.864, 0.3 1.923, 1 2.563.
AMPLITUDE = 0.1


def sinusoids(context: int, width: int) -> Tensor:
    """[T, C]: channels 2i and 2i + 1 hold the sine and cosine of position / 10,000^(2i / C).

    The wavelengths go from 2π to nearly 10,000 · 2π, and the row at a fixed offset is a rotation of this one, the same
    for every position. Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    channels_C = torch.arange(width, dtype=torch.float64)
    rates_C = 10_000.0 ** -(channels_C.div(2, rounding_mode="floor") * 2 / width)
    angles_TC = torch.arange(context, dtype=torch.float64)[:, None] * rates_C
    # A cosine is a sine a quarter of a turn ahead.
    return (angles_TC + channels_C % 2 * (torch.pi / 2)).sin().float()


def give_positions(model: GPT, kind: str) -> GPT:
    """Set the positions: learned leaves the model as it is; sinusoidal is `sinusoids` times AMPLITUDE; none is zeros.

    Fixed positions are frozen. Without positions a causal model can still infer some order from how many tokens each
    one sees (Haviv et al., "Transformer Language Models without Positional Encodings Still Learn Positional
    Information", 2022).
    """
    if kind == "learned":
        return model
    with torch.no_grad():
        table = sinusoids(*model.wpe.weight.shape).mul_(AMPLITUDE) if kind == "sinusoidal" else torch.tensor(0.0)
        model.wpe.weight.copy_(table)
    model.wpe.weight.requires_grad_(False)
    return model
