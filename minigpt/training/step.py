"""What a training step is made of: its batches, the next of which are prepared in the background, and the gradients."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from minigpt.errors import ConfigError, named
from minigpt.models.device import autocast
from minigpt.models.gradients import Batch
from minigpt.models.kinds import Model
from minigpt.settings import TrainConfig
from minigpt.text.shards import Ids
from minigpt.training.distributed import Ranks, full

Loss = Callable[[Tensor, Tensor], Tensor]  # called with a batch


class Batches:
    """The batches of each optimizer step, `accumulation` of them; they depend on the seed and the step alone.

    Each of several `ranks` reads its own rows. While a GPU computes, `prepare` draws the next batches on the CPU and
    copies them from pinned memory, so call it before waiting for the GPU. On a CPU this gains nothing.
    """

    def __init__(self, ids: Ids, config: TrainConfig, context: int, device: torch.device, ranks: Ranks) -> None:
        self._ids, self._config, self._context, self._device = ids, config, context, device
        self._rows = ranks.mine(config.batch_size)
        self._generator = torch.Generator()
        self._ahead: dict[int, list[Batch]] = {}

    def of(self, step: int) -> list[Batch]:
        """The batches of `step`."""
        return self._ahead.pop(step, None) or self._drawn(step)

    def prepare(self, step: int) -> None:
        """Draw the batches of `step` ahead of time, where that saves time."""
        if self._device.type == "cuda":
            self._ahead = {step: self._drawn(step)}

    def _drawn(self, step: int) -> list[Batch]:
        self._generator.manual_seed(mixed(self._config.seed, step))
        return [self._placed() for _ in range(self._config.accumulation)]

    def _placed(self) -> Batch:
        windows = random_windows(self._ids, self._config.batch_size, self._context, self._generator, self._rows)
        if self._device.type == "cuda":
            windows = windows.pin_memory()
        # Whole: a copy of what is not contiguous would wait.
        windows = windows.to(self._device, non_blocking=True)
        return windows[:, :-1], windows[:, 1:]


def random_windows(ids: Ids, batch: int, context: int, generator: torch.Generator, part: slice = slice(None)) -> Tensor:
    """Random windows [B, T + 1], int64 on the CPU.

    Of a batch shared by several processes, only the rows of `part` are read.
    """
    starts = torch.randint(len(ids) - context, (batch, 1), generator=generator)[part].numpy()
    return torch.from_numpy(ids[starts + np.arange(context + 1)].astype(np.int64))


def random_batch(ids: Ids, batch: int, context: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs [B, T] and targets [B, T], shifted by one token, from `random_windows`."""
    windows = random_windows(ids, batch, context, generator)
    return windows[:, :-1], windows[:, 1:]


def mixed(*numbers: int) -> int:
    """A seed of 32 bits, as torch's CPU generator takes it. A trailing 0 changes nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class AutogradStep:
    """`step(batches, key)` takes an optimizer step by torch's autograd, on any device and any `ranks`.

    Returns this rank's mean loss in nats per token, as numbers to add up, and the norm of the gradient before it is
    clipped; a GPU may still be computing them. Dropout depends on `key` alone.
    """

    def __init__(self, model: Model, config: TrainConfig, optimizers: Sequence[Optimizer], ranks: Ranks) -> None:
        self._model, self._config, self._optimizers, self._ranks = model, config, optimizers, ranks
        model.gradient_checkpointing = config.gradient_checkpointing
        self._trained = ranks.trained(model)
        self._loss = loss_function(self._trained, model.device, config)

    def __call__(self, batches: Sequence[Batch], key: int) -> tuple[list[Tensor], Tensor]:
        if self._model.config.dropout:  # draws from the global generator
            torch.manual_seed(key)
        *first, last = batches
        with self._ranks.accumulating(self._trained):
            losses = [self._backward(batch) for batch in first]
        losses.append(self._backward(last))
        limit = self._config.clip_norm or float("inf")
        norm = full(torch.nn.utils.clip_grad_norm_(self._model.parameters(), limit))
        for optimizer in self._optimizers:
            optimizer.step()
        self._model.zero_grad(set_to_none=True)
        return losses, norm

    def _backward(self, batch: Batch) -> Tensor:
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
