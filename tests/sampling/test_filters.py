"""For each stage: the probabilities that go in, and the very ones that must come out, of filter_vectors.py."""

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import filter_vectors as vectors
import numpy as np
import pytest

from minigpt.errors import ConfigError
from minigpt.sampling import filters
from minigpt.sampling.filters import build_stages
from minigpt.sampling.vocabulary import softmax
from minigpt.settings import FILTERS, SampleConfig

NAN, INF = vectors.NAN, vectors.INF
NO_HISTORY = np.zeros(0, np.int64)


def logits(*probs: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probs))


def after(stage: Callable[..., np.ndarray], probs: list[float], **setting: float) -> np.ndarray:
    return softmax(stage(logits(*probs), NO_HISTORY, **setting))


def assert_probs(given: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(given, expected, atol=1e-12, rtol=0)
    assert [p == 0 for p in given.tolist()] == [p == 0 for p in expected]  # what is cut is cut wholly


# Temperature


@pytest.mark.parametrize(
    ("temperature", "probs", "expected"),
    vectors.TEMPERATURE,
)
def test_temperature(temperature: float, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.temperature, probs, temperature=temperature), expected)


def test_a_tiny_temperature_is_finite_for_large_logits() -> None:
    given = np.array([1e4, -1e4, 9.99e3])
    assert softmax(filters.temperature(given, NO_HISTORY, temperature=1e-3)).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("temperature", [1e-300, 5e-324])
def test_every_stage_after_a_tiny_temperature_computes_in_silence(temperature: float) -> None:
    """Nothing is left but the largest; numbers that overflow on the way would be a warning, and so an error here."""
    settings = {name: value for name, value in ACTIVE.items() if name != "bias"}
    given = np.array([3.0, 1.0, 2.0, -4.0] * 50)
    given[100] = 3.5
    for stage in build_stages(SampleConfig(**{**settings, "temperature": temperature})):
        given = stage.apply(given, np.array([1, 2, 2]))
    assert softmax(given).nonzero()[0].tolist() == [100]


# Top-k


@pytest.mark.parametrize(
    ("k", "probs", "expected"),
    vectors.TOP_K,
)
def test_top_k_keeps_exactly_k_the_lowest_ids_among_equals(k: int, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.top_k, probs, k=k), expected)


@pytest.mark.parametrize("k", [1, 5, 40, 999])
def test_top_k_of_many_equals(k: int) -> None:
    kept = filters.top_k(np.zeros(1000), NO_HISTORY, k=k) > -INF
    assert kept.nonzero()[0].tolist() == list(range(k))


# Top-p


@pytest.mark.parametrize(
    ("p", "probs", "expected"),
    vectors.TOP_P,
)
def test_top_p_keeps_the_token_that_crosses_p(p: float, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.top_p, probs, p=p), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_top_p_of_1_cuts_nothing_whatever_rounding_says(dtype: type[np.floating]) -> None:
    given = np.linspace(0, -60, 50_257, dtype=dtype)  # the sum reaches 1 long before the end
    assert np.array_equal(filters.top_p(given, NO_HISTORY, p=1.0), given)


# Min-p


@pytest.mark.parametrize(
    ("p", "probs", "expected"),
    vectors.MIN_P,
)
def test_min_p(p: float, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.min_p, probs, p=p), expected)


# Repetition penalty


@pytest.mark.parametrize(
    ("penalty", "history", "given", "expected"),
    vectors.REPETITION,
)
def test_repetition_penalty(penalty: float, history: list[int], given: list[float], expected: list[float]) -> None:
    ids = np.array(history, np.int64)
    assert filters.repetition_penalty(np.array(given), ids, penalty=penalty).tolist() == expected


# Presence and frequency penalty, one after the other as in llama.cpp's tests/test-sampling.cpp, whose numbers these are


@pytest.mark.parametrize(
    ("history", "expected"),
    vectors.BOTH_PENALTIES_OF_5,
)
def test_presence_and_frequency_penalty_of_5(history: list[int], expected: list[float]) -> None:
    ids = np.array(history)
    counted = filters.frequency_penalty(logits(0.2, 0.2, 0.2, 0.2, 0.2), ids, penalty=5.0)
    found = softmax(filters.presence_penalty(counted, ids, penalty=5.0))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("penalty", "history", "presence", "frequency"),
    vectors.PENALTIES,
)
def test_presence_counts_a_token_once_and_frequency_each_time(
    penalty: float, history: list[int], presence: list[float], frequency: list[float]
) -> None:
    given, ids = np.array([4.0, -4.0, 1.0]), np.array(history, np.int64)
    assert filters.presence_penalty(given, ids, penalty=penalty).tolist() == presence
    assert filters.frequency_penalty(given, ids, penalty=penalty).tolist() == frequency


def test_a_frequency_penalty_of_a_long_text_is_exact() -> None:
    history = np.zeros(3000, np.int64)
    assert filters.frequency_penalty(np.array([1.0, 2.0]), history, penalty=0.1).tolist() == [
        pytest.approx(-299.0), 2.0,
    ]  # fmt: skip


# Bias


@pytest.mark.parametrize(
    ("bias", "given", "expected"),
    vectors.BIASES,
)
def test_bias(bias: tuple[tuple[int, float], ...], given: list[float], expected: list[float]) -> None:
    assert filters.bias(np.array(given), NO_HISTORY, bias).tolist() == expected


def test_a_bias_multiplies_the_odds() -> None:
    assert_probs(softmax(filters.bias(logits(0.5, 0.5), NO_HISTORY, [(0, math.log(3))])), [0.75, 0.25])


@pytest.mark.parametrize("bias", vectors.BAD_BIASES)
def test_a_bias_that_cannot_be_is_refused(bias: list[tuple[int, float]]) -> None:
    with pytest.raises(ConfigError):
        filters.bias(logits(0.5, 0.5), NO_HISTORY, bias)


# Top-n-sigma: the first three are from llama.cpp's tests/test-sampling.cpp


@pytest.mark.parametrize(
    ("n", "probs", "expected"),
    vectors.TOP_N_SIGMA,
)
def test_top_n_sigma(n: float, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.top_n_sigma, probs, n=n), expected)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_top_n_sigma_keeps_the_same_tokens_at_every_temperature(temperature: float) -> None:
    given = np.random.default_rng(1).standard_normal(500)
    sharpened = filters.temperature(given, NO_HISTORY, temperature=temperature)
    kept = filters.top_n_sigma(given, NO_HISTORY, n=1.5) > -INF
    assert np.array_equal(filters.top_n_sigma(sharpened, NO_HISTORY, n=1.5) > -INF, kept)
    assert 1 < int(kept.sum()) < 500


# Typical-p: the first two are from llama.cpp's tests/test-sampling.cpp


@pytest.mark.parametrize(
    ("p", "probs", "expected"),
    vectors.TYPICAL_P,
)
def test_typical_p(p: float, probs: list[float], expected: list[float]) -> None:
    assert_probs(after(filters.typical_p, probs, p=p), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_typical_p_of_1_cuts_nothing_whatever_rounding_says(dtype: type[np.floating]) -> None:
    given = np.linspace(0, -60, 50_257, dtype=dtype)
    assert np.array_equal(filters.typical_p(given, NO_HISTORY, p=1.0), given)


# All of them

FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    name: getattr(filters, spec.setting) for name, spec in FILTERS.items()
}
ALL = [pytest.param(FUNCTIONS[name], setting, id=title) for title, (name, setting) in vectors.ALL.items()]


def batch() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    logits_BV = (random.standard_normal((2, 3, 40)) * 2).round()  # rounded, for ties
    return logits_BV, random.integers(40, size=(2, 3, 11))


@pytest.mark.parametrize(("stage", "setting"), ALL)
def test_a_batch_is_its_rows_one_by_one(stage: Callable[..., np.ndarray], setting: dict[str, float]) -> None:
    logits_BV, history_BT = batch()
    together = stage(logits_BV, history_BT, **setting)
    assert together.shape == logits_BV.shape
    for i in range(2):
        for j in range(3):
            assert np.array_equal(together[i, j], stage(logits_BV[i, j], history_BT[i, j], **setting))


@pytest.mark.parametrize(("stage", "setting"), ALL)
def test_the_input_is_never_edited_nor_handed_on(stage: Callable[..., np.ndarray], setting: dict[str, float]) -> None:
    logits_BV, history_BT = batch()
    given, history = logits_BV.copy(), history_BT.copy()
    stage(logits_BV, history_BT, **setting).fill(123.0)
    assert np.array_equal(logits_BV, given)
    assert np.array_equal(history_BT, history)


@pytest.mark.parametrize(("stage", "setting"), ALL)
def test_no_stage_brings_a_cut_token_back(stage: Callable[..., np.ndarray], setting: dict[str, float]) -> None:
    logits_BV, history_BT = batch()
    cut = logits_BV < 0
    result = stage(np.where(cut, -INF, logits_BV), history_BT, **setting)
    assert (result[cut] == -INF).all()
    assert not np.isnan(result).any()


@pytest.mark.parametrize(
    ("name", "argument", "values"),
    vectors.OUT_OF_RANGE,
)
def test_each_stage_refuses_what_is_out_of_its_range(name: str, argument: str, values: list[float]) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=f"not {value}"):
            FUNCTIONS[name](logits(0.5, 0.5), NO_HISTORY, **{argument: value})


@pytest.mark.parametrize(
    ("setting", "flag"),
    [
        ({"repetition_penalty": 0.0}, "--repetition-penalty"),
        ({"repetition_penalty": NAN}, "--repetition-penalty"),
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": NAN}, "--temperature"),
        ({"temperature": INF}, "--temperature"),
        ({"top_k": -1}, "--top-k"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_p": 1.1}, "--top-p"),
        ({"top_p": NAN}, "--top-p"),
        ({"min_p": -0.1}, "--min-p"),
        ({"min_p": 1.1}, "--min-p"),
        ({"min_p": NAN}, "--min-p"),
        ({"presence_penalty": 101.0}, "--presence-penalty"),
        ({"presence_penalty": NAN}, "--presence-penalty"),
        ({"frequency_penalty": -101.0}, "--frequency-penalty"),
        ({"top_n_sigma": -1.0}, "--top-n-sigma"),
        ({"top_n_sigma": INF}, "--top-n-sigma"),
        ({"typical_p": 0.0}, "--typical-p"),
        ({"typical_p": NAN}, "--typical-p"),
        ({"bias": ((3, 1001.0),)}, "--bias"),
        ({"bias": ((3, NAN),)}, "--bias"),
        ({"max_tokens": 0}, "--max-tokens"),
        ({"top": 0}, "--top"),
        ({"stop": ("x", "")}, "--stop"),
        ({"stages": ("top-p", "top-p")}, "--stages"),
    ],
)
def test_settings_out_of_range_are_refused_by_their_flag(setting: dict[str, object], flag: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SampleConfig(**setting)
    assert caught.value.settings == (flag.removeprefix("--").replace("-", "_"),)


# build_stages

NEUTRAL: dict[str, Any] = {
    "repetition_penalty": 1.0, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
    "bias": (), "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_n_sigma": 0.0, "typical_p": 1.0,
}  # fmt: skip
ACTIVE: dict[str, Any] = {
    "bias": ((1, 2.0), (3, -1.0)), "repetition_penalty": 1.3, "presence_penalty": 0.1, "frequency_penalty": 0.2,
    "temperature": 0.7, "top_n_sigma": 2.0, "top_k": 40, "typical_p": 0.8, "top_p": 0.9, "min_p": 0.05,
}  # fmt: skip


def test_the_stages_stand_in_their_order() -> None:
    assert [(stage.name, stage.value) for stage in build_stages(SampleConfig(**ACTIVE))] == [
        ("bias", 2), ("repetition-penalty", 1.3), ("presence-penalty", 0.1), ("frequency-penalty", 0.2),
        ("temperature", 0.7), ("top-n-sigma", 2.0), ("top-k", 40), ("typical-p", 0.8), ("top-p", 0.9), ("min-p", 0.05),
    ]  # fmt: skip


def test_those_who_use_no_new_filter_have_the_stages_that_they_had() -> None:
    assert [stage.name for stage in build_stages(SampleConfig())] == ["temperature", "top-p"]
    assert {spec.setting: spec.neutral for spec in FILTERS.values()} == NEUTRAL


def test_neutral_values_leave_their_stages_out() -> None:
    assert build_stages(SampleConfig(**NEUTRAL)) == ()


@pytest.mark.parametrize(
    ("setting", "name", "expected"),
    [
        ({"repetition_penalty": 2.0}, "repetition-penalty", [1.0, -2.0, 1.5]),
        ({"presence_penalty": 2.0}, "presence-penalty", [0.0, -3.0, 1.5]),
        ({"frequency_penalty": 2.0}, "frequency-penalty", [0.0, -5.0, 1.5]),
        ({"bias": ((2, 0.25),)}, "bias", [2.0, -1.0, 1.75]),
        ({"top_n_sigma": 1.0}, "top-n-sigma", [2.0, -INF, 1.5]),
        ({"typical_p": 0.3}, "typical-p", [-INF, -INF, 1.5]),
        ({"temperature": 0.5}, "temperature", [4.0, -2.0, 3.0]),
        ({"top_k": 1}, "top-k", [2.0, -INF, -INF]),
        ({"top_p": 0.5}, "top-p", [2.0, -INF, -INF]),
        ({"min_p": 0.5}, "min-p", [2.0, -INF, 1.5]),
    ],
)
def test_one_setting_is_one_stage(setting: dict[str, float], name: str, expected: list[float]) -> None:
    (stage,) = build_stages(SampleConfig(**{**NEUTRAL, **setting}))
    assert stage.name == name
    assert stage.apply(np.array([2.0, -1.0, 1.5]), np.array([0, 1, 1])).tolist() == expected


def test_a_penalty_by_the_sign_of_a_logit_may_follow_the_temperature() -> None:
    names = ("temperature", "repetition-penalty")
    stages = build_stages(SampleConfig(**{**NEUTRAL, "temperature": 0.5, "repetition_penalty": 2.0, "stages": names}))
    logits_V = np.array([2.0, -1.0, 1.5])
    for stage in stages:
        logits_V = stage.apply(logits_V, np.array([0, 1, 1]))
    assert logits_V.tolist() == [2.0, -4.0, 3.0]


def test_the_order_matters_and_is_this_one() -> None:
    """Temperature 0.5 turns 5, 3, 1, 1 of 10 into 25, 9, 1, 1 of 36: top-p then keeps two, and before it three."""
    stages = build_stages(SampleConfig(temperature=0.5, top_p=0.85))
    given = logits(0.5, 0.3, 0.1, 0.1)
    for stage in stages:
        given = stage.apply(given, NO_HISTORY)
    assert_probs(softmax(given), [25 / 34, 9 / 34, 0, 0])
    assert_probs(after(filters.top_p, [0.5, 0.3, 0.1, 0.1], p=0.85), [5 / 9, 3 / 9, 1 / 9, 0])


def test_the_order_can_be_chosen() -> None:
    config = SampleConfig(temperature=0.5, top_p=0.85, top_k=3, stages=("top-p", "top-k", "temperature"))
    stages = build_stages(config)
    assert [stage.name for stage in stages] == ["top-p", "top-k", "temperature"]
    given = logits(0.5, 0.3, 0.1, 0.1)
    for stage in stages:
        given = stage.apply(given, NO_HISTORY)
    assert_probs(softmax(given), [25 / 35, 9 / 35, 1 / 35, 0])  # 5, 3, 1 are left of 5, 3, 1, 1, then sharpened


def test_a_stage_that_is_not_named_is_not_applied() -> None:
    assert build_stages(SampleConfig(top_k=3, stages=())) == ()
    assert [stage.name for stage in build_stages(SampleConfig(top_k=3, min_p=0.1, stages=("min-p",)))] == ["min-p"]


def test_every_stage_can_be_named_and_no_other() -> None:
    for pair in permutations(FILTERS, 2):
        order = (*pair, *(name for name in reversed(FILTERS) if name not in pair))
        assert tuple(stage.name for stage in build_stages(SampleConfig(**ACTIVE, stages=order))) == order
    with pytest.raises(ConfigError, match=r"no stage 'top-q'. The stages are bias, repetition-penalty, .*temperature"):
        SampleConfig(stages=("top-q",))
