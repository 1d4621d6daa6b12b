"""What a GPT that continues a cache can do, whatever computes it: C (native.py) or torch (torch_network.py)."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minigpt.settings import ModelConfig

NOT_SCORED = -100  # the target that is left out


class Cache(Protocol):
    """What a GPT keeps of several sequences that grow together; `length` positions are filled."""

    length: int

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these sequences only, numbered from 0."""

    def repeat_first(self) -> None:
        """Copy the first sequence to all others."""

    def columns(self, first: int) -> list[Any]:
        """Copies of what a single sequence has for each of its tokens from `first` on."""

    def put(self, columns: Sequence[Any]) -> None:
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
