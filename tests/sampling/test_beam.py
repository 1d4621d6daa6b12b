"""Beam search by hand: a decoder that answers from a table."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from minigpt.sampling.beam import beam_search

END = 3
# After a beginning, the probabilities of 0, 1, 2 and END. Greedy takes 0, whose continuations are all improbable.
TABLE = {
    (): [0.5, 0.4, 0.05, 0.05],
    (0,): [0.3, 0.25, 0.25, 0.2],
    (1,): [0.05, 0.025, 0.025, 0.9],
}
LATER = [0.1, 0.1, 0.1, 0.7]


class Table:
    """A `Decoder` that knows its texts."""

    start = 0

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        assert list(ids) == [7, END]
        self.rows: list[tuple[int, ...]] = [()]
        return self.logits()

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        self.rows = [(*row, token) for row, token in zip(self.rows, tokens, strict=True)]
        return self.logits()

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in rows]

    def logits(self) -> np.ndarray:
        return np.log(np.array([TABLE.get(row, LATER) for row in self.rows])).astype(np.float32)


def found(width: int, max_tokens: int = 5) -> list[tuple[tuple[int, ...], float, str]]:
    hypotheses = beam_search(Table(), [7, END], END, width, max_tokens)
    return [(each.ids, round(math.exp(each.log_prob_nats), 6), each.stopped_by) for each in hypotheses]


def test_one_beam_is_greedy() -> None:
    assert found(1) == [((0, 0, END), 0.105, "end-of-text")]


def test_two_beams_find_what_greedy_misses() -> None:
    assert found(2)[0] == ((1, END), 0.36, "end-of-text")


def test_targets_are_ordered_by_the_mean_log_probability_of_a_token() -> None:
    scores = [each.score for each in beam_search(Table(), [7, END], END, 4, 5)]
    assert scores == sorted(scores, reverse=True)
    best = beam_search(Table(), [7, END], END, 4, 5)[0]
    assert best.score == pytest.approx(math.log(0.36) / 2)


def test_a_search_ends_at_the_most_tokens() -> None:
    assert found(1, max_tokens=2) == [((0, 0), 0.15, "max-tokens")]
    assert found(2, max_tokens=1) == [((0,), 0.5, "max-tokens"), ((1,), 0.4, "max-tokens")]
