"""The batches of a step: the same whether they are drawn ahead or when they are asked for."""

import numpy as np
import torch

from minigpt.settings import TrainConfig
from minigpt.training.distributed import ALONE
from minigpt.training.step import Batches, mixed, random_batch

IDS = np.random.default_rng(0).integers(0, 50, 400).astype(np.uint16)
CONFIG = TrainConfig(batch_size=4, accumulation=3, seed=7)
CPU = torch.device("cpu")


def made() -> Batches:
    return Batches(IDS, CONFIG, 8, CPU, ALONE)


def test_a_step_has_its_batches_by_its_number_and_the_seed() -> None:
    generator = torch.Generator().manual_seed(mixed(7, 5))
    expected = [random_batch(IDS, 4, 8, generator) for _ in range(3)]
    for (x, y), (expected_x, expected_y) in zip(made().of(5), expected, strict=True):
        assert x.equal(expected_x)
        assert y.equal(expected_y)


def test_batches_drawn_ahead_are_those_of_their_step() -> None:
    ahead = made()
    ahead._ahead = {6: ahead._drawn(6)}  # as prepare() does for a GPU
    assert all(x.equal(other) for (x, _), (other, _) in zip(ahead.of(5), made().of(5), strict=True))
    assert all(x.equal(other) for (x, _), (other, _) in zip(ahead.of(6), made().of(6), strict=True))
    assert ahead._ahead == {}


def test_a_cpu_draws_nothing_ahead() -> None:
    batches = made()
    batches.prepare(2)
    assert batches._ahead == {}
