"""What a GPT that continues a cache can do, whatever computes it: C (native.py) or torch (torch_network.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np

from minigpt.models.native import NativeGPT
from minigpt.settings import ModelConfig

if TYPE_CHECKING:
    from minigpt.models.baselines import Baseline
    from minigpt.models.encoder_decoder import EncoderDecoder
    from minigpt.models.gpt import GPT

    AnyModel = GPT | Baseline | EncoderDecoder | NativeGPT

Autocast = Callable[[], AbstractContextManager[object]]  # the context in which torch computes logits
Column = Any  # what a cache holds of one token: a decoder gives it and takes it back

NOT_SCORED = -100  # the target that is left out, as cross_entropy does


def is_gpt(model: AnyModel) -> TypeGuard[GPT | NativeGPT]:
    """Whether the model is a GPT, of torch's or of C, rather than a recurrent one."""
    return model.config.model == "gpt"


def dtype_of(model: AnyModel) -> str:
    """The type of the weights, such as float32."""
    return model.dtype if isinstance(model, NativeGPT) else str(model.wte.weight.dtype).removeprefix("torch.")


class Cache(Protocol):
    """What a GPT keeps of several sequences that grow together; `length` positions are filled."""

    length: int

    @property
    def column_bytes(self) -> int:
        """The size of one of the `columns`."""

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these sequences only, numbered from 0."""

    def repeat_first(self) -> None:
        """Copy the first sequence to all others."""

    def columns(self, first: int) -> list[Column]:
        """Copies of what a single sequence has for each of its tokens from `first` on."""

    def put(self, columns: Sequence[Column]) -> None:
        """Append what `columns` gave for the same tokens in the same places."""


class Network(Protocol):
    """A GPT that continues a cache."""

    config: ModelConfig

    def new_cache(self, sequences: int = 1) -> Any:
        """An empty cache."""

    def read(self, ids: Sequence[Sequence[int]], cache: Any, *, every: bool = False) -> np.ndarray:
        """Append `ids` [B, T] to the first B sequences of `cache`; returns the logits [B, V] after the last ones, or
        [B, T, V] after `every` one."""

    def nats(self, ids: np.ndarray, targets: np.ndarray, cache: Any) -> np.ndarray:
        """Append `ids` [B, T]; returns the loss [B, T] of `targets` in nats, in float64, and 0 for NOT_SCORED."""
