"""A step in C beside torch's: the optimizers, the loss on the way, and which trainings take it."""

import math
import shutil
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest
import torch

from minigpt.models.gpt import GPT
from minigpt.models.kinds import new_model
from minigpt.models.train_library import train_library
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import TokenData
from minigpt.training import loop
from minigpt.training.loop import Trainer
from minigpt.training.native_step import NativeStep, _shared, is_native_step
from minigpt.training.optim import JORDAN, MINIMAX, Muon, build_optimizers
from minigpt.training.ranks import ALONE

pytestmark = pytest.mark.skipif(
    train_library() is None and shutil.which("cc") is None, reason="train.c was not compiled, without a C compiler"
)
CONFIG = ModelConfig(vocab_size=64, context=16, layers=2, heads=2, width=24)


def new(config: ModelConfig = CONFIG, seed: int = 1) -> GPT:
    model = new_model(config).initialise(torch.Generator().manual_seed(seed))
    assert isinstance(model, GPT)
    return model


def some_text() -> np.ndarray:
    """Something to learn: each token follows from the one before, but for every fifth."""
    generator = np.random.default_rng(0)
    ids = [1]
    for _ in range(4000):
        ids.append(int(generator.integers(64)) if generator.random() < 0.2 else (ids[-1] * 5 + 3) % 64)
    return np.array(ids, dtype=np.uint16)


def trainer(config: TrainConfig, model: GPT | None = None) -> Trainer:
    ids = some_text()
    return Trainer(model or new(seed=config.seed), TokenData(ids, ids[:0]), config, np.ones(64))


def losses(config: TrainConfig, model: GPT | None = None) -> list[float]:
    return [r.loss_nats for r in trainer(config, model).records() if r.loss_nats is not None]


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the step in C on processors too on which torch is preferred."""
    monkeypatch.setattr("minigpt.training.native_step.has_wide_registers", lambda: True)
    monkeypatch.setattr("minigpt.training.native_step.multiplies_in_bfloat16", lambda: True)


def gradients_of(model: GPT, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("rounds", [MINIMAX, JORDAN])
@pytest.mark.parametrize("width", [24, 34])  # 34: no number of columns that a register holds divides it
def test_the_optimizers_do_what_torchs_do(kind: str, rounds: Sequence[tuple[float, float, float]], width: int) -> None:
    config, shape = TrainConfig(optimizer=kind, clip_norm=1.0), ModelConfig(**{**vars(CONFIG), "width": width})
    ours, theirs = new(shape), new(shape)
    by_c, by_torch = build_optimizers(ours, config), build_optimizers(theirs, config)
    for optimizer in (*by_c, *by_torch):
        if isinstance(optimizer, Muon):
            optimizer.rounds = rounds
    step = NativeStep(ours, config, by_c, ALONE)
    for seed in range(4):
        gradients_of(ours, seed)
        gradients_of(theirs, seed)
        norm = float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0))
        step.update(min(1.0, 1 / (norm + 1e-6)))
        for optimizer in by_torch:
            optimizer.step()
    moved = 0.0
    for (name, mine), other, first in zip(
        ours.named_parameters(), theirs.parameters(), new(shape).parameters(), strict=True
    ):
        change = float((other - first).detach().abs().max())
        moved += change
        torch.testing.assert_close(mine, other, atol=2e-3 * change + 1e-7, rtol=0, msg=name)
    assert moved > 0.1


@pytest.mark.parametrize("width", [24, 34])
def test_muon_in_bfloat16_turns_its_updates_a_little(width: int) -> None:
    shape = ModelConfig(**{**vars(CONFIG), "width": width})
    library = train_library()
    assert library is not None
    moved = list[dict[str, torch.Tensor]]()
    for precision in ("float32", "bfloat16"):
        config = TrainConfig(precision=precision, weight_decay=0.0)
        model = new(shape)
        step = NativeStep(model, config, build_optimizers(model, config), ALONE)
        gradients_of(model, 1)
        step.update(1.0)
        first = dict(new(shape).named_parameters())
        moved.append({n: (p - first[n]).detach() for n, p in model.named_parameters()})
    for name, exact in moved[0].items():
        if name.startswith("h.") and exact.dim() == 2:
            turned = float((moved[1][name] - exact).norm() / exact.norm())
            assert turned < 0.15, name
            assert (turned > 0) == bool(library.train_has_bfloat16()), name  # else it is computed in float32
        else:
            assert torch.equal(moved[1][name], exact), name


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("clip_norm", [0.0, 0.1])
def test_the_first_steps_are_those_of_autograd(
    accumulation: int, clip_norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(
        steps=6, batch_size=6, accumulation=accumulation, clip_norm=clip_norm, precision="float32", warmup_steps=2
    )
    mine = list(trainer(config).records())
    monkeypatch.setattr(loop, "is_native_step", lambda *_: False)
    theirs = list(trainer(config).records())
    for one, other in zip(mine[1:], theirs[1:], strict=True):
        assert one.loss_nats == pytest.approx(other.loss_nats, rel=2e-4)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_three_hundred_steps_learn_as_much_as_by_autograd(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean loss of the last hundred lies within what the seed changes."""
    config = TrainConfig(steps=300, batch_size=4, precision=precision)
    mine = fmean(losses(config)[-100:])
    monkeypatch.setattr(loop, "is_native_step", lambda *_: False)
    others = [
        fmean(losses(TrainConfig(steps=300, batch_size=4, precision="float32", seed=seed))[-100:])
        for seed in (1, 2, 3, 4)
    ]
    assert mine < 2.5 < math.log(64)  # it has learned
    assert abs(mine - others[0]) < max(others) - min(others)


def test_no_gradient_is_kept_after_a_step() -> None:
    model = new()
    assert len(losses(TrainConfig(steps=2, batch_size=4, precision="float32"), model)) == 2
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_state_can_be_continued_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(steps=6, batch_size=4, precision="float32")
    first = trainer(config)
    records = first.records()
    for _ in range(4):
        next(records)
    tensors, values = first.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    rest = [r.loss_nats for r in records]
    again = trainer(config)
    assert again.misfit(tensors) is None
    again.restore(tensors, values)
    assert [r.loss_nats for r in again.records()] == rest  # to the bit
    monkeypatch.setattr(loop, "is_native_step", lambda *_: False)
    by_torch = trainer(config)
    assert by_torch.misfit(tensors) is None
    by_torch.restore(tensors, values)
    assert [r.loss_nats for r in by_torch.records()] == pytest.approx(rest, rel=1e-3)


def test_which_trainings_take_the_step_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    model = new()
    assert is_native_step(model, TrainConfig(), ALONE)
    assert is_native_step(model, TrainConfig(precision="mixed"), ALONE)
    for can in (True, False):
        monkeypatch.setattr("minigpt.training.native_step.multiplies_in_bfloat16", lambda can=can: can)
        assert is_native_step(model, TrainConfig(precision="bfloat16"), ALONE) == can
    assert not is_native_step(model, TrainConfig(compile=True), ALONE)
    assert not is_native_step(model, TrainConfig(gradient_checkpointing=True), ALONE)
    lstm = new_model(ModelConfig(model="lstm", vocab_size=64, context=16, layers=1, heads=1, width=24))
    assert not is_native_step(lstm, TrainConfig(), ALONE)
    monkeypatch.setattr("minigpt.training.native_step.has_wide_registers", lambda: False)
    assert not is_native_step(model, TrainConfig(), ALONE)


def test_updates_are_shared_by_their_cost() -> None:
    done = list[tuple[int, int]]()

    def update(number: int):
        return lambda thread: done.append((thread, number))

    costs = [5, 1, 4, 2, 2]
    for share in _shared(((cost, update(i)) for i, cost in enumerate(costs)), 2):
        for one in share:
            one()
    assert sorted(number for _, number in done) == [0, 1, 2, 3, 4]
    assert [sum(costs[n] for thread, n in done if thread == t) for t in (0, 1)] == [7, 7]


@pytest.mark.parametrize(
    ("width", "windows", "threads", "native"),
    [(24, 8, 2, True), (24, 8, 32, True), (512, 8, 32, False), (512, 9, 16, True), (24, 1, 2, False), (24, 1, 1, True)],
)
def test_few_windows_for_many_threads_are_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, width: int, windows: int, threads: int, native: bool
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    with torch.device("meta"):
        model = GPT(ModelConfig(**{**vars(CONFIG), "width": width}))
    monkeypatch.setattr("minigpt.training.native_step.has_gradients", lambda model: True)
    config = (
        TrainConfig(batch_size=windows // 2, accumulation=2) if windows % 2 == 0 else TrainConfig(batch_size=windows)
    )
    assert is_native_step(model, config, ALONE) == native
