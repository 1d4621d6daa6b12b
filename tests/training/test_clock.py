"""Runs that end by the clock: a clock that is ours, so that nothing here depends on the machine."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.checkpoint.records import TrainRecord
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import TokenData
from minigpt.training import loop
from minigpt.training.loop import Trainer

V = 16
SECONDS = 40.0


class Clock:
    """Every look at it costs a tenth of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


def trainer(**changes: object) -> Trainer:
    ids = np.random.default_rng(0).integers(0, V, 500).astype(np.uint16)
    model = GPT(ModelConfig(vocab_size=V, context=8, layers=1, heads=1, width=8))
    config = {"seconds": SECONDS, "steps": 50, "batch_size": 2, "warmup_steps": 2, "eval_every": 20, "snapshots": 0}
    made = Trainer(
        model.initialise(torch.Generator().manual_seed(1)),
        TokenData(ids, ids[:40]),
        TrainConfig(**(config | changes)),  # type: ignore[arg-type]
        np.ones(V),
    )
    made.reserved_seconds = 2.0
    return made


def test_a_run_ends_in_time_for_what_comes_after_it(clock: Clock) -> None:
    run = trainer()
    records = list(run.records())
    assert run.is_over
    assert SECONDS - 4 < clock.now <= SECONDS - run.reserved_seconds + 1
    assert len(records) > 20
    assert records[-1].validation_loss_nats is not None


def test_the_rate_falls_with_the_time_to_almost_nothing(clock: Clock) -> None:
    records = list(trainer().records())
    rates = [record.learning_rate for record in records[3:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9 * TrainConfig.learning_rate
    assert rates[-1] < 0.06 * TrainConfig.learning_rate


@pytest.mark.parametrize("steps", [5, 5000])
def test_the_expected_steps_do_not_end_a_run(clock: Clock, steps: int) -> None:
    assert 20 < len(list(trainer(steps=steps).records())) < 1000


def test_steps_that_suffice_end_a_run_as_if_they_were_counted(clock: Clock) -> None:
    counted, enough = (list(trainer(steps=15, **how).records()) for how in ({"seconds": None}, {"steps_suffice": True}))
    assert [record.step for record in enough] == list(range(16))
    assert [record.learning_rate for record in enough] == [record.learning_rate for record in counted]


def test_steps_that_would_suffice_end_with_the_time(clock: Clock) -> None:
    run = trainer(steps=5000, steps_suffice=True)
    records = list(run.records())
    assert run.is_over
    assert SECONDS - 4 < clock.now <= SECONDS - run.reserved_seconds + 1
    assert records[-1].learning_rate < 0.06 * TrainConfig.learning_rate


def test_a_run_whose_time_is_gone_unawares_is_evaluated_at_its_end(clock: Clock) -> None:
    run, records = trainer(eval_every=1000), []
    for record in run.records():
        records.append(record)
        if record.step == 10:
            clock.now += SECONDS  # as a slow disk takes for a save
    assert [record.step for record in records] == list(range(12))
    assert records[-1].validation_loss_nats is not None
    assert run.is_over


def test_one_step_is_taken_however_little_time_there_is(clock: Clock) -> None:
    run = trainer(seconds=0.1, warmup_steps=0)
    records = list(run.records())
    assert [record.step for record in records] == [0, 1]
    assert run.is_over
    assert 0 < records[1].learning_rate <= TrainConfig.learning_rate


def test_the_time_that_compiling_takes_is_not_expected_of_the_next_step(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_at_first(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        waits = iter([0.6 * SECONDS])

        def call(*tensors: torch.Tensor) -> torch.Tensor:
            clock.now += next(waits, 0.0)
            return function(*tensors)

        return call

    monkeypatch.setattr("minigpt.training.step.compiled", slow_at_first)
    assert len(list(trainer(compile=True).records())) > 10


def test_a_stopped_run_goes_on_with_the_time_that_is_left(clock: Clock) -> None:
    first = trainer()
    before = list(itertools.islice(first.records(), 15))
    tensors, values = first.state()
    clock.now += 1000  # nobody trains
    second = trainer()
    second.restore(tensors, values)
    after = list(second.records())
    assert after[0].step == before[-1].step + 1
    assert after[0].seconds < before[-1].seconds + 3
    assert SECONDS - 5 < after[-1].seconds <= SECONDS


def test_records_count_their_seconds(clock: Clock) -> None:
    records: list[TrainRecord] = list(trainer().records())
    seconds = [record.seconds for record in records]
    assert seconds == sorted(seconds)
