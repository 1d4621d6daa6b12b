"""Sequences that ask for a key, and what a model recalls of it, from chance to always."""

import pytest
import torch
from torch import Tensor, nn

from minigpt.contest import recall
from minigpt.contest.recall import (
    CONTEXT,
    DISTANCES,
    KEYS,
    NOISE,
    QUESTION,
    VOCABULARY,
    learn_recall,
    recalled,
    seconds_a_step,
    sequences,
)
from minigpt.settings import ModelConfig

CPU = torch.device("cpu")
SMALL = ModelConfig(vocab_size=VOCABULARY, context=CONTEXT, layers=1, heads=1, width=16)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_key_stands_so_many_tokens_before_its_question(distance: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        ids, keys = sequences(distance, 3, generator)
        assert ids.size(1) <= CONTEXT
        assert (ids[:, -1] == QUESTION).all()
        assert (ids[:, -1 - distance] == keys).all()
        assert (keys < KEYS).all()
        noise = torch.cat([ids[:, : -1 - distance], ids[:, -distance:-1]], 1)
        assert ((noise >= KEYS) & (noise < KEYS + NOISE)).all()


def test_what_stands_before_the_key_can_be_said() -> None:
    ids, keys = sequences(4, 2, torch.Generator().manual_seed(1), before=0)
    assert ids.shape == (2, 5)
    assert (ids[:, 0] == keys).all()


class Perfect(nn.Module):
    """Knows the key where it is at most so far back, and else says 0."""

    device = CPU

    def __init__(self, memory: int) -> None:
        super().__init__()
        self.memory = memory

    def forward(self, ids: Tensor, *, last_only: bool) -> Tensor:
        assert last_only
        key = ids[:, 0] if ids.size(1) - 1 <= self.memory else torch.zeros_like(ids[:, 0])
        return nn.functional.one_hot(key, VOCABULARY).float()[:, None]


def test_what_is_recalled_is_counted() -> None:
    shares = dict(recalled(Perfect(32), seed=1))  # type: ignore[arg-type]
    assert list(shares) == list(DISTANCES)
    assert [shares[distance] for distance in (4, 8, 16, 32)] == [1.0] * 4
    assert shares[64] < 0.2  # chance


def test_a_model_learns_what_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "DISTANCES", (2, 4))
    losses: list[float] = []
    model = learn_recall(SMALL, 150, 1e-2, 1, CPU, progress=lambda step, loss: losses.append(loss))
    assert model is not None
    assert not model.training
    assert len(losses) == 150
    assert sum(losses[-10:]) < sum(losses[:10]) / 4
    assert dict(recalled(model, 1, (2, 4)))[4] > 0.9


def test_a_seed_learns_the_same(kind: str) -> None:
    config = ModelConfig(
        model=kind, vocab_size=VOCABULARY, context=CONTEXT, layers=1, heads=1, width=8,
        window=4 if kind == "window" else None,
    )  # fmt: skip
    losses: dict[int, list[float]] = {0: [], 1: []}
    for time, heard in losses.items():
        assert learn_recall(config, 3, 1e-3, 7, CPU, progress=lambda step, loss, to=heard: to.append(loss)), time
    assert losses[0] == losses[1]


def test_it_stops_between_two_steps() -> None:
    steps: list[int] = []
    found = learn_recall(
        SMALL, 5, 1e-3, 1, CPU, stopped=lambda: len(steps) == 2, progress=lambda step, loss: steps.append(step)
    )
    assert (found, steps) == (None, [1, 2])


def test_a_step_takes_time() -> None:
    assert seconds_a_step(SMALL, CPU) > 0
