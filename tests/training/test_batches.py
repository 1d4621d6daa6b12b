"""The batches of a step: each epoch sees the text once, whether they are drawn ahead or when they are asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minigpt.settings import TrainConfig
from minigpt.training.ranks import ALONE, Ranks
from minigpt.training.step import Batches

IDS = np.arange(410, dtype=np.uint16)  # each id is its place
CONFIG = TrainConfig(batch_size=4, accumulation=3, seed=7)
CPU = torch.device("cpu")
EPOCH = 410 // 8 - 1  # windows


def made(config: TrainConfig = CONFIG, ranks: Ranks = ALONE) -> Batches:
    return Batches(IDS, config, 8, CPU, ranks)


def starts(batches: Batches, steps: int) -> list[int]:
    """Where the windows of the first steps begin, in order."""
    drawn = [x for step in range(1, steps + 1) for x, _ in batches.of(step)]
    return [int(first) for x in drawn for first in x[:, 0]]


def test_an_epoch_sees_each_part_of_the_text_once() -> None:
    steps = -(-4 * EPOCH // 12)
    epochs = np.array(starts(made(), steps)[: 4 * EPOCH]).reshape(4, EPOCH)
    for epoch in epochs:
        assert set(np.diff(np.sort(epoch))) == {8}  # the windows follow each other
        assert list(epoch) != sorted(epoch)
    firsts = epochs.min(axis=1)
    assert len(set(firsts)) > 1, "epochs are cut at different places"
    assert len({tuple(epoch - first) for epoch, first in zip(epochs, firsts, strict=True)}) == 4


def test_every_token_is_a_target_sooner_or_later() -> None:
    batches = made()
    seen = {int(id_) for step in range(1, 400) for _, y in batches.of(step) for id_ in y.flatten()}
    assert seen == set(range(1, 410))


def test_targets_are_the_tokens_that_follow() -> None:
    for x, y in made().of(3):
        assert x.shape == y.shape == (4, 8)
        assert y.equal(x + 1)


@pytest.mark.parametrize(("pieces", "size"), [(1, 8), (2, 4), (4, 2), (3, 8)])
def test_shorter_windows_are_pieces_of_the_same_text(pieces: int, size: int) -> None:
    for (x, y), (whole, targets) in zip(made().of(3, pieces=pieces), made().of(3), strict=True):
        assert x.shape == y.shape == (32 // size, size)
        assert x.flatten().equal(whole.flatten())
        assert y.flatten().equal(targets.flatten())


def test_the_seed_and_the_step_decide() -> None:
    one, other = made(), made(replace(CONFIG, seed=8))
    late = [x for x, _ in made().of(9)]
    assert starts(one, 12) == starts(made(), 12) != starts(other, 12)
    assert all(x.equal(again) for x, (again, _) in zip(late, one.of(9), strict=True))  # and not what was drawn before


@pytest.mark.parametrize("length", [9, 10, 16, 17, 25])
def test_a_text_of_hardly_more_than_a_window_is_seen_as_a_whole(length: int) -> None:
    batches = Batches(IDS[:length], CONFIG, 8, CPU, ALONE)
    ends = {int(y[i, -1]) for step in range(1, 60) for _, y in batches.of(step) for i in range(4)}
    assert max(ends) == length - 1
    assert min(ends) >= 8


@pytest.mark.parametrize("size", [1, 2, 4])
def test_ranks_share_a_batch_without_gap_or_overlap(size: int) -> None:
    parts = []
    for rank in range(size):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, size
        parts.append([x for x, _ in made(ranks=ranks).of(5)])
    for whole, *shares in zip([x for x, _ in made().of(5)], *parts, strict=True):
        assert torch.cat(shares).equal(whole)


def test_batches_drawn_ahead_are_those_of_their_step() -> None:
    ahead = made()
    ahead._ahead = {6: ahead._drawn(6, 0.0, 1)}  # as prepare() does for a GPU
    assert all(x.equal(other) for (x, _), (other, _) in zip(ahead.of(5), made().of(5), strict=True))
    assert all(x.equal(other) for (x, _), (other, _) in zip(ahead.of(6), made().of(6), strict=True))
    assert ahead._ahead == {}


def test_a_cpu_draws_nothing_ahead() -> None:
    batches = made()
    batches.prepare(2)
    assert batches._ahead == {}


def test_merges_are_undone_by_seed_and_step_and_the_windows_stay_in_place() -> None:
    parents = np.full((410, 2), -1, np.int64)
    parents[200:] = [3, 5]
    config = replace(CONFIG, bpe_dropout=0.5)

    def drawn(step: int, undone: float, config: TrainConfig = config) -> torch.Tensor:
        return torch.stack([x for x, _ in Batches(IDS, config, 8, CPU, ALONE, parents).of(step, undone)])

    whole, some = drawn(5, 0.0), drawn(5, 0.5)
    assert whole.equal(torch.stack([x for x, _ in made().of(5)]))
    assert some.equal(drawn(5, 0.5))
    assert not some.equal(whole)
    assert not some.equal(drawn(6, 0.5))
    assert not some.equal(drawn(5, 0.5, replace(config, seed=8)))
    split = some == 3
    assert 0.3 < split.sum() / (whole >= 200).sum() < 0.7
    for row, before in zip(some.flatten(0, 1).tolist(), whole.flatten(0, 1).tolist(), strict=True):
        kept = [id_ for id_ in row if id_ not in (3, 5)]
        assert set(kept) <= set(before)
