"""Decoding token by token, and passes over whole texts: one protocol for every kind of model.

Logits are float32 arrays, whatever computes them: C (native.py) or torch (torch_network.py), which is imported only for
a model of torch's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from minigpt.models.native import NativeGPT
from minigpt.models.network import Autocast, Cache, Column, Network, is_gpt
from minigpt.models.window import window_start

if TYPE_CHECKING:
    from minigpt.models.baselines import Baseline
    from minigpt.models.gpt import GPT
    from minigpt.models.network import AnyModel

_STRETCH = 256  # tokens of a text whose logits are in memory at once


class Decoder(Protocol):
    """Reads a batch of one or more texts that share their beginning and stay equally long.

    `start` is the index of the first token that the model still sees.
    """

    start: int

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        """Read `ids` (one or more) as the beginning of every row; returns the logits [B, V] after the last."""

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        """Append a token to each row; returns the logits [B, V] after them."""

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows only, numbered from 0."""


def decoder_for(model: AnyModel, rows: int = 1) -> Decoder:
    """A decoder for this kind of model, with a batch of `rows` texts."""
    if is_gpt(model):
        return CachedDecoder(model, rows)
    from minigpt.models.state_decoder import StateDecoder

    return StateDecoder(cast("Baseline", model), rows)


def decoding_threads(model: AnyModel) -> AbstractContextManager[None]:
    """Use one thread for a narrow model of torch's on a CPU.

    Two are no faster, and 40 times slower when another program occupies one of the cores. A NativeGPT chooses its own
    number.
    """
    if isinstance(model, NativeGPT):
        return nullcontext()
    from minigpt.models.torch_network import decoding_threads as of_torch

    return of_torch(model)


def network_of(model: GPT | NativeGPT) -> Network:
    """The network that computes a GPT's logits: itself, or C on the same weights, or torch."""
    if isinstance(model, NativeGPT):
        return model
    from minigpt.models.torch_network import network

    return network(model)


class CachedDecoder:
    """A `Decoder` for a GPT, whose window advances when it is full. `ids` are all tokens of each row so far."""

    def __init__(self, model: GPT | NativeGPT, rows: int = 1) -> None:
        self.network = network_of(model)
        self.cache: Cache = self.network.new_cache(rows)
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self.start = 0

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        self.ids = [list(ids) for _ in self.ids]
        return self._read_window(1).repeat(len(self.ids), axis=0)

    def read(self, ids: Sequence[int]) -> np.ndarray:
        """Like `prefill`, with the logits [T, V] after every token of the window."""
        self.ids = [list(ids) for _ in self.ids]
        return self._read_window(1, every=True)[0]

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        for row, token in zip(self.ids, tokens, strict=True):
            row.append(token)
        if window_start(len(self.ids[0]), self.network.config.context) != self.start:
            return self._read_window(len(self.ids))
        return self.network.read([[token] for token in tokens], self.cache)

    def keep(self, rows: Sequence[int]) -> None:
        self.ids = [self.ids[row] for row in rows]
        self.cache.keep(rows)

    def resume(self, ids: Sequence[int], cached: int, columns: Sequence[Column]) -> None:
        """Move the single row behind `ids` without running the model.

        The cache holds the first `cached` tokens of their window; `columns` are those that it had of the rest, when the
        same tokens were in the same places.
        """
        self.ids, self.start = [list(ids)], window_start(len(ids), self.network.config.context)
        self.cache.length = cached
        self.cache.put(columns)

    def _read_window(self, rows: int, *, every: bool = False) -> np.ndarray:
        """Fill the cache with the current window of the first `rows`; the other rows are copies of the first."""
        self.start = window_start(len(self.ids[0]), self.network.config.context)
        self.cache.length = 0
        logits = self.network.read([row[self.start :] for row in self.ids[:rows]], self.cache, every=every)
        if rows < len(self.ids):
            self.cache.repeat_first()
        return logits


def window_logits(model: AnyModel, ids: Sequence[int]) -> Iterator[np.ndarray]:
    """The logits [T, V] after each of `ids`, which a GPT sees at once, some tokens at a time."""
    if not is_gpt(model):
        from minigpt.models.state_decoder import read_stretches

        for logits_TV, _ in read_stretches(cast("Baseline", model), ids):
            yield logits_TV.float().cpu().numpy()
        return
    network = network_of(model)
    cache = network.new_cache()
    for first in range(0, len(ids), _STRETCH):
        yield network.read([list(ids[first : first + _STRETCH])], cache, every=True)[0]


def position_logits(model: AnyModel, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(position, logits [V] for it) for every position but the first, window by window as in sampling."""
    if not is_gpt(model):
        yield from enumerate(
            (logits_V for logits_TV in window_logits(model, ids[:-1]) for logits_V in logits_TV), start=1
        )
        return
    context = model.config.context
    position = 1
    while position < len(ids):
        start = window_start(position, context)
        end = min(start + context, len(ids) - 1)  # this window's last token predicts ids[end]
        after = start  # the token that the next row of logits follows
        for logits_TV in window_logits(model, ids[start:end]):
            for logits_V in logits_TV:
                after += 1
                if after >= position:
                    yield after, logits_V
        position = end + 1


def target_nats(model: AnyModel, ids: np.ndarray, targets: np.ndarray, autocast: Autocast | None = None) -> np.ndarray:
    """The loss [B, T] in nats, in float64, of `targets` [B, T] after `ids` [B, T]; 0 for targets of NOT_SCORED.

    `autocast`: in which torch computes, as its name says.
    """
    if autocast is None and is_gpt(model) and isinstance(network := network_of(model), NativeGPT):
        return network.nats(ids, targets, network.new_cache(len(ids)))
    from minigpt.models.torch_network import target_nats as of_torch

    return of_torch(cast("GPT | Baseline", model), ids, targets, autocast)
