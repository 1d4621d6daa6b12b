"""The keys and values of earlier tokens, so that a new token costs one forward step instead of a pass over the text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.settings import ModelConfig


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

    @property
    def column_bytes(self) -> int:
        """The size of one of the `columns`."""
        return self.kv[:, :, :1, :, :1].numel() * self.kv.element_size()

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows only, numbered from 0."""
        self.kv = self.kv.index_select(2, torch.tensor(rows, device=self.kv.device))

    def repeat_first(self) -> None:
        """Copy the first row to all others."""
        self.kv[:, :, 1:] = self.kv[:, :, :1]

    def columns(self, first: int) -> list[Tensor]:
        """Copies [layers, 2, 1, H, D] of a single row's keys and values, one for each token from `first` on."""
        return list(self.kv[:, :, :, :, first : self.length].clone().unbind(4))

    def put(self, columns: Sequence[Tensor]) -> None:
        """Append what `columns` gave for the same tokens in the same places."""
        if columns:
            self.kv[:, :, :, :, self.length : self.length + len(columns)] = torch.stack(tuple(columns), dim=4)
        self.length += len(columns)
