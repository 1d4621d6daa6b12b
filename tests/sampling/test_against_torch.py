"""The arithmetic of sampling against torch 2.13's of the same name, in float64, for logits in float32 as a model's are.

What torch decides: softmax, log_softmax, logsumexp, the entropy of torch.distributions, kl_div, cross_entropy, topk, a
sort and its cumulative sum. Up to the last bits, because sums are added in another order.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minigpt.models.decoder import target_nats
from minigpt.models.gpt import GPT
from minigpt.sampling import filters
from minigpt.sampling.distribution import distribution, divergence_bits, surprisal
from minigpt.sampling.filters import build_stages
from minigpt.sampling.vocabulary import best_ids, log_softmax, log_sum_exp, softmax
from minigpt.settings import SampleConfig

NO_HISTORY = np.zeros(0, np.int64)
SHAPES = [(size, scale) for size in (2, 257, 50_257) for scale in (0.01, 3.0, 40.0)]


def pair(size: int, scale: float, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """The same float32 logits [V] as an array, and in float64 as a tensor."""
    logits = (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)
    return logits, torch.from_numpy(logits).double()


@pytest.mark.parametrize(("size", "scale"), SHAPES)
def test_softmax_and_its_logarithm(size: int, scale: float) -> None:
    logits_V, theirs_V = pair(size, scale)
    np.testing.assert_allclose(softmax(logits_V), theirs_V.softmax(-1), rtol=1e-12, atol=0)
    np.testing.assert_allclose(log_softmax(logits_V), theirs_V.log_softmax(-1), rtol=1e-13, atol=1e-13)
    assert log_sum_exp(logits_V) == pytest.approx(float(theirs_V.logsumexp(-1)), rel=1e-13)


@pytest.mark.parametrize(("size", "scale"), SHAPES)
def test_bits(size: int, scale: float) -> None:
    (logits_V, theirs_V), (others_V, their_others_V) = pair(size, scale), pair(size, scale, seed=1)
    entropy = float(torch.distributions.Categorical(logits=theirs_V).entropy()) / math.log(2)
    assert distribution(logits_V).entropy_bits == pytest.approx(entropy, rel=1e-9, abs=1e-12)
    token = size // 2
    assert surprisal(logits_V, token) == pytest.approx(-float(theirs_V.log_softmax(-1)[token]) / math.log(2), rel=1e-12)
    both = their_others_V.log_softmax(-1), theirs_V.log_softmax(-1)
    divergence = float(F.kl_div(*both, reduction="sum", log_target=True)) / math.log(2)
    assert divergence_bits(logits_V, others_V) == pytest.approx(divergence, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("size", "scale"), SHAPES)
def test_the_largest(size: int, scale: float) -> None:
    logits_V, theirs_V = pair(size, scale)
    best = best_ids(logits_V, 40)
    assert logits_V[best].tolist() == theirs_V.topk(min(40, size)).values.tolist()
    kept = filters.top_k(logits_V.astype(np.float64), NO_HISTORY, k=40) > -math.inf
    assert sorted(best) == kept.nonzero()[0].tolist()


@pytest.mark.parametrize(("size", "scale"), SHAPES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95, 0.999, 1 - 1e-9, 1 - 1e-16])
def test_top_p_keeps_as_many_as_a_sort_of_all_says(size: int, scale: float, p: float) -> None:
    """One more or less where the sum is p up to its rounding, in which NumPy and torch may differ."""
    logits_V, theirs_V = pair(size, scale)
    found_V = filters.top_p(logits_V.astype(np.float64), NO_HISTORY, p=p)
    sorted_V, order_V = theirs_V.softmax(-1).sort(descending=True, stable=True)
    sums_V = sorted_V.cumsum(-1) - sorted_V
    kept = int((found_V > -math.inf).sum())
    assert int((sums_V < p - 1e-12).sum()) <= kept <= max(1, int((sums_V < p + 1e-12).sum()))
    assert set((found_V > -math.inf).nonzero()[0]) == set(order_V[:kept].tolist())


@pytest.mark.parametrize("size", [257, 50_257])
@pytest.mark.parametrize("stages", [{"top_p": 1.0}, {"top_p": 0.9}, {"top_k": 5, "top_p": 1.0}, {"min_p": 0.3}])
def test_a_stage_leaves_the_softmax_of_what_it_keeps(size: int, stages: dict[str, float]) -> None:
    """Of many tokens and of few, whose softmax is computed alone."""
    logits_V, theirs_V = pair(size, 3.0)
    dist = distribution(logits_V, build_stages(SampleConfig(temperature=0.7, **stages)))
    kept_V = torch.from_numpy(dist.results[-1].kept_V)
    expected_V = (theirs_V / 0.7).masked_fill(~kept_V, -math.inf).softmax(-1)
    np.testing.assert_allclose(dist.final_V, expected_V, rtol=1e-12, atol=0)


def test_the_loss_of_each_target(model: GPT) -> None:
    ids = np.random.default_rng(0).integers(model.config.vocab_size, size=(3, 10))
    x_BT, y_BT = ids[:, :-1], ids[:, 1:].copy()
    y_BT[0, :4] = -100
    with torch.no_grad():
        logits_BTV = model(torch.from_numpy(x_BT)).double()
    expected = F.cross_entropy(logits_BTV.flatten(0, 1), torch.from_numpy(y_BT).flatten(), reduction="none")
    found_BT = target_nats(model, x_BT, y_BT)
    assert (found_BT.dtype, found_BT.shape) == (np.float64, y_BT.shape)
    np.testing.assert_allclose(found_BT.flatten(), expected, rtol=1e-5, atol=1e-6)
    assert found_BT[0, :4].tolist() == [0, 0, 0, 0]
