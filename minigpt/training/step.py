"""What a training step is made of: its batches, the next of which are prepared in the background, and the gradients."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.errors import ConfigError, named
from minigpt.models.device import autocast
from minigpt.models.gradients import Batch
from minigpt.models.kinds import Model
from minigpt.settings import TrainConfig
from minigpt.text.shards import Ids
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.optim import Optimizer
from minigpt.training.ranks import Ranks, full
from minigpt.training.schedule import window_size

Loss = Callable[..., Tensor]  # called with a batch
NewLoss = Callable[[nn.Module, torch.device, TrainConfig], Loss]


class Batches:
    """The batches of each optimizer step, `accumulation` of them; they depend on the seed and the step alone.

    In every epoch each part of the text is seen once, in a new order and cut into windows at other places. Each of
    several `ranks` reads its own rows. BPE-dropout, for which `parents` are those of merge_parents, also depends on
    the number of ranks. While a GPU computes, `prepare` draws the next batches on the CPU and copies
    them from pinned memory, so call it before waiting for the GPU. On a CPU this gains nothing.
    """

    def __init__(
        self,
        ids: Ids,
        config: TrainConfig,
        context: int,
        device: torch.device,
        ranks: Ranks,
        parents: np.ndarray | None = None,
    ) -> None:
        self._ids, self._config, self._context, self._device = ids, config, context, device
        self._rows, self._rank, self._parents = ranks.mine(config.batch_size), ranks.rank, parents
        self._epoch_size = epoch_size(len(ids), context)
        self._epoch = -1, np.empty(0, np.int64)
        self._ahead: dict[int, list[Batch]] = {}

    def of(self, step: int, undone: float = 0.0, pieces: int = 1) -> list[Batch]:
        """The batches of `step` (counted from 1), with this share of merges `undone`.

        Each window is cut into `pieces`, as far as they divide the context.
        """
        return self._ahead.pop(step, None) or self._drawn(step, undone, pieces)

    def prepare(self, step: int, undone: float = 0.0, pieces: int = 1) -> None:
        """Draw the batches of `step` ahead of time, where that saves time."""
        if self._device.type == "cuda":
            self._ahead = {step: self._drawn(step, undone, pieces)}

    def _drawn(self, step: int, undone: float, pieces: int) -> list[Batch]:
        count, size = self._config.accumulation, self._config.batch_size
        starts = self._starts((step - 1) * count * size, count * size)
        windows = [windows_at(self._ids, each[self._rows], self._context) for each in starts.reshape(count, size)]
        if undone and self._parents is not None:
            random = np.random.default_rng((self._config.seed, step, self._rank)).random
            windows = [with_merges_undone(each, self._parents, undone, random) for each in windows]
        return [self._placed(each, window_size(self._context, pieces)) for each in windows]

    def _starts(self, first: int, count: int) -> np.ndarray:
        """Where `count` windows of the training begin, from number `first` on."""
        epochs, places = np.divmod(np.arange(first, first + count), self._epoch_size)
        return np.concatenate([self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def _order(self, epoch: int) -> np.ndarray:
        """Where the windows of an epoch begin, in the order in which they are read."""
        if self._epoch[0] != epoch:
            self._epoch = epoch, epoch_starts(len(self._ids), self._context, self._config.seed, epoch)
        return self._epoch[1]

    def _placed(self, ids: np.ndarray, size: int) -> Batch:
        windows = torch.from_numpy(ids)
        if self._device.type == "cuda":
            windows = windows.pin_memory()
        # Whole: a copy of what is not contiguous would wait.
        windows = windows.to(self._device, non_blocking=True)
        return windows[:, :-1].reshape(-1, size), windows[:, 1:].reshape(-1, size)


def epoch_size(tokens: int, context: int) -> int:
    """The number of windows in an epoch: as many as fit wherever the first one begins."""
    return max(1, tokens // context - 1)


def epoch_starts(tokens: int, context: int, seed: int, epoch: int) -> np.ndarray:
    """Where the windows of an epoch begin, in the order in which they are read: side by side from a random place on."""
    generator, size = torch.Generator().manual_seed(mixed(seed, epoch)), epoch_size(tokens, context)
    offset = torch.randint(tokens - size * context, (), generator=generator)
    return (offset + context * torch.randperm(size, generator=generator)).numpy()


def windows_at(ids: Ids, starts: np.ndarray, context: int) -> np.ndarray:
    """The windows [B, T + 1] of `ids` that begin at `starts` [B], int64."""
    return ids[starts[:, None] + np.arange(context + 1)].astype(np.int64)


def random_batch(ids: Ids, batch: int, context: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs [B, T] and targets [B, T], shifted by one token, of random windows."""
    starts = torch.randint(len(ids) - context, (batch,), generator=generator).numpy()
    windows = torch.from_numpy(windows_at(ids, starts, context))
    return windows[:, :-1], windows[:, 1:]


def mixed(*numbers: int) -> int:
    """A seed of 32 bits, as torch's CPU generator takes it. A trailing 0 changes nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class AutogradStep:
    """`step(batches, key)` takes an optimizer step by torch's autograd, on any device and any `ranks`.

    Returns this rank's mean loss in nats per token, as numbers to add up, and the norm of the gradient before it is
    clipped; a GPU may still be computing them. Dropout depends on `key` alone. `loss` makes the loss of a batch, and
    `update` changes the parameters by gradients that are multiplied by a factor, in place of the optimizers' own steps.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        optimizers: Sequence[Optimizer],
        ranks: Ranks,
        loss: NewLoss,
        update: Callable[[float], None] | None = None,
    ) -> None:
        self._model, self._config, self._optimizers, self._ranks = model, config, optimizers, ranks
        self._update = update
        model.gradient_checkpointing = config.gradient_checkpointing
        self._trained = ranks.trained(model)
        self._loss = loss(self._trained, model.device, config)

    def __call__(self, batches: Sequence[Sequence[Any]], key: int) -> tuple[list[Tensor], Tensor]:
        if self._model.config.dropout:  # draws from the global generator
            torch.manual_seed(key)
        *first, last = batches
        with self._ranks.accumulating(self._trained):
            losses = [self._backward(batch) for batch in first]
        losses.append(self._backward(last))
        limit = self._config.clip_norm or float("inf")
        if self._update is None:
            norm = full(torch.nn.utils.clip_grad_norm_(self._model.parameters(), limit))
            for optimizer in self._optimizers:
                optimizer.step()
        else:
            gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            self._update(min(1.0, limit / (float(norm) + 1e-6)))  # as clip_grad_norm_ has it
        self._model.zero_grad(set_to_none=True)
        return losses, norm

    def _backward(self, batch: Sequence[Any]) -> Tensor:
        """Forward and backward over this rank's part of a batch; returns its share of the step's loss in nats."""
        loss = self._loss(*batch)
        loss.backward()
        return loss.detach()


def loss_function(model: nn.Module, device: torch.device, config: TrainConfig) -> Loss:
    """The mean loss of a batch in nats per token, as a share of the step's loss; compiled if `config` asks for it."""

    def loss(x_BT: Tensor, y_BT: Tensor) -> Tensor:
        with autocast(device, config.precision):
            logits_BTV = model(x_BT)
        return F.cross_entropy(logits_BTV.float().flatten(0, 1), y_BT.flatten()) / config.accumulation

    return compiled(loss) if config.compile else loss


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile `function` with `torch.compile`; its modules and the names of their weights stay the same.

    The first call takes seconds to minutes. It raises ConfigError if this machine cannot compile: a CPU needs a C++
    compiler.
    """
    faster = torch.compile(function)

    def call(*tensors: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return faster(*tensors)
        except TorchDynamoException as error:
            reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
            raise ConfigError(f"{named('compile')} does not work on this machine: {reason}\nLeave it out.") from error

    return call


# --- BPE-dropout: merges are undone at random, so that a model in training sees a text cut in many ways


def merge_parents(tokenizer: Tokenizer) -> np.ndarray:
    """The two tokens that each token was merged from, [V, 2] int64; -1 for a token that no merge makes."""
    model = json.loads(tokenizer.to_json())["model"]
    places, parents = model["vocab"], np.full((tokenizer.vocab_size, 2), -1, np.int64)
    for left, right in model.get("merges", ()):
        merged = places.get(left + right)
        # Of two merges that make the same token, the one learned first is the usual one.
        if merged is not None and left and right and parents[merged, 0] < 0:
            parents[merged] = places[left], places[right]
    return parents


def with_merges_undone(
    ids_BT: np.ndarray, parents: np.ndarray, share: float, random: Callable[[int], np.ndarray]
) -> np.ndarray:
    """`ids_BT` with each merge undone with probability `share`, the last one of a token first; as many ids a row.

    What no longer fits into its row is cut off. `random` gives so many numbers from 0 to 1. Provilkov et al.,
    "BPE-Dropout", 2020, skip merges while a text is encoded; this needs no text, and never merges otherwise.
    """
    rows, length = ids_BT.shape
    ids, row_of, is_new = ids_BT.ravel(), np.repeat(np.arange(rows), length), np.ones(ids_BT.size, bool)
    while True:
        undone = is_new & (parents[ids, 0] >= 0)
        undone[undone] = random(int(undone.sum())) < share
        if not undone.any():
            break
        counts = 1 + undone
        rights = np.cumsum(counts)[undone] - 1
        pairs = parents[ids[undone]]
        ids, row_of, is_new = (np.repeat(each, counts) for each in (ids, row_of, undone))
        ids[rights - 1], ids[rights] = pairs.T
    starts = np.searchsorted(row_of, np.arange(rows))
    kept: np.ndarray = ids[starts[:, None] + np.arange(length)]
    return kept
