"""A GPT's shape and the name of one of its parts in; the GPT without that part out."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minigpt.models.gpt import GPT
from minigpt.models.positions import give_positions
from minigpt.settings import ModelConfig

PARTS = ("gpt", "no-positions", "one-head", "no-attention", "no-mlp")  # the whole one first


class _Nothing(nn.Module):
    """Stands where attention or an MLP stood, and adds nothing to the stream."""

    def forward(self, x_BTC: Tensor, *_: object) -> Tensor:
        return torch.zeros_like(x_BTC)


def ablated(config: ModelConfig, part: str, seed: int) -> GPT:
    """Initialised. The weights of a missing part are missing too, and nothing makes up for them; one head is as wide as
    all were together, so that only their number changes.
    """
    assert part in PARTS
    if part == "one-head":
        config = replace(config, heads=1)
    model = GPT(config).initialise(torch.Generator().manual_seed(seed))
    if part == "no-positions":
        return give_positions(model, "none")
    for block in model.blocks:
        if part == "no-attention":
            block.attn = _Nothing()  # type: ignore[assignment]
        elif part == "no-mlp":
            block.mlp = _Nothing()  # type: ignore[assignment]
    return model


def learned_parameters(model: GPT) -> int:
    """Those that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
