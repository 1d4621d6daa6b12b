"""Decoding token by token: one protocol for every kind of model, whether it keeps a cache or a state."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.arrays import as_array
from minigpt.models.baselines import Baseline, State
from minigpt.models.flat_step import SPLIT_WIDTH, FlatStep
from minigpt.models.gpt import GPT
from minigpt.models.kinds import Model
from minigpt.models.kv_cache import KVCache, window_start
from minigpt.models.native import NativeStep, is_native
from minigpt.models.threads import StepThreads, one_thread_but_for_steps, step_threads

Autocast = Callable[[], AbstractContextManager[object]]  # the context in which logits are computed
Column = Any  # what a cache holds of one token: a decoder gives it and takes it back

NOT_SCORED = -100  # a target that is left out


@contextmanager
def decoding_threads(model: Model) -> Iterator[None]:
    """Use one thread for a narrow model on a CPU.

    Two are no faster, and 40 times slower when another program occupies one of the cores. step.c still chooses its own
    number of threads at every step.
    """
    narrow = model.config.width < SPLIT_WIDTH and model.device.type == "cpu"
    with one_thread_but_for_steps() if narrow else nullcontext():
        yield


class Decoder(Protocol):
    """Reads a batch of one or more texts that share their beginning and stay equally long.

    `start` is the index of the first token that the model still sees.
    """

    start: int

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        """Read `ids` (one or more) as the beginning of every row; returns the float32 logits [B, V] after the last."""

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        """Append a token to each row; returns the float32 logits [B, V] after them."""

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows only, numbered from 0."""


def decoder_for(model: Model, rows: int = 1) -> Decoder:
    """A decoder for this kind of model, with a batch of `rows` texts."""
    return StateDecoder(model, rows) if isinstance(model, Baseline) else CachedDecoder(model, rows)


class CachedDecoder:
    """A `Decoder` for a GPT, whose window advances when it is full. `ids` are all tokens of each row so far."""

    def __init__(self, model: GPT, rows: int = 1) -> None:
        self.model = model
        self.cache = KVCache(model.config, rows, device=model.device, dtype=model.wte.weight.dtype)
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self.start = 0
        self._single_step: Callable[[int], Tensor] | None = None

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        return self.read(ids, last_only=True).repeat(len(self.ids), axis=0)

    def read(self, ids: Sequence[int], *, last_only: bool = False) -> np.ndarray:
        """Like `prefill`, with the logits [T, V] after every token of the window."""
        self.ids = [list(ids) for _ in self.ids]
        return as_array(self._read_window(1, last_only=last_only)[0])

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        for row, token in zip(self.ids, tokens, strict=True):
            row.append(token)
        if window_start(len(self.ids[0]), self.model.config.context) != self.start:
            return as_array(self._read_window(len(self.ids), last_only=True)[:, 0])
        if len(tokens) > 1:
            return as_array(self._forward([[token] for token in tokens])[:, 0])
        if self._single_step is None:
            self._single_step = self._make_single_step()
        return as_array(self._single_step(tokens[0])[None])

    def keep(self, rows: Sequence[int]) -> None:
        self.ids = [self.ids[row] for row in rows]
        self.cache.kv = self.cache.kv.index_select(2, torch.tensor(rows, device=self.model.device))
        self._single_step = None  # it holds the addresses of the old cache

    @property
    def column_bytes(self) -> int:
        """The size of one of the `columns`."""
        return self.cache.kv[:, :, :1, :, :1].numel() * self.cache.kv.element_size()

    def columns(self, first: int) -> tuple[Column, ...]:
        """Copies [layers, 2, 1, H, D] of the single row's keys and values, one per token of the window from `first`."""
        return self.cache.kv[:, :, :, :, first : self.cache.length].clone().unbind(4)

    def resume(self, ids: Sequence[int], cached: int, columns: Sequence[Column]) -> None:
        """Move the single row behind `ids` without running the model.

        The cache holds the first `cached` tokens of their window; `columns` are those of the rest, from when the same
        tokens were in the same places.
        """
        self.ids, self.start = [list(ids)], window_start(len(ids), self.model.config.context)
        self.cache.length = cached + len(columns)
        if columns:
            self.cache.kv[:, :, :, :, cached : self.cache.length] = torch.stack(tuple(columns), dim=4)

    def _read_window(self, rows: int, *, last_only: bool) -> Tensor:
        """Fill the cache with the current window of the first `rows`; the other rows are copies of the first."""
        self.start = window_start(len(self.ids[0]), self.model.config.context)
        every, self.cache.length = self.cache.kv, 0
        self.cache.kv = every[:, :, :rows]
        logits_BTV = self._forward([row[self.start :] for row in self.ids[:rows]], last_only=last_only)
        every[:, :, rows:] = every[:, :, :1]
        self.cache.kv = every
        return logits_BTV

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]], *, last_only: bool = True) -> Tensor:
        return self.model(torch.tensor(ids, device=self.model.device), self.cache, last_only=last_only)

    def _make_single_step(self) -> Callable[[int], Tensor]:
        """Make the step for a single row."""
        if not is_native(self.model):  # torch's products would change in their last bits with the number of threads
            return FlatStep(self.model, self.cache, torch.get_num_threads())
        return StepThreads(step_threads())(NativeStep(self.model, self.cache))


class StateDecoder:
    """A `Decoder` for a recurrent model, whose state covers all tokens so far, without a window."""

    start = 0

    def __init__(self, model: Baseline, rows: int = 1) -> None:
        self.model, self._rows = model, rows
        self._state: State = ()

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for logits_TV, state in read_stretches(self.model, ids, last_only=True):
            last_V, self._state = logits_TV[-1], state
        self._state = tuple(part.expand(self._rows, *part.shape[1:]) for part in self._state)
        return as_array(last_V)[None].repeat(self._rows, axis=0)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> np.ndarray:
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        logits_BTV, self._state = self.model.read(ids, self._state)
        return as_array(logits_BTV[:, 0])

    def keep(self, rows: Sequence[int]) -> None:
        self._state = tuple(part[list(rows)] for part in self._state)


@torch.inference_mode()
def read_stretches(model: Baseline, ids: Sequence[int], *, last_only: bool = False) -> Iterator[tuple[Tensor, State]]:
    """Logits [T, V] after each of `ids`, and the state; reads one context length at a time to limit memory."""
    state: State | None = None
    for first in range(0, len(ids), model.config.context):
        stretch = torch.tensor([ids[first : first + model.config.context]], device=model.device)
        logits_BTV, state = model.read(stretch, state, last_only=last_only)
        yield logits_BTV[0], state


def position_logits(model: Model, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(position, float32 logits [V] for it) for every position but the first, window by window as in sampling."""
    if isinstance(model, Baseline):
        stretches = read_stretches(model, ids[:-1])
        yield from enumerate((logits_V for logits_TV, _ in stretches for logits_V in as_array(logits_TV)), start=1)
        return
    context = model.config.context
    position = 1
    while position < len(ids):
        start = window_start(position, context)
        end = min(start + context, len(ids) - 1)  # this window's last token predicts ids[end]
        logits_TV = window_logits(model, ids[start:end])
        for row in range(position - 1 - start, end - start):
            yield start + row + 1, logits_TV[row]
        position = end + 1


@torch.inference_mode()
def window_logits(model: Model, ids: Sequence[int]) -> np.ndarray:
    """The float32 logits [T, V] after each of `ids`, which the model reads in one pass without a cache."""
    return as_array(model(torch.tensor([list(ids)], device=model.device))[0])


@torch.inference_mode()
def target_nats(model: Model, x_BT: np.ndarray, y_BT: np.ndarray, autocast: Autocast | None = None) -> np.ndarray:
    """The loss in nats [B, T], float64, of each target in `y_BT` after the ids in `x_BT`, both int64.

    A target of NOT_SCORED costs nothing. Logits are in float32, or as `autocast` has it.
    """
    x, y = (torch.from_numpy(ids).to(model.device) for ids in (x_BT, y_BT))
    with nullcontext() if autocast is None else autocast():
        logits_BTV = model(x)
    return _nats(logits_BTV, y)


@torch.inference_mode()
def stream_nats(
    model: Baseline, ids_T: np.ndarray, state: State | None, autocast: Autocast | None = None
) -> tuple[np.ndarray, State]:
    """The loss in nats [T - 1], float64, of all but the first of `ids_T` (int64), which continue from `state`; and the
    state before the last.
    """
    ids_BT = torch.from_numpy(ids_T).to(model.device)[None]
    with nullcontext() if autocast is None else autocast():
        logits_BTV, state = model.read(ids_BT[:, :-1], state)
    return _nats(logits_BTV, ids_BT[:, 1:])[0], state


def _nats(logits_BTV: Tensor, y_BT: Tensor) -> np.ndarray:
    losses = F.cross_entropy(
        logits_BTV.float().flatten(0, 1), y_BT.flatten(), ignore_index=NOT_SCORED, reduction="none"
    )
    return as_array(losses).reshape(y_BT.shape).astype(np.float64)
