"""What a training step and an evaluation are: of a text, read in windows, or of pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import Model
from minigpt.settings import TrainConfig
from minigpt.text.pairs import pairs_within
from minigpt.text.shards import TokenData
from minigpt.training.evaluate import Evaluation, evaluate
from minigpt.training.native_step import NativeStep, is_native_step, native_update
from minigpt.training.optim import Optimizer
from minigpt.training.pairs import PairBatches, evaluate_pairs, pair_loss
from minigpt.training.ranks import Ranks
from minigpt.training.step import AutogradStep, Batches, loss_function

Stopped = Callable[[], bool]


class StepBatches(Protocol):
    """The batches of each optimizer step; they depend on the seed and the step alone."""

    def of(self, step: int, undone: float = 0.0) -> Sequence[Any]:
        """The batches of `step` (counted from 1), with this share of merges `undone`."""

    def prepare(self, step: int, undone: float = 0.0) -> None:
        """Draw the batches of `step` ahead of time, where that saves time."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a trainer repeats. `take_step(batches, key)` is that of AutogradStep; `evaluate` returns None if stopped.

    Nothing here refers to a trainer, so a GPU's memory is freed as soon as the trainer is dropped.
    """

    batches: StepBatches
    take_step: Callable[[Sequence[Any], int], tuple[list[Tensor], Tensor]]
    evaluate: Callable[[Stopped], Evaluation | None]
    is_validated: bool
    tokens_per_step: int
    tokens_per_epoch: int


def new_lesson(
    model: Model,
    data: TokenData,
    config: TrainConfig,
    byte_lengths: np.ndarray,
    optimizers: Sequence[Optimizer],
    ranks: Ranks,
    parents: np.ndarray | None = None,
) -> Lesson:
    """The lesson of this kind of model; the arguments are those of Trainer."""
    step_rows = config.batch_size * config.accumulation
    if isinstance(model, EncoderDecoder):
        train, validation = pairs_within(model.config.end, model.config.context, data)
        tokens = int(train.sizes.sum())
        update = native_update(model, config, optimizers)
        of_pairs = partial(evaluate_pairs, model, validation, byte_lengths, tokens=config.eval_tokens, ranks=ranks)
        return Lesson(
            batches=PairBatches(train, config, model.device, ranks),
            take_step=AutogradStep(model, config, optimizers, ranks, pair_loss, update),
            evaluate=lambda stopped: of_pairs(stopped=stopped, precision=config.precision),
            is_validated=len(validation) > 0,
            tokens_per_step=round(step_rows * tokens / len(train)),  # as many pairs of average length
            tokens_per_epoch=tokens,
        )
    take_step: AutogradStep | NativeStep
    nats_of = None
    if is_native_step(model, config, ranks):
        take_step = NativeStep(model, config, optimizers, ranks)
        nats_of = take_step.nats if ranks.size == 1 else None
    else:
        take_step = AutogradStep(model, config, optimizers, ranks, loss_function)
    measured = partial(evaluate, model, data.validation, byte_lengths, tokens=config.eval_tokens, ranks=ranks)
    return Lesson(
        batches=Batches(data.train, config, model.config.context, model.device, ranks, parents),
        take_step=take_step,
        evaluate=lambda stopped: measured(stopped=stopped, precision=config.precision, nats_of=nats_of),
        is_validated=len(data.validation) > 1,
        tokens_per_step=step_rows * model.config.context,
        tokens_per_epoch=len(data.train),
    )
