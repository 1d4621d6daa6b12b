"""Schedules by steps, losses against direct computations, and a toy that memorises its text."""

import gc
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import TokenData
from minigpt.training.evaluate import _stretches, evaluate, is_overfitting, unigram_loss
from minigpt.training.loop import Trainer, train
from minigpt.training.optim import build_optimizers
from minigpt.training.schedule import (
    bpe_dropout,
    evaluation_steps,
    is_out_of_patience,
    learning_rate,
    pieces,
    snapshot_steps,
)

V = 12
ONE_BYTE = np.ones(V, dtype=np.int64)


def toy(dropout: float = 0.0, seed: int = 0, context: int = 8) -> GPT:
    config = ModelConfig(vocab_size=V, context=context, layers=1, heads=2, width=32, dropout=dropout)
    return GPT(config).initialise(torch.Generator().manual_seed(seed))


def repeating(length: int = 600) -> TokenData:
    """A text of period 11, in which every token says which one comes next."""
    ids = (np.arange(length) % 11).astype(np.uint16)
    return TokenData(ids[: length - 60], ids[length - 60 :])


def random_data(length: int = 600) -> TokenData:
    ids = np.random.default_rng(0).integers(0, V, length).astype(np.uint16)
    return TokenData(ids[: length - 60], ids[length - 60 :])


def config(**changes: object) -> TrainConfig:
    return TrainConfig(**{"steps": 5, "batch_size": 4, "warmup_steps": 1, "learning_rate": 1e-2, **changes})


def losses(model: GPT, settings: TrainConfig, data: TokenData | None = None) -> list[float | None]:
    return [r.loss_nats for r in train(model, data or random_data(), settings, ONE_BYTE)]


# Schedule


def test_the_rate_warms_up_in_a_line_and_falls_in_a_line() -> None:
    settings = config(steps=110, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, settings) for step in range(1, 111)]
    assert rates[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert rates[9] == max(rates) == 1.0
    assert [a - b for a, b in pairwise(rates[9:])] == pytest.approx([0.9 / 101] * 100)
    assert learning_rate(111, settings) == pytest.approx(0.1)  # which the last step, learning still, is just above


def test_merges_are_undone_until_the_last_fifth() -> None:
    settings = config(steps=110, warmup_steps=10, bpe_dropout=0.3)
    shares = [bpe_dropout(step, settings) for step in range(1, 111)]
    assert shares == [0.3] * 90 + [0.0] * 20
    assert [bpe_dropout(50, settings, left) for left in (1.0, 0.21, 0.19, 0.0)] == [0.3, 0.3, 0.0, 0.0]
    assert {bpe_dropout(step, config(steps=110)) for step in range(1, 111)} == {0.0}


def test_windows_grow_from_a_quarter_of_the_context() -> None:
    settings = config(steps=110, warmup_steps=10, context_warmup=0.4)
    cut = [pieces(step, settings) for step in range(1, 111)]
    assert cut == [4] * 30 + [2] * 20 + [1] * 60  # by shares of the 100 steps after the warm-up of the rates
    assert [pieces(50, settings, left) for left in (1.0, 0.81, 0.79, 0.61, 0.59, 0.0)] == [4, 4, 2, 2, 1, 1]
    assert {pieces(step, config(steps=110)) for step in range(1, 111)} == {1}


def test_a_training_reads_shorter_windows_first() -> None:
    sizes: list[tuple[int, int]] = []
    trainer = Trainer(toy(), random_data(), config(steps=10, warmup_steps=0, context_warmup=0.4), ONE_BYTE)
    take_step = trainer.lesson.take_step

    def noted(batches: Sequence[Any], key: int) -> tuple[list[torch.Tensor], torch.Tensor]:
        sizes.append(tuple(batches[0][0].shape))
        return take_step(batches, key)

    trainer.lesson = replace(trainer.lesson, take_step=noted)
    tokens = [record.tokens for record in trainer.records()]
    assert sizes == [(16, 2)] * 2 + [(8, 4)] * 2 + [(4, 8)] * 6
    assert tokens == [32 * step for step in range(11)]


def test_bpe_dropout_changes_what_is_learned_and_stays_the_same_for_a_seed() -> None:
    parents = np.full((V, 2), -1, np.int64)
    parents[V // 2 :] = [1, 2]

    def trained(**changes: float) -> list[float | None]:
        records = train(toy(), random_data(), config(**changes), ONE_BYTE, parents=parents)
        return [record.loss_nats for record in records]

    assert trained(bpe_dropout=0.5) == trained(bpe_dropout=0.5)
    assert trained(bpe_dropout=0.5) != trained(bpe_dropout=0.0) == trained()


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 600])
@pytest.mark.parametrize("warmup", [0, 1, 30, 1000])
@pytest.mark.parametrize("final", [0.0, 1e-3])
def test_the_rate_stays_between_its_ends(steps: int, warmup: int, final: float) -> None:
    settings = config(steps=steps, warmup_steps=warmup, final_learning_rate=final)
    rates = [learning_rate(step, settings) for step in range(1, steps + 1)]
    assert all(final < rate <= settings.learning_rate for rate in rates[steps // 2 :])
    assert all(0 < rate <= settings.learning_rate for rate in rates)
    assert learning_rate(steps + 1, settings) == pytest.approx(final)
    assert max(rates) == pytest.approx(settings.learning_rate, rel=0.5)
    if warmup and steps > 1:
        assert settings.learning_rate in rates  # a warm-up longer than half the run is cut short


@pytest.mark.parametrize("steps", [1, 2, 3, 12, 600, 5000, 100_000])
def test_snapshots_go_from_the_first_to_the_last_step(steps: int) -> None:
    kept = sorted(snapshot_steps(steps, 12))
    assert kept[0] == 0
    assert kept[-1] == steps
    assert len(kept) <= 12
    ratio = steps ** (1 / 10)
    assert all(b <= a * ratio + 1 + ratio for a, b in pairwise(kept[1:]))  # evenly spaced in the logarithm


def test_snapshots_are_about_a_dozen() -> None:
    assert sorted(snapshot_steps(1024, 12)) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]


def test_as_many_snapshots_as_asked_for() -> None:
    asked = {0: [], 1: [1024], 2: [0, 1024], 3: [0, 1, 1024], 4: [0, 1, 32, 1024], 7: [0, 1, 4, 16, 64, 256, 1024]}
    for count_, steps in asked.items():
        assert sorted(snapshot_steps(1024, count_)) == steps
    assert all(len(snapshot_steps(5, many)) <= 6 for many in range(1000))


def test_without_snapshots_no_evaluation_is_forced() -> None:
    assert evaluation_steps(config(steps=100, eval_every=30, snapshots=0)) == {0, 30, 60, 90, 100}


@pytest.mark.parametrize(
    ("step", "best", "out"),
    [(30, 0, True), (30, 10, False), (40, 10, True), (45, 10, False), (50, 10, True), (40, 15, True), (40, 20, False)],
)
def test_patience_counts_regular_evaluations_since_the_best(step: int, best: int, out: bool) -> None:
    assert is_out_of_patience(step, best, config(eval_every=10, patience=3)) is out
    assert not is_out_of_patience(step, best, config(eval_every=10))


@pytest.mark.parametrize(("steps", "every"), [(600, 50), (100, 30), (7, 50), (1, 1), (10, 1)])
def test_evaluations_are_regular_and_at_the_last_step_and_at_snapshots(steps: int, every: int) -> None:
    evaluated = evaluation_steps(config(steps=steps, eval_every=every))
    assert {0, steps} <= evaluated
    assert set(range(0, steps, every)) <= evaluated
    assert snapshot_steps(steps, 12) <= evaluated
    assert max(evaluated) == steps
    assert evaluated - snapshot_steps(steps, 12) <= {*range(0, steps, every), steps}


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"steps": 0}, "steps="),
        ({"batch_size": 0}, "batch_size="),
        ({"accumulation": 0}, "accumulation="),
        ({"eval_every": 0}, "eval_every="),
        ({"warmup_steps": -1}, "warmup_steps="),
        ({"seed": -1}, "seed="),
        ({"learning_rate": 0.0}, "learning_rate="),
        ({"learning_rate": math.nan}, "learning_rate="),
        ({"learning_rate": math.inf}, "learning_rate="),
        ({"final_learning_rate": 1.0}, "final_learning_rate="),
        ({"final_learning_rate": math.nan}, "final_learning_rate="),
        ({"weight_decay": -0.1}, "weight_decay="),
        ({"clip_norm": -1.0}, "clip_norm="),
        ({"beta1": 1.0}, "beta1="),
        ({"beta2": -0.1}, "beta2="),
        ({"precision": "float16"}, "precision="),
        ({"patience": -1}, "patience="),
        ({"snapshots": -1}, "snapshots="),
        ({"snapshots": 1001}, "snapshots="),
    ],
)
def test_settings_out_of_range_are_refused_by_their_flag(changes: dict[str, object], flag: str) -> None:
    with pytest.raises(ConfigError, match=f"^{flag} must "):
        config(**changes)


def test_weights_decay_and_biases_do_not() -> None:
    model = toy()
    (adamw,) = build_optimizers(model, config(weight_decay=0.3, optimizer="adamw"))
    decayed, free = adamw.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() == 2 for p in decayed["params"])
    assert all(p.dim() == 1 for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


# Evaluation


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 100])
def test_the_loss_over_disjoint_windows_against_a_direct_computation(
    make_model: Callable[..., GPT], length: int
) -> None:
    model, ids = make_model(V, 8), random_data().train[:length]
    nats = []
    for position in range(1, length):
        start = (position - 1) // 8 * 8
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:position].tolist()]))[0, -1].double()
        nats.append(-float(logits.log_softmax(-1)[int(ids[position])]))
    byte_lengths = np.arange(V) % 4
    result = evaluate(model, ids, byte_lengths)
    assert result is not None
    assert result.tokens == length - 1
    assert result.loss_nats == pytest.approx(sum(nats) / (length - 1), rel=1e-5)
    byte_count = int(byte_lengths[ids[1:].astype(int)].sum())
    assert result.bits_per_byte == pytest.approx(sum(nats) / math.log(2) / max(1, byte_count), rel=1e-5)


@pytest.mark.parametrize("length", [2, 9, 8 * 1024 + 1, 8 * 1024 + 2, 20_000])
def test_every_target_counts_once(constant_model: Callable[..., GPT], length: int) -> None:
    logits = torch.linspace(-2, 2, V)
    ids = np.random.default_rng(1).integers(0, V, length).astype(np.uint16)
    result = evaluate(constant_model(logits.tolist(), 8), ids, ONE_BYTE)
    expected = -logits.double().log_softmax(-1)[torch.from_numpy(ids[1:].astype(np.int64))].mean()
    assert result is not None
    assert (result.tokens, result.loss_nats) == (length - 1, pytest.approx(float(expected), rel=1e-5))


def test_of_a_long_text_stretches_from_all_over_it_count(constant_model: Callable[..., GPT]) -> None:
    """A quarter of the ids is 0, all of them at the end: of 16 stretches 4 are there."""
    ids = np.array([1] * 30_000 + [0] * 10_000, dtype=np.uint16)
    result = evaluate(constant_model([0.0, 3.0], 8), ids, np.ones(2), tokens=16 * 512)
    assert result is not None
    assert result.tokens == 16 * 512
    likely, unlikely = math.log(1 + math.exp(-3)), math.log(1 + math.exp(3))
    assert result.loss_nats == pytest.approx((12 * likely + 4 * unlikely) / 16, rel=1e-3)


@pytest.mark.parametrize(("context", "stretches"), [(8, 16), (256, 16), (512, 8), (1024, 4), (8192, 1)])
def test_a_stretch_has_room_for_two_windows(context: int, stretches: int) -> None:
    found = list(_stretches(np.arange(50_000), 8192, context))
    assert len(found) == stretches
    assert {len(stretch) for stretch in found} == {8192 // stretches + 1}


def test_stretches_are_no_longer_than_asked_for(constant_model: Callable[..., GPT]) -> None:
    ids = np.zeros(1000, dtype=np.uint16)
    result = evaluate(constant_model([0.0, 3.0], 8), ids, np.ones(2), tokens=50)
    assert result is not None
    assert result.tokens == 50


def test_bits_per_byte_count_end_of_text_as_nothing(constant_model: Callable[..., GPT]) -> None:
    result = evaluate(constant_model([0.0, 0.0]), np.array([0, 1, 0, 1]), np.array([2, 0]))
    assert result is not None
    assert result.loss_nats == pytest.approx(math.log(2))
    assert result.bits_per_byte == pytest.approx(3 / 2)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_mode_as_it_was_and_drops_nothing_out(training: bool) -> None:
    model, ids = toy(dropout=0.5).train(training), random_data().validation
    results = [evaluate(model, ids, ONE_BYTE) for _ in range(2)]
    assert results[0] == results[1]
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())


def test_a_stopped_evaluation_has_no_result() -> None:
    model = toy().train()
    assert evaluate(model, random_data().validation, ONE_BYTE, stopped=lambda: True) is None
    assert model.training


# Training


def test_a_toy_learns_its_text_by_heart() -> None:
    settings = config(steps=200, batch_size=8, warmup_steps=10, eval_every=100, weight_decay=0.0)
    records = list(train(toy(), repeating(), settings, ONE_BYTE))
    assert records[0].validation_loss_nats == pytest.approx(math.log(V), abs=0.2)
    assert records[-1].loss_nats is not None
    assert records[-1].loss_nats < 0.02
    assert records[-1].validation_loss_nats is not None
    assert records[-1].validation_loss_nats < 0.02


def test_a_record_for_every_step() -> None:
    settings = config(steps=20, eval_every=5, accumulation=2)
    data = random_data()
    records = list(train(toy(), data, settings, ONE_BYTE))
    assert [r.step for r in records] == list(range(21))
    assert [r.tokens for r in records] == [n * 4 * 2 * 8 for n in range(21)]
    assert [r.epoch for r in records] == pytest.approx([n * 64 / 540 for n in range(21)])
    assert (records[0].loss_nats, records[0].gradient_norm, records[0].learning_rate) == (None, None, 0.0)
    assert [r.learning_rate for r in records[1:]] == [learning_rate(n, settings) for n in range(1, 21)]
    assert all(r.loss_nats and r.gradient_norm for r in records[1:])
    assert {r.step for r in records if r.validation_loss_nats is not None} == evaluation_steps(settings)
    assert all(
        r.validation_bits_per_byte == pytest.approx(r.validation_loss_nats / math.log(2))
        for r in records
        if r.validation_loss_nats is not None
    )


def test_the_validation_loss_is_that_of_the_model_after_the_step() -> None:
    model, data = toy(), random_data()
    for record in train(model, data, config(), ONE_BYTE):
        result = evaluate(model, data.validation, ONE_BYTE)
        assert result is not None
        if record.validation_loss_nats is not None:
            # While it trains, a GPT is evaluated in C, where that is compiled.
            assert record.validation_loss_nats == pytest.approx(result.loss_nats, rel=1e-6)
    assert record.validation_loss_nats is not None


def test_without_validation_text_nothing_is_evaluated() -> None:
    data = TokenData(random_data().train, np.zeros(1, dtype=np.uint16))
    assert all(r.validation_loss_nats is None for r in train(toy(), data, config(), ONE_BYTE))


def test_the_same_seed_gives_the_same_losses() -> None:
    first, same, other = (losses(toy(), config(seed=s)) for s in (1, 1, 2))
    assert first == same
    assert first[1:] != other[1:]


@pytest.mark.parametrize("seed", [0, 2, 1 << 31, (1 << 32) - 1])
def test_any_seed_is_one_of_its_own(seed: int) -> None:
    assert losses(toy(), config(seed=seed))[1:] != losses(toy(), config(seed=1))[1:]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_trainer_that_nobody_has_any_more_is_gone_at_once(optimizer: str) -> None:
    model = toy()
    records = train(model, random_data(), config(optimizer=optimizer), ONE_BYTE)
    next(records)
    next(records)
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model, records
        assert gone() is None
    finally:
        gc.enable()


def test_the_first_loss_is_that_of_the_untrained_model() -> None:
    assert losses(toy(), config())[1] == pytest.approx(math.log(V), abs=0.2)


def test_accumulated_batches_are_one_larger_batch() -> None:
    whole, halves = toy(), toy()
    at_once = list(train(whole, random_data(), config(batch_size=8), ONE_BYTE))
    in_two = list(train(halves, random_data(), config(batch_size=4, accumulation=2), ONE_BYTE))
    assert [r.tokens for r in in_two] == [r.tokens for r in at_once]
    # The generator gives two batches of 4 the places that it gives one batch of 8.
    assert [r.loss_nats for r in in_two[1:]] == pytest.approx([r.loss_nats for r in at_once[1:]], rel=1e-4)
    assert [r.gradient_norm for r in in_two[1:]] == pytest.approx([r.gradient_norm for r in at_once[1:]], rel=1e-3)


def test_dropout_is_reproducible() -> None:
    first = losses(toy(dropout=0.3), config())
    torch.manual_seed(99)
    assert losses(toy(dropout=0.3), config()) == first
    assert losses(toy(), config())[1:] != first[1:]


def test_what_happens_between_steps_does_not_change_them() -> None:
    expected, model, given = losses(toy(dropout=0.3), config()), toy(dropout=0.3), []
    for record in train(model, random_data(), config(), ONE_BYTE):
        given.append(record.loss_nats)
        torch.rand(record.step + 1)  # as sampling or a plot may do
        evaluate(model, random_data().validation, ONE_BYTE)
    assert given == expected


def test_bfloat16_trains_and_leaves_the_weights_in_float32() -> None:
    model = toy()
    rough = losses(model, config(precision="bfloat16"))
    exact = losses(toy(), config())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert rough[1:] == pytest.approx(exact[1:], rel=0.02)
    assert rough[1:] != exact[1:]


def test_gradients_are_clipped() -> None:
    free, tight = toy(), toy()
    norms = []
    for model, limit in ((free, 0.0), (tight, 1e-9)):
        records = list(train(model, random_data(), config(steps=2, clip_norm=limit), ONE_BYTE))
        norms.append(records[1].gradient_norm)
    assert norms[0] == norms[1]  # the norm before clipping
    assert norms[0] > 1e-3
    start = toy().wte.weight
    assert (tight.wte.weight - start).abs().max() < (free.wte.weight - start).abs().max()


def test_a_stop_ends_the_training_between_steps() -> None:
    asked = count()
    records = list(train(toy(), random_data(), config(steps=100, eval_every=100), ONE_BYTE, lambda: next(asked) > 30))
    assert 1 < len(records) < 32
    assert [r.step for r in records] == list(range(len(records)))
    assert all(r.loss_nats is not None for r in records[1:])


def test_a_stop_before_the_start_leaves_the_model_untouched() -> None:
    model = toy()
    assert list(train(model, random_data(), config(), ONE_BYTE, stopped=lambda: True)) == []
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), toy().parameters(), strict=True))


# Overfitting


def history(losses: list[float], validation: list[float | None]) -> list[TrainRecord]:
    return [
        TrainRecord(
            step=i, tokens=i, epoch=0.0, seconds=0.0, tokens_per_second=0.0, loss_nats=loss if i else None,
            learning_rate=0.0, gradient_norm=None, validation_loss_nats=held_out,
        )
        for i, (loss, held_out) in enumerate(zip(losses, validation, strict=True))
    ]  # fmt: skip


FALLING = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.2]


@pytest.mark.parametrize(
    ("training", "validation", "overfitting"),
    [
        (FALLING, [5.0, 4.0, 3.0, 2.5, 3.0, 3.5, 4.0], True),  # the best lies three back
        (FALLING, [5.0, 4.0, 3.0, 2.9, 2.8, 2.9, 3.0], False),  # two back
        (FALLING, [5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5], False),  # still falling
        (FALLING, [5.0, 4.0, 3.0, 2.5, 2.5, 2.5, 2.5], True),  # no better for three
        ([5.0, 4.0, 3.0, 2.0, 4.0, 5.0, 6.0], [5.0, 4.0, 3.0, 2.5, 3.0, 3.5, 4.0], False),  # both rise: diverging
        ([2.0] * 7, [5.0, 4.0, 3.0, 2.5, 3.0, 3.5, 4.0], False),  # not learning any more
        (FALLING, [5.0, 4.0, None, 3.0, None, 3.5, 3.6], False),  # evaluations count, not steps
        (FALLING, [5.0, 2.0, None, 3.0, None, 3.5, 3.6], True),
        (FALLING, [None] * 7, False),
        (FALLING[:3], [5.0, 6.0, 7.0], False),  # too early to tell
        ([], [], False),
    ],
)
def test_is_overfitting(training: list[float], validation: list[float | None], overfitting: bool) -> None:
    assert is_overfitting(history(training, validation), every=1) is overfitting


def test_overfitting_shows_at_the_third_evaluation_after_the_best() -> None:
    records = history(FALLING, [5.0, 4.0, 3.0, 2.5, 3.0, 3.5, 4.0])
    assert [is_overfitting(records[:count], every=1) for count in (5, 6, 7)] == [False, False, True]


def test_evaluations_at_snapshots_say_nothing_about_overfitting() -> None:
    training, validation = FALLING * 2, [5.0, 4.0, 3.0, 2.5, 3.0, 3.5, 4.0] * 2
    records = history(sorted(training, reverse=True), validation)
    assert is_overfitting(records, every=1)
    assert not is_overfitting(records, every=6)  # 5.0, 4.0, 3.5


def test_a_single_noisy_batch_does_not_hide_it() -> None:
    training = [5.0, 4.0, 3.0, 2.0, 1.0, 0.9, 2.1, 0.8, 0.7]
    assert is_overfitting(history(training, [5.0, 4.0, 3.0, 2.5, None, None, 3.0, 3.1, 3.2]), every=1)


def test_the_frequencies_of_tokens_are_what_a_model_has_to_beat() -> None:
    train, held_out = np.array([0, 0, 0, 1], np.uint16), np.array([9, 0, 1], np.uint16)
    loss = unigram_loss(train, held_out, 4, tokens=100, context=8)
    assert loss == pytest.approx(-(math.log(4 / 8) + math.log(2 / 8)) / 2)  # each is counted once more
