"""The loss of a model on held-out ids, in nats per token and in bits per byte."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.checkpoint.records import TrainRecord
from minigpt.models.device import autocast
from minigpt.models.kinds import Model
from minigpt.models.network import NOT_SCORED
from minigpt.models.window import windows_at_once
from minigpt.text.shards import Ids
from minigpt.training.ranks import ALONE, Ranks

_STRETCHES, _SHORTEST_STRETCH = 16, 512  # tokens, or two windows
_COUNTED = 1 << 22  # tokens, to know how often each occurs
_RISING = 3  # evaluations without a better one


@dataclass(frozen=True)
class Evaluation:
    """The loss over every token but the first. `bits_per_byte` is comparable between tokenizers, `loss_nats` is not."""

    loss_nats: float
    bits_per_byte: float
    tokens: int


@torch.no_grad()
def evaluate(
    model: Model,
    ids: Ids,
    byte_lengths: np.ndarray,
    *,
    tokens: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    precision: str = "float32",
    ranks: Ranks = ALONE,
    nats_of: Callable[[Tensor, Tensor], float] | None = None,
) -> Evaluation | None:
    """The mean loss over consecutive windows of one context length, none of which sees the one before.

    `ids` [N >= 2]: if there are more than `tokens`, stretches spread over them are used. `byte_lengths` [V]. None if
    `stopped` before the end. Each of several `ranks` evaluates its share of the windows; all receive the result.
    `nats_of`: what else than the model itself gives the summed nats of windows, without ranks.
    """
    was_training = model.training
    model.eval()
    nats, counted, byte_count = 0.0, 0, 0.0
    rows = windows_at_once(model.config, model.device)
    for stretch in _stretches(ids, tokens, model.config.context):
        for x, y in _windows(stretch, model.config.context, rows * ranks.size):
            if stopped():
                break
            if nats_of is not None:
                nats += nats_of(x, y)
            else:
                nats += _loss(model, _share(x, 0, ranks), _share(y, NOT_SCORED, ranks), precision)
        counted += len(stretch) - 1
        byte_count += float(byte_lengths[stretch[1:]].sum())
    model.train(was_training)
    if stopped():
        return None
    nats = ranks.total(nats)
    return Evaluation(nats / counted, nats / math.log(2) / max(1, byte_count), counted)


def unigram_loss(train: Ids, ids: Ids, vocab_size: int, *, tokens: int, context: int) -> float:
    """The loss of a unigram model, in nats per token of `ids`: the baseline that shows whether a model has learned
    anything.

    The model knows only how often each token occurs in `train`, plus one. Of a longer text the same `tokens` are used
    as in `evaluate`, and no more than a few million are counted.
    """
    counts = np.ones(vocab_size)
    for stretch in _stretches(train, _COUNTED, context):
        counts += np.bincount(stretch, minlength=vocab_size)
    nats = -np.log(counts / counts.sum())
    targets = np.concatenate([stretch[1:] for stretch in _stretches(ids, tokens, context)])
    return float(nats[targets].mean())


def _stretches(ids: Ids, tokens: int | None, context: int) -> Iterator[np.ndarray]:
    """All ids, or `tokens` of them in evenly spaced stretches, each with one more id to start from."""
    if tokens is None or len(ids) - 1 <= tokens:
        yield ids[:].astype(np.int64)
        return
    count = max(1, min(_STRETCHES, tokens // max(_SHORTEST_STRETCH, 2 * context)))
    length = tokens // count
    for start in np.linspace(0, len(ids) - length - 1, count).astype(int):
        yield ids[start : start + length + 1].astype(np.int64)


def _loss(model: Model, x_BT: Tensor, y_BT: Tensor, precision: str) -> float:
    """The summed loss in nats."""
    with autocast(model.device, precision):
        logits_BTV = model(x_BT.to(model.device))
    targets = y_BT.to(model.device).flatten()
    return float(F.cross_entropy(logits_BTV.float().flatten(0, 1), targets, reduction="sum"))


def _share(rows: Tensor, fill: int, ranks: Ranks) -> Tensor:
    """This rank's rows, as many as every other rank's: the ranks of a sharded model must all call it, or none."""
    padded = F.pad(rows, (0, 0, 0, -len(rows) % ranks.size), value=fill)
    return padded[ranks.mine(len(padded))]


def _windows(ids: np.ndarray, context: int, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `rows` inputs and targets that cover every target once; the last may hold a single shorter window."""
    tokens = torch.from_numpy(ids)
    x, y = tokens[:-1], tokens[1:]
    whole = len(x) // context * context
    if whole:  # split() makes one empty batch of nothing
        yield from zip(x[:whole].view(-1, context).split(rows), y[:whole].view(-1, context).split(rows), strict=True)
    if whole < len(x):
        yield x[None, whole:], y[None, whole:]


def is_overfitting(history: Sequence[TrainRecord], every: int) -> bool:
    """Whether the best validation loss is three or more evaluations old while the training loss still falls.

    Only the regular evaluations count, at multiples of `every` steps: those of early snapshots are too close together.
    The training loss is averaged between evaluations, because that of a single batch is noisy.
    """
    evaluated = [(i, r.validation_loss_nats) for i, r in enumerate(history) if r.step % every == 0]
    losses = {i: loss for i, loss in evaluated if loss is not None}
    if not losses:
        return False
    best, latest = min(losses, key=losses.__getitem__), max(losses)
    if sum(i > best for i in losses) < _RISING:
        return False
    before, since = _mean_loss(history[: best + 1], latest - best), _mean_loss(history[best + 1 :], latest - best)
    return before is not None and since is not None and since < before


def _mean_loss(history: Sequence[TrainRecord], count: int) -> float | None:
    losses = [r.loss_nats for r in history[-count:] if r.loss_nats is not None]
    return sum(losses) / len(losses) if losses else None
