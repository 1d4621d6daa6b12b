"""What training a model of pairs does differently: its batches, and the loss on validation pairs."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.device import autocast
from minigpt.models.encoder_decoder import PADDING, EncoderDecoder
from minigpt.settings import TrainConfig
from minigpt.text.pairs import PairIds
from minigpt.training.evaluate import Evaluation
from minigpt.training.ranks import ALONE, Ranks
from minigpt.training.step import mixed

_SORTED = 32  # batches' pairs are sorted by length together, so that little of a batch is padding
_AT_ONCE = 256  # pairs of an evaluation


class PairBatch(NamedTuple):
    """Sources [B, S], what the decoder reads [B, T], and what it is to write [B, T]; PADDING behind the shorter.

    The loss of the step is the sum over the targets divided by `divisor`, averaged over the ranks.
    """

    source: Tensor
    inputs: Tensor
    targets: Tensor
    divisor: float

    @classmethod
    def of(cls, pairs: PairIds, numbers: np.ndarray, device: torch.device, ranks: Ranks = ALONE) -> "PairBatch":
        """The pairs with these numbers; of several `ranks`, this one's part of them."""
        mine = numbers[ranks.mine(len(numbers))]
        targets = [pairs.target(number) for number in mine]
        inputs = [np.insert(target[:-1], 0, pairs.end) for target in targets]
        rows = ([pairs.source(number) for number in mine], inputs, targets)
        source, read, written = (torch.from_numpy(_padded(each)).to(device) for each in rows)
        return cls(source, read, written, float((pairs.stops - pairs.middles)[numbers].sum()) / ranks.size)


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows), default=1)), PADDING, np.int64)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return padded


class PairBatches:
    """The batches of each optimizer step, as those of `Batches`: every pair once in each epoch, in a new order.

    Pairs of about the same length share a batch.
    """

    def __init__(self, pairs: PairIds, config: TrainConfig, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._pairs, self._config, self._device = pairs, config, device
        self._ranks = ranks
        self._epoch = -1, np.empty((0, 0), np.int64)

    def of(self, step: int, undone: float = 0.0, pieces: int = 1) -> list[PairBatch]:
        """The batches of `step` (counted from 1)."""
        count = self._config.accumulation
        return [self._batch(number) for number in range((step - 1) * count, step * count)]

    def prepare(self, step: int, undone: float = 0.0, pieces: int = 1) -> None:
        """Nothing: batches of pairs are small."""

    def _batch(self, number: int) -> PairBatch:
        epoch, place = divmod(number, math.ceil(len(self._pairs) / self._config.batch_size))
        return PairBatch.of(self._pairs, self._order(epoch)[place], self._device, self._ranks)

    def _order(self, epoch: int) -> np.ndarray:
        """[batches, B] the numbers of the pairs; the last batch is filled up with pairs of the beginning."""
        if self._epoch[0] != epoch:
            size, random = self._config.batch_size, np.random.default_rng(mixed(self._config.seed, epoch))
            shuffled = random.permutation(len(self._pairs))
            numbers = np.resize(shuffled, math.ceil(len(shuffled) / size) * size)
            lengths = self._pairs.sizes
            pools = [numbers[i : i + _SORTED * size] for i in range(0, len(numbers), _SORTED * size)]
            batches = np.concatenate([pool[lengths[pool].argsort(kind="stable")].reshape(-1, size) for pool in pools])
            self._epoch = epoch, batches[random.permutation(len(batches))]
        return self._epoch[1]


def pair_loss(model: Callable[..., Tensor], device: torch.device, config: TrainConfig) -> Callable[..., Tensor]:
    """The mean loss in nats over the tokens of a batch's targets, as a share of the step's loss."""

    def loss(source_BS: Tensor, inputs_BT: Tensor, targets_BT: Tensor, divisor: float) -> Tensor:
        with autocast(device, config.precision):
            logits_NV = model(source_BS, inputs_BT)
        nats = F.cross_entropy(logits_NV.float(), targets_BT[targets_BT != PADDING], reduction="sum")
        return nats / divisor / config.accumulation

    return loss


@torch.no_grad()
def evaluate_pairs(
    model: EncoderDecoder,
    pairs: PairIds,
    byte_lengths: np.ndarray,
    *,
    tokens: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    precision: str = "float32",
    ranks: Ranks = ALONE,
) -> Evaluation | None:
    """The mean loss over the tokens of targets, as `evaluate`; of many pairs, those that have about `tokens`."""
    was_training = model.training
    model.eval()
    nats, counted, byte_count = 0.0, 0, 0.0
    for turn, numbers in enumerate(_share(pairs, tokens)):
        if stopped():
            break
        batch = PairBatch.of(pairs, numbers, model.device)
        written = batch.targets[batch.targets != PADDING]
        counted += len(written)
        byte_count += float(byte_lengths[written.cpu().numpy()].sum())
        if turn % ranks.size == ranks.rank:
            with autocast(model.device, precision):
                logits_NV = model(batch.source, batch.inputs)
            nats += float(F.cross_entropy(logits_NV.float(), written, reduction="sum"))
    model.train(was_training)
    if stopped():
        return None
    nats = ranks.total(nats)
    return Evaluation(nats / counted, nats / math.log(2) / max(1, byte_count), counted)


def _share(pairs: PairIds, tokens: int | None) -> Iterator[np.ndarray]:
    """The numbers of the pairs to evaluate, some at once, sorted by length."""
    numbers, sizes = np.arange(len(pairs)), pairs.sizes
    if tokens is not None and sizes.sum() > tokens:
        numbers = numbers[:: math.ceil(sizes.sum() / tokens)]
    numbers = numbers[sizes[numbers].argsort(kind="stable")]
    yield from np.split(numbers, range(_AT_ONCE, len(numbers), _AT_ONCE))
