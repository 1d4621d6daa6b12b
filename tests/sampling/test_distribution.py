"""One step's record: what its numbers add up to, and each of them against a value worked out by hand."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from minigpt.errors import CheckpointError
from minigpt.sampling.distribution import Distribution, distribution, step_record, surprisal
from minigpt.sampling.filters import build_stages
from minigpt.sampling.philox import uniform
from minigpt.sampling.records import StepRecord
from minigpt.sampling.vocabulary import best_ids
from minigpt.settings import SampleConfig
from minigpt.text.records import token_text

LARGE = 50_257
OFF = SampleConfig(temperature=1.0, top_p=1.0)


def letters(token: int) -> bytes:
    return bytes([65 + token % 26])


def logits(*probs: float) -> np.ndarray:
    return np.asarray(np.log(probs))


def random_logits(size: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(size, np.float32) * np.float32(scale))


def record(dist: Distribution, top: int = 3, token: int | None = None) -> StepRecord:
    return step_record(dist, letters, position=5, top=top, token=token)


# Sums


@pytest.mark.parametrize("size", [5, 1000, LARGE])
@pytest.mark.parametrize("top", [1, 10])
@pytest.mark.parametrize(
    "config",
    [
        OFF,
        SampleConfig(),
        SampleConfig(temperature=0.0),
        SampleConfig(temperature=1.5, top_k=40, top_p=0.9, min_p=0.02, repetition_penalty=1.3),
        SampleConfig(temperature=100.0, top_p=1.0),
    ],
)
def test_shown_and_other_add_up_to_1(size: int, top: int, config: SampleConfig) -> None:
    dist = distribution(random_logits(size), build_stages(config), [1, 2, 3, 2])
    step = record(dist, top, token=size - 1)
    assert step.other is not None
    assert math.fsum([*(c.raw_prob for c in step.candidates), step.other.raw_prob]) == pytest.approx(1, abs=1e-9)
    assert math.fsum([*(c.prob for c in step.candidates), step.other.prob]) == pytest.approx(1, abs=1e-9)
    assert len(step.candidates) + step.other.count == size


def test_others_may_be_asked_for_and_are_listed_once() -> None:
    dist = distribution(logits(0.4, 0.3, 0.1, 0.15, 0.05))
    step = step_record(dist, letters, position=5, top=2, token=4, also=[1, 2, 4])
    assert [(c.id, c.rank) for c in step.candidates] == [(0, 1), (1, 2), (2, 4), (4, 5)]
    assert step.token == step.candidates[-1]
    assert step.other is not None
    assert (step.other.count, step.other.raw_prob) == (1, pytest.approx(0.15))


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_float32_logits_of_a_large_vocabulary_add_up_to_1(scale: float) -> None:
    step = record(distribution(random_logits(LARGE, scale=scale)), top=10)
    assert step.other is not None
    assert math.fsum([*(c.raw_prob for c in step.candidates), step.other.raw_prob]) == pytest.approx(1, abs=1e-12)


def test_other_is_summed_and_not_1_minus_the_rest() -> None:
    """Far below rounding of 1 there is still a number; 1 minus the rest would be 0, or negative."""
    step = record(distribution(np.array([0.0, -50.0, -60.0])), top=1)
    assert step.other is not None
    assert step.other.raw_prob == pytest.approx(math.exp(-50) + math.exp(-60), rel=1e-9)


def test_other_of_nothing_is_nothing() -> None:
    step = record(distribution(logits(0.5, 0.5)), top=10)
    assert step.other is not None
    assert (step.other.count, step.other.raw_prob, step.other.prob) == (0, 0.0, 0.0)
    assert len(step.candidates) == 2


def test_the_final_distribution_is_the_raw_one_without_stages() -> None:
    step = record(distribution(logits(0.5, 0.25, 0.125, 0.125)), top=2)
    assert [(c.raw_prob, c.prob, c.after) for c in step.candidates] == [(0.5, 0.5, ()), (0.25, 0.25, ())]
    assert step.stages == ()
    assert step.other is not None
    assert step.other.raw_prob == step.other.prob == pytest.approx(0.25)


# Candidates


def test_candidates_are_the_best_by_logit_with_ties_by_id() -> None:
    step = record(distribution(np.array([1.0, 3.0, 2.0, 3.0, 2.0, 2.0])), top=4)
    assert [(c.id, c.rank, c.logit) for c in step.candidates] == [(1, 1, 3.0), (3, 1, 3.0), (2, 3, 2.0), (4, 3, 2.0)]


def test_ranks_count_the_strictly_greater() -> None:
    values = random_logits(50, scale=2).round()
    for token in range(50):
        for top in (1, 5, 50):
            step = record(distribution(values), top, token)
            for candidate in step.candidates:
                assert candidate.rank == 1 + sum(v > candidate.logit for v in values.tolist())


def test_a_chosen_token_that_is_not_among_the_best_is_added_behind_them() -> None:
    step = record(distribution(logits(0.1, 0.2, 0.3, 0.4)), top=2, token=0)
    assert [c.id for c in step.candidates] == [3, 2, 0]
    assert step.token is step.candidates[2] is step.chosen
    assert step.candidates[2].rank == 4
    assert step.other is not None
    assert step.other.count == 1
    assert step.other.raw_prob == pytest.approx(0.2)


def test_a_chosen_token_among_the_best_is_not_listed_twice() -> None:
    step = record(distribution(logits(0.1, 0.2, 0.3, 0.4)), top=2, token=2)
    assert [c.id for c in step.candidates] == [3, 2]
    assert step.token is step.candidates[1]


def test_without_a_token_the_question_is_open() -> None:
    step = record(distribution(logits(0.1, 0.9)), top=2)
    assert step.token is None
    assert step.chosen is None
    assert step.surprisal_bits is None
    assert step.position == 5


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"abc", "abc"), (b" ", " "), (b"\x00", "\x00"), ("é".encode(), "é"), ("a犬".encode(), "a犬"), (b"\xc3", None),
        (b"\xa9", None), (b"a\xe2\x80", None), (b"\xff", None), (b"\xed\xa0\x80", None), (b"", ""),
    ],
)  # fmt: skip
def test_a_token_has_a_text_only_if_its_bytes_are_whole_characters(data: bytes, text: str | None) -> None:
    assert token_text(data) == text
    step = step_record(distribution(logits(0.4, 0.6)), lambda token: data, position=1, top=1, token=1)
    assert step.chosen is not None
    assert (step.chosen.text, step.chosen.bytes) == (text, data.hex())


# Stages


def test_after_holds_the_probability_after_each_stage() -> None:
    config = SampleConfig(temperature=0.5, top_k=3, top_p=0.8, min_p=0.5)
    dist = distribution(logits(0.1, 0.2, 0.3, 0.4), build_stages(config))
    step = record(dist, top=4)
    assert {c.id: c.after for c in step.candidates} == {
        3: pytest.approx((16 / 30, 16 / 29, 16 / 25, 16 / 25)),
        2: pytest.approx((9 / 30, 9 / 29, 9 / 25, 9 / 25)),
        1: pytest.approx((4 / 30, 4 / 29, 0, 0)),
        0: pytest.approx((1 / 30, 0, 0, 0)),
    }
    assert [c.cut_by for c in step.candidates] == [None, None, "top-p", "top-k"]
    assert [(s.name, s.value, s.kept) for s in step.stages] == [
        ("temperature", 0.5, 4), ("top-k", 3, 3), ("top-p", 0.8, 2), ("min-p", 0.5, 2),
    ]  # fmt: skip
    assert [s.mass for s in step.stages] == pytest.approx([1.0, 0.9, 0.7, 0.7])
    assert all(c.prob == c.after[-1] for c in step.candidates)


@pytest.mark.parametrize(
    ("config", "cut_by"),
    [
        (SampleConfig(temperature=0.0, top_p=1.0), "temperature"),
        (SampleConfig(temperature=0.0, top_p=0.5, top_k=1, min_p=0.9), "temperature"),
        (SampleConfig(temperature=1.0, top_k=1), "top-k"),
        (SampleConfig(temperature=1.0, top_p=0.1), "top-p"),
        (SampleConfig(temperature=1.0, top_p=1.0, min_p=0.9), "min-p"),
    ],
)
def test_the_stage_that_removed_a_token_is_named(config: SampleConfig, cut_by: str) -> None:
    step = record(distribution(logits(0.2, 0.6, 0.2), build_stages(config)), top=3)
    assert {c.id: c.cut_by for c in step.candidates} == {1: None, 0: cut_by, 2: cut_by}
    assert {c.id: c.prob for c in step.candidates} == {1: 1.0, 0: 0.0, 2: 0.0}
    assert [s.kept for s in step.stages] == [1] * len(step.stages)


def test_the_history_reaches_the_repetition_penalty() -> None:
    stages = build_stages(SampleConfig(repetition_penalty=2.0, temperature=1.0, top_p=1.0))
    dist = distribution(np.array([2.0, 1.0]), stages, [0, 0])
    step = record(dist, top=2)
    assert [c.prob for c in step.candidates] == pytest.approx([0.5, 0.5])
    assert [c.raw_prob for c in step.candidates] == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])


# Bits


@pytest.mark.parametrize("size", [2, 256, LARGE])
def test_the_entropy_of_equals_is_the_logarithm_of_their_number(size: int) -> None:
    step = record(distribution(np.full(size, 3.25)), token=1)
    assert step.entropy_bits == pytest.approx(math.log2(size), abs=1e-9)
    assert step.surprisal_bits == pytest.approx(math.log2(size), abs=1e-9)


def test_certainty_has_no_entropy() -> None:
    values = np.zeros(100)
    values[7] = 1e4
    step = record(distribution(values), token=7)
    assert step.entropy_bits == 0
    assert step.surprisal_bits == 0


def test_entropy_and_surprisal_are_of_the_unfiltered_distribution() -> None:
    stages = build_stages(SampleConfig(temperature=0.0))
    step = record(distribution(logits(0.5, 0.25, 0.125, 0.125), stages), token=2)
    assert step.entropy_bits == pytest.approx(1.75)
    assert step.surprisal_bits == pytest.approx(3)


def test_the_surprisal_of_what_is_nearly_impossible_is_a_number() -> None:
    step = record(distribution(np.array([0.0, -5000.0])), token=1)
    assert step.chosen is not None
    assert step.chosen.raw_prob == 0
    assert step.surprisal_bits == pytest.approx(5000 / math.log(2))


# Drawing


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 0), (0.24, 0), (0.26, 2), (1 - 2**-53, 2)])
def test_a_draw_by_hand(uniform: float, token: int) -> None:
    dist = distribution(logits(1.0, 1e-30, 3.0), build_stages(SampleConfig(temperature=1.0, top_k=2, top_p=1.0)))
    assert dist.draw(uniform) == token


def test_a_draw_never_takes_what_was_cut() -> None:
    dist = distribution(random_logits(100), build_stages(SampleConfig(temperature=2.0, top_k=5, top_p=1.0)))
    assert {dist.draw(uniform(0, step)) for step in range(500)} == set(best_ids(dist.logits_V, 5))


# Damage


@pytest.mark.parametrize(
    "values",
    [
        [math.nan, 0.0], [0.0, math.nan], [math.inf, 0.0], [0.0, math.inf], [-math.inf, -math.inf], [0.0, -math.inf],
    ],
)  # fmt: skip
def test_logits_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(CheckpointError, match="logits are not finite"):
        distribution(np.array(values))
    with pytest.raises(CheckpointError, match="logits are not finite"):
        surprisal(np.array(values), 1)


# JSON


@pytest.mark.parametrize("config", [OFF, SampleConfig(temperature=0.0), SampleConfig(top_k=2, temperature=1e-300)])
def test_a_record_is_json(config: SampleConfig) -> None:
    dist = distribution(np.array([0.0, -5000.0, 2.0, 1.0]), build_stages(config), [1])
    step = step_record(dist, lambda token: b"\xe2", position=1, top=2, token=1, sample=3)
    values = json.loads(json.dumps(asdict(step), allow_nan=False))
    assert list(values) == [
        "sample", "position", "token", "candidates", "other", "entropy_bits", "surprisal_bits", "stages",
    ]  # fmt: skip
    assert list(values["candidates"][0]) == [
        "id", "text", "bytes", "logit", "raw_prob", "after", "prob", "rank", "cut_by",
    ]  # fmt: skip
    assert values["token"] == values["candidates"][-1]
    assert values["sample"] == 3
    assert values["token"]["text"] is None
    assert len(values["token"]["after"]) == len(values["stages"])


def test_the_numbers_are_plain_python() -> None:
    step = record(distribution(random_logits(20), build_stages(SampleConfig(top_k=3))), token=4)
    assert step.chosen is not None
    kinds = {name: type(value) for name, value in asdict(step.chosen).items() if name not in ("text", "cut_by")}
    assert kinds == {
        "id": int, "bytes": str, "logit": float, "raw_prob": float, "after": tuple, "prob": float, "rank": int,
    }  # fmt: skip
    assert {type(s.kept) for s in step.stages} == {int}
    assert {type(s.mass) for s in step.stages} == {float}


def test_the_logits_are_not_edited() -> None:
    values = random_logits(20)
    kept = values.copy()
    distribution(values, build_stages(SampleConfig(temperature=0.5, top_k=3, repetition_penalty=2.0)), [1, 2])
    assert np.array_equal(values, kept)
