"""Keys and values of the tokens seen so far, so that a new token costs one column and not the whole text."""

import torch
from torch import Tensor

from minigpt.config import ModelConfig


def window_start(length: int, context: int) -> int:
    """The index of the first token that a model with `context` positions looks at when `length` tokens are known.

    GPT-2's positions are learned, so a full window cannot slide by one: its newer half is kept, prefilled again at
    positions 0, 1, ..., and grows from there. Sampling, scoring and every table ask this one function, which is why
    they show the same numbers for the same prefix.
    """
    if length <= context:
        return 0
    step = context - context // 2
    return -(-(length - context) // step) * step


class LayerCache:
    """One layer's keys and values, `kv` [2, batch, heads, context, head width], `length` positions of it filled."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        self.kv = torch.zeros(2, *shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens' [2, B, H, T, D] behind the old ones; views [B, H, S, D] of all keys and values."""
        end = self.length + kv.size(3)
        self.kv[:, :, :, self.length : end] = kv
        self.length = end
        k, v = self.kv[:, :, :, :end].unbind(0)
        return k, v


class KVCache:
    """A cache for every layer of a model."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int = 1,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (batch, config.heads, config.context, config.width // config.heads)
        self.layers = [LayerCache(shape, torch.device(device), dtype) for _ in range(config.layers)]

    @property
    def length(self) -> int:
        """How many tokens are in it."""
        return self.layers[0].length

    def clear(self) -> None:
        """Forget every token; the memory stays."""
        for layer in self.layers:
            layer.length = 0
