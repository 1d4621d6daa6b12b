"""How minutes are shared out: what is planned fits, in all, and a sweep's share goes to the rest without one."""

from dataclasses import replace

import pytest

from minigpt.contest.lengths import (
    FEWEST_SECONDS,
    RATES,
    equally_shared,
    evaluated_tokens,
    require_pace,
    shared,
    speed,
)
from minigpt.contest.records import Comparison, Contender
from minigpt.errors import ConfigError


def contender(model: str, rate: float) -> Contender:
    return Contender(
        model=model,
        layers=1,
        width=8,
        window=None,
        parameters=100,
        learning_rate=3e-3,
        training_tokens_per_second=((32.0, 2 * rate), (256.0, rate)),
    )


AGAIN = "minigpt compare --resume here"
COMPARISON = Comparison(
    name="notes",
    text_bytes=1000,
    validation="the end",
    vocab_size=50,
    context=256,
    batch_size=4,
    minutes=30.0,
    quick=False,
    seed=1,
    machine="2 CPU cores",
    spent_seconds=60.0,
    contenders=(contender("rnn", 4000.0), contender("gpt", 10_000.0)),
)


def seconds_planned(plan: Comparison, recall_seconds: float) -> float:
    assert plan.tokens is not None
    assert plan.seconds is not None
    assert plan.recall_steps is not None
    a_token = 1 / 4000 + 1 / 10_000
    tried = len(RATES) * (plan.tried_tokens or 0)
    return (tried + plan.tokens) * a_token + 2 * plan.seconds + plan.recall_steps * recall_seconds


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("minutes", [6.0, 30.0])
def test_all_that_is_planned_fits(quick: bool, minutes: float) -> None:
    plan = shared(replace(COMPARISON, quick=quick, minutes=minutes), 0.1, AGAIN)
    assert 0.8 * (60 * minutes - 60) < seconds_planned(plan, 0.1) < 60 * minutes - 60
    assert (plan.tried_tokens is None) == quick


def test_without_a_sweep_the_rest_is_longer() -> None:
    quick, whole = shared(replace(COMPARISON, quick=True), 0.1, AGAIN), shared(COMPARISON, 0.1, AGAIN)
    assert quick.tokens == pytest.approx(4 / 3 * whole.tokens, rel=0.01)
    assert quick.seconds == pytest.approx(4 / 3 * whole.seconds, rel=0.01)


def test_too_little_time_is_told() -> None:
    with pytest.raises(ConfigError, match=r"minutes=1\.1 are too few here for a comparison"):
        shared(replace(COMPARISON, minutes=1.1), 0.1, AGAIN)


@pytest.mark.parametrize("quick", [True, False])
def test_the_least_time_is_told_and_is_enough(quick: bool) -> None:
    with pytest.raises(ConfigError) as told:
        shared(replace(COMPARISON, quick=quick, minutes=1.1), 0.1, AGAIN)
    least = float(str(told.value).rpartition("minutes=")[2])
    assert shared(replace(COMPARISON, quick=quick, minutes=least), 0.1, AGAIN).seconds >= FEWEST_SECONDS - 1e-9
    with pytest.raises(ConfigError):
        shared(replace(COMPARISON, quick=quick, minutes=least - 0.1), 0.1, AGAIN)


def test_the_least_time_of_equal_trainings_is_told_and_is_enough() -> None:
    with pytest.raises(ConfigError) as told:
        equally_shared(replace(COMPARISON, minutes=1.01), 4000.0, AGAIN)
    least = float(str(told.value).rpartition("minutes=")[2])
    plan = equally_shared(replace(COMPARISON, minutes=least), 4000.0, AGAIN)
    assert plan.tokens is not None
    assert plan.tokens >= 10 * COMPARISON.batch_size * COMPARISON.context
    with pytest.raises(ConfigError):
        equally_shared(replace(COMPARISON, minutes=least - 0.1), 4000.0, AGAIN)


def test_more_tokens_fit_into_the_same_time_of_a_faster_model() -> None:
    assert [10 * speed(c, 256) for c in COMPARISON.contenders] == [40_000.0, 100_000.0]


@pytest.mark.parametrize(("tokens", "expected"), [(10, 4096), (1e6, 20_000), (1e9, 100_000)])
def test_a_longer_training_is_evaluated_on_more(tokens: float, expected: int) -> None:
    assert evaluated_tokens(tokens) == expected


QUICK = replace(COMPARISON, quick=True, minutes=6.0, tokens=None)


def test_too_slow_a_pace_is_told_after_the_second_measurement() -> None:
    """Two measurements took four of six minutes, and two more of the kind cannot take less."""
    with pytest.raises(ConfigError) as told:
        require_pace(replace(QUICK, spent_seconds=240.0), [130.0, 110.0], 2, 8, AGAIN)
    first, second = str(told.value).split("\n")
    assert first.startswith("minutes=6 are too few here for a comparison: it takes ")
    command, _, least = second.rpartition(" minutes=")
    assert command.endswith("Continue with: minigpt compare --resume here")
    assert float(least) * 60 >= 240 + 10 * 120
    require_pace(replace(QUICK, spent_seconds=240.0, minutes=float(least)), [130.0, 110.0], 2, 8, AGAIN)


def test_nothing_is_refused_that_might_suffice() -> None:
    require_pace(replace(QUICK, spent_seconds=240.0), [235.0, 5.0], 2, 8, AGAIN)  # the first was slow to begin
    require_pace(replace(QUICK, spent_seconds=20.0), [10.0, 10.0], 2, 8, AGAIN)
