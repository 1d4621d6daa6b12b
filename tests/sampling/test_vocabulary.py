"""The arithmetic over a whole vocabulary, as C computes it on each kind of processor, and as NumPy does."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from minigpt.models.forward_library import forward_library
from minigpt.sampling import vocabulary
from minigpt.sampling.vocabulary import best_ids, draw, list_tokens, softmax_into

SIZES = [1, 2, 15, 16, 17, 65, 257, 5000]


@pytest.fixture(params=[0, 1, 3, 4], ids=["numpy", "base", "v3", "v4"], autouse=True)
def computed_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """NumPy, or C for a kind of processor, or for the best that this one is of."""
    library = forward_library()
    if not request.param:
        monkeypatch.setattr(vocabulary, "forward_library", lambda: None)
    elif library is None:
        pytest.skip("forward.c is not compiled")
    else:
        library.forward_level(request.param)
    yield
    if library is not None:
        library.forward_level(4)


def logits_of(size: int, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(size).normal(size=size) * scale


def rows_of(logits_V: np.ndarray, others: int = 1) -> np.ndarray:
    """The logits, and their distributions at a temperature of 1, 1/2, 1/3 and so on."""
    rows_RV = np.stack([logits_V] * (1 + others))
    for row in range(1, 1 + others):
        softmax_into(logits_V * row, rows_RV[row])
    return rows_RV


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 400.0])
def test_softmax_and_entropy_are_exact_but_for_the_last_bits(size: int, scale: float) -> None:
    logits_V = logits_of(size, scale)
    probs_V = np.full(size, np.nan)
    entropy = softmax_into(logits_V, probs_V)
    powers = [math.exp(logit - logits_V.max()) for logit in logits_V.tolist()]
    total = math.fsum(powers)
    expected_V = np.array(powers) / total
    assert np.allclose(probs_V, expected_V, rtol=2e-15, atol=1e-307)
    below = math.fsum(p * float(logits_V.max() - x) for p, x in zip(powers, logits_V.tolist(), strict=True))
    assert entropy == pytest.approx(math.log(total) + below / total, rel=1e-14, abs=1e-15)


def test_logits_that_are_cut_have_no_probability() -> None:
    probs_V = np.empty(40)
    softmax_into(np.where(np.arange(40) % 2, -math.inf, 1.0), probs_V)
    assert probs_V.tolist() == [1 / 20, 0.0] * 20


@pytest.mark.parametrize("damaged", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 7, 31, 39])
def test_the_entropy_tells_that_a_logit_is_not_finite(damaged: float, at: int) -> None:
    logits_V = logits_of(40)
    logits_V[at] = damaged
    assert math.isnan(softmax_into(logits_V, np.empty(40)))


@pytest.mark.parametrize("size", SIZES)
def test_a_draw_is_the_first_token_beyond_its_part_of_the_sum(size: int) -> None:
    probs_V = rows_of(logits_of(size))[1]
    probs_V[1::3] = 0
    sums = np.cumsum(probs_V).tolist()
    for uniform in [0.0, 1 - 2**-53, *np.random.default_rng(0).random(50).tolist()]:
        token = draw(probs_V, uniform)
        assert sums[token] >= uniform * sums[-1]
        assert token == 0 or sums[token - 1] <= uniform * sums[-1]
        assert probs_V[token] > 0


def test_a_draw_at_the_very_end_is_the_last_token_that_is_left() -> None:
    assert draw(np.array([0.1, 0.2, 0.3, 0.0]), 1.0) == 2
    assert draw(np.array([0.0, 0.7, 0.3]), 0.0) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("others", [1, 3])
def test_a_listing_is_the_best_tokens_then_those_asked_for_and_the_others_summed(size: int, others: int) -> None:
    logits_V = logits_of(size).round(1)  # with equal ones
    rows_RV = rows_of(logits_V, others)
    before = rows_RV.copy()
    order = sorted(range(size), key=lambda token: (-logits_V[token], token))
    for top, asked in [
        (10, [size - 1]),
        (1, [0, size // 2, 0]),
        (0, [size // 3]),
        (3, []),
        (size, [0]),
        (70, []),
        (0, []),
    ]:
        found = list_tokens(rows_RV, top, asked)
        ids = list(dict.fromkeys([*order[:top], *asked]))
        assert found.ids == ids
        assert found.ranks == [1 + sum(logits_V > logits_V[token]) for token in ids]
        assert found.logits == logits_V[ids].tolist()
        assert found.probs == rows_RV[1:, ids].tolist()
        rest = [math.fsum(p for token, p in enumerate(row.tolist()) if token not in ids) for row in rows_RV[1:]]
        assert found.rest == pytest.approx(rest, rel=1e-14, abs=1e-300)
    assert np.array_equal(rows_RV, before)


@pytest.mark.parametrize("unknown", [-1, 5, 2**40])
def test_an_unknown_token_is_not_read(unknown: int) -> None:
    with pytest.raises(IndexError, match=f"There is no token {unknown} in a vocabulary of 5"):
        list_tokens(rows_of(logits_of(5)), 2, [3, unknown])


def test_what_is_not_listed_is_summed_even_where_it_is_next_to_nothing() -> None:
    rows_RV = rows_of(np.array([50.0, 0.0, 1.0, 0.0]))
    assert list_tokens(rows_RV, 1, []).rest == pytest.approx([(2 + math.e) * math.exp(-50)], rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 5, 40, 50])
def test_the_best_ids_are_those_of_a_plain_sort(n: int) -> None:
    values_V = logits_of(40).round()
    assert best_ids(values_V, n) == sorted(range(40), key=lambda token: (-values_V[token], token))[:n]
