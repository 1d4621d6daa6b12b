"""By how many bits one distribution misses another: by hand, and at the edges."""

import math

import numpy as np
import pytest

from minigpt.sampling.distribution import divergence_bits


def test_it_is_the_sum_by_hand() -> None:
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    by_hand = 0.5 * math.log2(0.5 / 0.25) + 0.25 * math.log2(0.25 / 0.5)
    assert divergence_bits(np.log(p), np.log(q)) == pytest.approx(by_hand)
    assert divergence_bits(np.log(p) + 7, np.log(q) - 3) == pytest.approx(by_hand)  # logits have no zero of their own


def test_it_is_not_symmetric_and_never_below_zero() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        p, q = random.standard_normal((2, 1000), np.float32)
        assert divergence_bits(p, q) != divergence_bits(q, p)
        assert divergence_bits(p, q) > 0
        assert 0 <= divergence_bits(p, p + 1) < 1e-6  # rounding in float32


def test_logits_far_apart_stay_finite() -> None:
    assert divergence_bits(np.array([0.0, 0.0]), np.array([0.0, -1e4])) == pytest.approx(0.5 * 1e4 / math.log(2) - 1)
