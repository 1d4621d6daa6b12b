"""Compares the logits of cached decoding with those of full passes over the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from minigpt.models.decoder import window_logits
from minigpt.models.window import window_start
from minigpt.sampling.records import CacheReport

if TYPE_CHECKING:
    from minigpt.models.network import AnyModel


@dataclass
class _Held:
    """Steps of one sample that share a window: the ids up to the last of them, and the logits [V] of each."""

    start: int
    ids: Sequence[int] = ()
    logits: list[np.ndarray] = field(default_factory=list)


class CacheCheck:
    """Compares cached logits with full passes: `watch` every step, then ask for the `report`.

    Steps are collected until their window is full; then the window goes through the model at once, without a cache.
    Both see the same window, because a text beyond the context is read in windows that advance by half.
    """

    def __init__(self, model: AnyModel) -> None:
        self._model = model
        self._held: dict[int, _Held] = {}
        self._steps, self._largest, self._at = 0, 0.0, (0, 0)

    def watch(self, sample: int, ids: Sequence[int], logits_V: np.ndarray) -> None:
        """Take the logits [V] after `ids`, as the cache gave them."""
        start = window_start(len(ids), self._model.config.limit)
        held = self._held.setdefault(sample, _Held(start))
        if held.start != start:
            self._compare(sample, held)
            held = self._held[sample] = _Held(start)
        held.ids = tuple(ids)
        held.logits.append(logits_V.copy())

    def report(self) -> CacheReport:
        """The comparison over all steps so far."""
        for sample, held in self._held.items():
            self._compare(sample, held)
        self._held.clear()
        sample, position = self._at
        return CacheReport(steps=self._steps, largest_difference=self._largest, sample=sample, position=position)

    def _compare(self, sample: int, held: _Held) -> None:
        read_TV = np.concatenate(list(window_logits(self._model, held.ids[held.start :])))
        last_TV = read_TV[-len(held.logits) :]
        difference_T = np.abs(last_TV - np.stack(held.logits)).max(-1)
        step = int(difference_T.argmax())
        largest = float(difference_T[step])
        self._steps += len(held.logits)
        if not largest <= self._largest:
            self._largest, self._at = largest, (sample, len(held.ids) - len(held.logits) + 1 + step)
