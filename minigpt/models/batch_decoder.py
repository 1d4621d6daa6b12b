"""Token ids in, one for each of several texts at once; the logits of their next tokens out: one pass for all."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import KVCache, window_start


class BatchDecoder:
    """As `Decoder`, for `batch` texts of equal length that begin alike. A row ends when `keep` leaves it out.

    `ids` are all tokens of each row so far; `start` is the index of the first one that the model still sees.
    """

    def __init__(self, model: GPT, batch: int) -> None:
        self.model = model
        self.cache = KVCache(model.config, batch, device=model.device, dtype=model.wte.weight.dtype)
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self.start = 0

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> Tensor:
        """Read `ids` (one or more), the beginning of every row, once for all; the logits [B, V] after the last."""
        self.ids = [list(ids) for _ in self.ids]
        return self._forward_window(1).expand(len(self.ids), -1)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append a token to each row; the logits [B, V] after them."""
        for row, token in zip(self.ids, tokens, strict=True):
            row.append(token)
        if window_start(len(self.ids[0]), self.model.config.context) != self.start:
            return self._forward_window(len(self.ids))
        return self.model(self._tensor([[token] for token in tokens]), self.cache)[:, 0]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, numbered anew from 0."""
        self.ids = [self.ids[row] for row in rows]
        self.cache.kv = self.cache.kv[:, :, list(rows)]

    def _forward_window(self, rows: int) -> Tensor:
        """Fill the cache anew with what the model now sees of the first `rows`, which all others are like."""
        self.start = window_start(len(self.ids[0]), self.model.config.context)
        every, self.cache.length = self.cache.kv, 0
        self.cache.kv = every[:, :, :rows]
        logits_BV = self.model(self._tensor([row[self.start :] for row in self.ids[:rows]]), self.cache, last_only=True)
        every[:, :, rows:] = every[:, :, :1]
        self.cache.kv = every
        return logits_BV[:, 0]

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        return torch.tensor(ids, device=self.model.device)
