"""An optimizer step on the CPU in C (train.c), where it could be compiled: gradients, clipping, Muon and AdamW.

The state of the optimizers stays where torch keeps it, so a run can be saved and resumed either way.
"""

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeGuard

import torch
from torch import Tensor

from minigpt.models import train_library as c
from minigpt.models.device import multiplies_in_bfloat16
from minigpt.models.gpt import GPT
from minigpt.models.gradients import Batch, Gradients, has_gradients
from minigpt.models.kinds import Model
from minigpt.models.train_library import has_wide_registers, train_library
from minigpt.models.workers import Workers
from minigpt.settings import TrainConfig
from minigpt.training.optim import Muon, Optimizer
from minigpt.training.ranks import Ranks

_WIDE = 512  # a product of such a model is worth sharing among threads
_ADAMW_COST = 20  # of a number, in multiplications of a matrix product


def is_native_step(model: Model, config: TrainConfig, ranks: Ranks) -> TypeGuard[GPT]:
    """Whether `NativeStep` can train this model, and in less time than torch.

    It multiplies in bfloat16 where the processor can, and computes in float32 otherwise. It gives each thread whole
    windows; where a step has too few of them for the threads, torch is better at sharing out the products of a wide
    model.
    """
    if config.compile or config.gradient_checkpointing or ranks.shard:
        return False
    if config.precision == "bfloat16" and not multiplies_in_bfloat16():
        return False
    windows = config.batch_size * config.accumulation // ranks.size
    is_shared = 2 * windows > torch.get_num_threads() or (model.config.width < _WIDE and windows > 1)
    return isinstance(model, GPT) and is_shared and has_wide_registers() and has_gradients(model)


class NativeUpdate:
    """`update(factor)` lets optimizers change their parameters in C, by gradients that are multiplied by `factor`.

    The parameters are float32 on the CPU. With `bfloat16`, Muon multiplies in it.
    """

    def __init__(self, optimizers: Sequence[Optimizer], workers: Workers, *, bfloat16: bool) -> None:
        library = train_library()
        assert library is not None
        self._library, self._optimizers, self._workers, self._bfloat16 = library, optimizers, workers, bfloat16
        self._work = [torch.empty(0) for _ in range(workers.count)]

    def __call__(self, factor: float) -> None:
        self._workers.run([partial(_all, share) for share in _shared(self._updates(factor), self._workers.count)])

    def _updates(self, factor: float) -> Iterator[tuple[float, Callable[[int], None]]]:
        """For each parameter that learns, what its update costs, and the update, called with its thread's number."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    state = optimizer.state[parameter]
                    if isinstance(optimizer, Muon):
                        yield self._muon(parameter, state, group, optimizer, factor)
                    else:
                        yield self._adamw(parameter, state, group, factor)

    def _adamw(
        self, parameter: Tensor, state: dict[str, Tensor], group: dict, factor: float
    ) -> tuple[float, Callable[[int], None]]:
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2), rate = float(state["step"]), group["betas"], group["lr"]
        settings = c.AdamW(
            beta1=beta1,
            beta2=beta2,
            epsilon=group["eps"],
            rate=rate / (1 - beta1**step),
            unbias=1 / math.sqrt(1 - beta2**step),
            kept=1 - rate * group["weight_decay"],
        )
        tensors = _addresses(parameter, state["exp_avg"], state["exp_avg_sq"])

        def update(thread: int) -> None:
            self._library.train_adamw(*tensors, parameter.numel(), factor, ctypes.byref(settings))

        return _ADAMW_COST * parameter.numel(), update

    def _muon(
        self, parameter: Tensor, state: dict[str, Tensor], group: dict, optimizer: Muon, factor: float
    ) -> tuple[float, Callable[[int], None]]:
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        rounds = [number for quintic in optimizer.rounds for number in quintic]
        quintics = (ctypes.c_float * len(rounds))(*rounds)
        settings = c.Muon(
            rate=group["lr"],
            momentum=group["momentum"],
            kept=1 - group["lr"] * group["weight_decay"],
            rounds=len(optimizer.rounds),
            quintics=ctypes.addressof(quintics),
            bfloat16=self._bfloat16,
        )
        tensors = _addresses(parameter, state["momentum_buffer"])
        (rows, columns), parts = parameter.shape, group["parts"]
        size = self._library.train_muon_work(rows, columns, parts)

        def update(thread: int) -> None:
            if len(self._work[thread]) < size:
                self._work[thread] = torch.empty(size)
            work, at = self._work[thread].data_ptr(), ctypes.byref(settings)
            self._library.train_muon(*tensors, rows, columns, parts, factor, at, work)
            assert quintics is not None  # which `settings` points to

        short, long = sorted((rows, columns // parts))
        return parts * (3 * short * short * long + 9 * short**3), update


def native_update(model: Model, config: TrainConfig, optimizers: Sequence[Optimizer]) -> NativeUpdate | None:
    """A NativeUpdate where the processor is faster in C; None elsewhere."""
    if model.device.type != "cpu" or not has_wide_registers():
        return None
    bfloat16 = config.precision == "bfloat16" and multiplies_in_bfloat16()
    return NativeUpdate(optimizers, Workers(torch.get_num_threads()), bfloat16=bfloat16)


class NativeStep:
    """`step(batches, key)`, as AutogradStep's, with as many threads as torch has at the beginning."""

    def __init__(self, model: GPT, config: TrainConfig, optimizers: Sequence[Optimizer], ranks: Ranks) -> None:
        self._model, self._config, self._ranks = model, config, ranks
        workers, bfloat16 = Workers(torch.get_num_threads()), config.precision == "bfloat16"
        self._gradients = Gradients(model, workers, bfloat16=bfloat16)
        self.update = NativeUpdate(optimizers, workers, bfloat16=bfloat16)

    def __call__(self, batches: Sequence[Batch], key: int) -> tuple[list[Tensor], Tensor]:
        loss = self._gradients(batches, key)
        squares = self._gradients.squares
        if self._ranks.size > 1:
            self._ranks.average(self._gradients.flat)
            squares = float(self._gradients.flat.square().sum())
        norm = math.sqrt(squares)
        limit = self._config.clip_norm or math.inf
        factor = min(1.0, limit / (norm + 1e-6))  # as torch.nn.utils.clip_grad_norm_ has it
        self.update(factor)
        self._model.zero_grad(set_to_none=True)
        return [torch.tensor(loss)], torch.tensor(norm)

    def nats(self, ids_BT: Tensor, targets_BT: Tensor) -> float:
        """The summed nats of these windows, as evaluations need them."""
        return self._gradients.nats(ids_BT, targets_BT)


def _addresses(parameter: Tensor, *moments: Tensor) -> list[int]:
    assert parameter.grad is not None
    return [each.data_ptr() for each in (parameter, parameter.grad, *moments)]


def _all(updates: Sequence[Callable[[], None]]) -> None:
    for update in updates:
        update()


def _shared(updates: Iterator[tuple[float, Callable[[int], None]]], threads: int) -> list[list[Callable[[], None]]]:
    """The updates divided among the threads, the costliest first, each to the thread with least to do."""
    costs, shares = [0.0] * threads, [list[Callable[[], None]]() for _ in range(threads)]
    for cost, update in sorted(updates, key=lambda each: -each[0]):
        thread = costs.index(min(costs))
        costs[thread] += cost
        shares[thread].append(partial(update, thread))
    return shares
