"""A step's best logits and the rest summed: a softmax at any of the temperatures must come out as over all tokens."""

import math

import numpy as np
import pytest

from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.filters import build_stages
from minigpt.sampling.page_steps import TEMPERATURES, step_logits
from minigpt.sampling.records import StepLogits
from minigpt.sampling.vocabulary import softmax
from minigpt.settings import SampleConfig

OFF = SampleConfig(temperature=1.0, top_p=1.0)


def letters(token: int) -> bytes:
    return bytes([65 + token % 26])


def random_logits(size: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(size, np.float32) * np.float32(scale))


def entropy_of(probs: np.ndarray) -> float:
    return -math.fsum(p * math.log(p) for p in probs.tolist() if p)


def kept(
    logits: np.ndarray,
    token: int | None = None,
    best: int = 5,
    config: SampleConfig = OFF,
    history: tuple[int, ...] = (0,),
) -> StepLogits:
    stages = build_stages(config)
    step = step_record(distribution(logits, stages, history), letters, position=1, top=2, token=token)
    return step_logits(logits, stages, history, letters, step=step, best=best)


@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
@pytest.mark.parametrize("token", [None, 3, 999])
def test_shares_are_those_of_the_whole_vocabulary_at_every_temperature(scale: float, token: int | None) -> None:
    logits = random_logits(1000, scale=scale)
    found = kept(logits, token)
    for temperature, log_sum in zip(found.temperatures, found.rest_log_sums, strict=True):
        if temperature == 0:
            assert log_sum is None
            continue
        expected = softmax(logits.astype(np.float64) / temperature)
        listed = [c.logit for c in found.listed.candidates]
        weights = [math.exp((logit - listed[0]) / temperature) for logit in listed]
        total = math.fsum(weights) + (0 if log_sum is None else math.exp(log_sum))
        ids = [c.id for c in found.listed.candidates]
        assert [weight / total for weight in weights] == pytest.approx(expected[ids].tolist(), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_the_entropy_is_that_of_the_whole_vocabulary_at_every_temperature(scale: float) -> None:
    logits = random_logits(1000, scale=scale)
    found = kept(logits)
    sums = zip(found.temperatures, found.rest_log_sums, found.rest_means, strict=True)
    for temperature, log_sum, mean in sums:
        if temperature == 0:
            assert mean is None
            continue
        expected = softmax(logits.astype(np.float64) / temperature)
        listed = [(c.logit - found.listed.candidates[0].logit) / temperature for c in found.listed.candidates]
        rest = 0.0 if log_sum is None else math.exp(log_sum)
        total = math.fsum([*map(math.exp, listed), rest])
        weighted = math.fsum([*(math.exp(below) * below for below in listed), rest * (mean or 0.0)])
        entropy = math.log(total) - weighted / total
        assert entropy == pytest.approx(entropy_of(expected), rel=1e-9, abs=1e-12)


def test_a_truncated_softmax_would_be_far_off() -> None:
    """Why the rest is summed: without it, the best of flat logits would look forty times as likely."""
    found = kept(random_logits(1000, scale=0.1), best=20)
    weights = [math.exp(c.logit - found.listed.candidates[0].logit) for c in found.listed.candidates]
    assert 1 / math.fsum(weights) > 20 * found.listed.candidates[0].raw_prob


def test_nothing_that_is_not_listed_has_no_sum() -> None:
    found = kept(random_logits(5), best=10)
    assert found.rest_log_sums == (None,) * len(TEMPERATURES)
    assert found.listed.other is not None
    assert found.listed.other.count == 0


def test_a_sum_below_all_numbers_is_none() -> None:
    found = kept(np.array([0.0, -1e6]), best=1)
    assert found.rest_log_sums[1] == pytest.approx(-1e7)
    logits = np.array([0.0, -1.0])
    step = step_record(distribution(logits), letters, position=1, top=1)
    tiny = step_logits(logits, (), (), letters, step=step, best=1, temperatures=(1e-320,))
    assert tiny.rest_log_sums == (None,)


def test_a_tiny_temperature_has_numbers_too() -> None:
    """Of equals that are not listed, one share each; the mean of their distances is 0, whatever lies far below."""
    logits = np.array([2.0, 2.0, 2.0, 1.0, -3.0])
    step = step_record(distribution(logits), letters, position=1, top=1)
    found = step_logits(logits, (), (), letters, step=step, best=1, temperatures=(1e-320,))
    assert found.rest_log_sums == (pytest.approx(math.log(2)),)
    assert found.rest_means == (0.0,)


def test_the_place_of_the_last_candidate_counts_ties_by_id() -> None:
    logits = np.array([1.0, 3.0, 2.0, 3.0, 2.0, 2.0, 1.0])
    order = (-logits).argsort(kind="stable").tolist()
    for token in range(7):
        found = kept(logits, token, best=2)
        assert found.place == order.index(found.listed.candidates[-1].id)


def test_the_step_keeps_its_own_numbers() -> None:
    logits = random_logits(100)
    found = kept(logits, token=7, config=SampleConfig(temperature=0.5, top_k=3))
    assert len(found.step.candidates) <= 3
    assert found.listed.surprisal_bits == pytest.approx(found.step.surprisal_bits)
    assert found.raw_logits == tuple(c.logit for c in found.listed.candidates)
    assert [stage.name for stage in found.listed.stages] == ["temperature", "top-k", "top-p"]


def test_a_repetition_penalty_is_in_the_logits_and_not_in_the_raw_probabilities() -> None:
    logits = random_logits(50)
    history = tuple((-logits).argsort()[:3].tolist())
    config = SampleConfig(repetition_penalty=5.0, temperature=0.7, top_p=0.9)
    found = kept(logits, token=4, best=10, config=config, history=history)
    raw = softmax(logits)
    ids = [c.id for c in found.listed.candidates]
    raw_probs = [math.exp(logit - found.log_sum) for logit in found.raw_logits]
    assert raw_probs == pytest.approx(raw[ids].tolist())
    assert math.fsum(raw_probs) + found.other_raw_prob == pytest.approx(1, abs=1e-12)
    assert ids[0] not in history
    whole = distribution(logits, build_stages(config), history)
    assert [c.prob for c in found.listed.candidates] == pytest.approx(whole.final_V[ids].tolist())
    assert [stage.name for stage in found.listed.stages] == ["temperature", "top-p"]
