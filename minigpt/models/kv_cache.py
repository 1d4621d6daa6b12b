"""The keys and values of earlier tokens, so that a new token costs one forward step instead of a pass over the text."""

import torch
from torch import Tensor

from minigpt.settings import ModelConfig


def window_start(length: int, context: int | None) -> int:
    """The index of the first token that a model with `context` positions sees when `length` tokens are known.

    GPT-2's positions are learned, so a full window cannot slide by one: its newer half is kept, prefilled again at
    positions 0, 1, ..., and grows from there. Sampling, scoring and every table use this one function, which is why
    they agree on the numbers for a prefix. Without a limit (None), a model sees all tokens.
    """
    if context is None or length <= context:
        return 0
    step = window_step(context)
    return -(-(length - context) // step) * step


def window_step(context: int) -> int:
    """The number of tokens by which a full window of `context` advances."""
    return context - context // 2


class KVCache:
    """Keys and values in `kv` [layers, 2, batch, heads, context, head width]; `length` positions are filled."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int = 1,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (config.layers, 2, batch, config.heads, config.context, config.width // config.heads)
        self.kv = torch.zeros(shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, layer: int, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens' [2, B, H, T, D] behind `length`; returns views [B, H, S, D] of all keys and values.

        `length` stays: the model advances it when every layer has written.
        """
        end = self.length + kv.size(3)
        self.kv[layer, :, :, :, self.length : end] = kv
        k, v = self.kv[layer, :, :, :, :end].unbind(0)
        return k, v

    def next_slots(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """For one more token: each layer's slot [2, B, H, 1, D] to write, and two views per layer that include it.

        Does what `append` does for all layers at once, with two calls instead of four per layer.
        """
        slots = self.kv.narrow(4, self.length, 1).unbind(0)
        views = self.kv.narrow(4, 0, self.length + 1).flatten(0, 1).unbind(0)
        return slots, views
