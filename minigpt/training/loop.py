"""Trains a model, and yields a TrainRecord for each step. It neither prints, nor saves, nor samples."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from minigpt.checkpoint.records import TrainRecord
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import Model
from minigpt.settings import TrainConfig
from minigpt.text.pairs import pairs_within
from minigpt.text.shards import TokenData
from minigpt.training.evaluate import Evaluation, evaluate
from minigpt.training.native_step import NativeStep, is_native_step, native_update
from minigpt.training.optim import Optimizer, build_optimizers, owners
from minigpt.training.pairs import PairBatches, evaluate_pairs, pair_loss
from minigpt.training.ranks import ALONE, Ranks, divided_as, local
from minigpt.training.schedule import bpe_dropout, evaluation_steps, learning_rate, pieces
from minigpt.training.step import AutogradStep, Batches, loss_function, mixed


@dataclass(frozen=True)
class _Step:
    """The results of an optimizer step; the untrained model has none."""

    loss_nats: float | None = None
    learning_rate: float = 0.0
    gradient_norm: float | None = None
    seconds: float = 0.0


class Trainer:
    """A model in training with everything that the next step depends on: weights, moments and the step number.

    Random numbers depend on (seed, step) alone, so no generator state has to be saved. `byte_lengths` [V]: bytes of
    each token. Several `ranks`, on which the model is placed, call the same methods together and share each batch by
    rows, so the result is that of a single process; only dropout depends on their number. `parents`: those of
    merge_parents, for BPE-dropout.
    """

    def __init__(
        self,
        model: Model,
        data: TokenData,
        config: TrainConfig,
        byte_lengths: np.ndarray,
        ranks: Ranks = ALONE,
        parents: np.ndarray | None = None,
    ) -> None:
        self.model, self.data, self.config, self.byte_lengths = model.train(), data, config, byte_lengths
        self.ranks = ranks
        self.optimizers = build_optimizers(model, config)
        self.lesson = new_lesson(model, data, config, byte_lengths, self.optimizers, ranks, parents)
        self._owners = owners(self.optimizers, model)
        self.step = 0
        self.seconds = 0.0  # of training before this process
        self.reserved_seconds = 0.0  # for the work after the last record
        self.is_over = False  # whether the last step has been reported
        self._unevaluated = False  # whether the last reported step lacks an evaluation
        self._unreported: _Step | None = _Step()  # taken, but not reported yet
        self._started = time.perf_counter()
        self._evaluation_seconds = 0.0  # of the latest

    def records(
        self, stopped: Callable[[], bool] = lambda: False, before_evaluation: Callable[[], None] = lambda: None
    ) -> Iterator[TrainRecord]:
        """Train in place. Record 0 is the untrained model, record n follows optimizer step n.

        `stopped` is polled between steps and in evaluations, and must answer alike on all ranks. A step whose
        evaluation was interrupted is reported when the training continues. The model may be read between two records,
        but not changed.
        """
        is_validated = self.lesson.is_validated
        evaluated = evaluation_steps(self.config) if is_validated else frozenset()
        while not stopped():
            if self._unreported is None:
                # If a save took the time of an expected step, that step is still taken and evaluated.
                if self._is_last() and not self._unevaluated:
                    self.is_over = True
                    return
                self._unreported = self._take(self.step + 1)
                self.step += 1
            result: Evaluation | None = None
            last = self._is_last()
            if self.step in evaluated or (last and is_validated):
                before_evaluation()
                result = self._evaluate(stopped)
                if result is None:
                    return
            taken, self._unreported = self._unreported, None
            self.is_over, self._unevaluated = last, result is None and is_validated
            yield self._record(taken, result)
            if last:
                return

    def _is_last(self) -> bool:
        """Whether no step follows, because all are done or the time is up. At least one step is taken."""
        config = self.config
        if self.step >= config.steps and (config.seconds is None or config.steps_suffice):
            return True
        if config.seconds is None or not self.step:
            return False
        compiles = config.compile and self.step == 1
        one_more = 0.0 if self._unreported is None or compiles else self._unreported.seconds
        return self.ranks.agree(self._seconds_for_steps(config.seconds) - self.elapsed() - one_more) <= 0

    def _seconds_for_steps(self, seconds: float) -> float:
        """What is left of the `seconds` of a run without those for what comes at its end."""
        return seconds - self.reserved_seconds - self._evaluation_seconds

    def _left(self) -> float | None:
        """The share of the time that is left for steps; None for a training measured in steps."""
        if self.config.seconds is None:
            return None
        for_steps = self._seconds_for_steps(self.config.seconds)
        return max(0.0, 1 - self.ranks.agree(self.elapsed() / for_steps if for_steps > 0 else 0.5))

    def _evaluate(self, stopped: Callable[[], bool]) -> Evaluation | None:
        started = time.perf_counter()
        result = self.lesson.evaluate(stopped)
        self._evaluation_seconds = time.perf_counter() - started
        return result

    def _record(self, taken: _Step, result: Evaluation | None) -> TrainRecord:
        tokens = self.step * self.lesson.tokens_per_step
        return TrainRecord(
            step=self.step,
            tokens=tokens,
            epoch=tokens / self.lesson.tokens_per_epoch,
            seconds=self.elapsed(),
            tokens_per_second=self.lesson.tokens_per_step / taken.seconds if taken.seconds else 0.0,
            loss_nats=taken.loss_nats,
            learning_rate=taken.learning_rate,
            gradient_norm=taken.gradient_norm,
            validation_loss_nats=result.loss_nats if result else None,
            validation_bits_per_byte=result.bits_per_byte if result else None,
        )

    def elapsed(self) -> float:
        """Seconds of training, including those before an interruption."""
        return self.seconds + time.perf_counter() - self._started

    def is_finite(self) -> bool:
        """Whether all weights are finite. Collective."""
        broken = any(not bool(local(p.detach()).isfinite().all()) for p in self.model.parameters())
        return not self.ranks.highest(broken)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """On rank 0, everything that `restore` needs: tensors by name, and plain values."""
        parameters = dict(self.model.named_parameters())
        tensors = {f"model.{name}": self.ranks.kept(p.detach()) for name, p in parameters.items()}
        for name, optimizer in self._owners.items():
            for key, value in optimizer.state.get(parameters[name], {}).items():
                tensors[f"optimizer.{key}.{name}"] = self.ranks.kept(value)
        unreported = None if self._unreported is None else asdict(self._unreported)
        return tensors, {"step": self.step, "seconds": self.elapsed(), "unreported": unreported}

    def misfit(self, tensors: Mapping[str, Tensor]) -> str | None:
        """Why these cannot be the tensors of a `state` of this model and these optimizers; None if they can."""
        parameters = dict(self.model.named_parameters())
        shapes = {f"model.{name}": tuple(p.shape) for name, p in parameters.items()}
        model, moments = list(shapes), []
        for name, optimizer in self._owners.items():
            shape = tuple(parameters[name].shape)
            of_one = {f"optimizer.{key}.{name}": () if key == "step" else shape for key in optimizer.remembered}
            shapes |= of_one
            moments.append(list(of_one))
        for name, tensor in tensors.items():
            if (tuple(tensor.shape), tensor.dtype) != (shapes.get(name), torch.float32):
                return f"{name} is {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        # Before its first step, a parameter has no moments.
        for names in (model, *(names for names in moments if not tensors.keys().isdisjoint(names))):
            for name in names:
                if name not in tensors:
                    return f"{name} is not there"
        return None

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to rank 0's `state`, bit for bit: the steps that follow are those that would have followed then."""
        parameters = dict(self.model.named_parameters())
        for name, tensor in self.ranks.tensors(tensors.items()):
            part, _, rest = name.partition(".")
            if part == "model":
                parameters[rest].detach().copy_(divided_as(parameters[rest], tensor))
            else:
                key, _, rest = rest.partition(".")
                parameter = parameters[rest]
                self._owners[rest].state[parameter][key] = divided_as(parameter, tensor)
        self.step, self.seconds = values["step"], values["seconds"]
        self._unreported = None if values["unreported"] is None else _Step(**values["unreported"])
        self._started = time.perf_counter()

    def _take(self, step: int) -> _Step:
        """Take one optimizer step."""
        started = time.perf_counter()
        left = self._left()
        rate = learning_rate(step, self.config, left)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate / self.config.learning_rate
        batches = self.lesson.batches.of(step, *self._reading(step, left))
        losses, norm = self.lesson.take_step(batches, mixed(self.config.seed, step, self.ranks.rank))
        self.lesson.batches.prepare(step + 1, *self._reading(step + 1, left))
        # The only place that waits for a GPU.
        loss = self.ranks.total(sum(float(loss) for loss in losses)) / self.ranks.size
        return _Step(loss, rate, float(norm), time.perf_counter() - started)

    def _reading(self, step: int, left: float | None) -> tuple[float, int]:
        """How a step reads the text: the share of merges undone, and into how many pieces each window is cut."""
        return bpe_dropout(step, self.config, left), pieces(step, self.config, left)


def train(
    model: Model,
    data: TokenData,
    config: TrainConfig,
    byte_lengths: np.ndarray,
    stopped: Callable[[], bool] = lambda: False,
    parents: np.ndarray | None = None,
) -> Iterator[TrainRecord]:
    """`Trainer(...).records(stopped)`, for a training that is not saved."""
    return Trainer(model, data, config, byte_lengths, parents=parents).records(stopped)


# --- what a step and an evaluation are: of a text, read in windows, or of pairs

Stopped = Callable[[], bool]


class StepBatches(Protocol):
    """The batches of each optimizer step; they depend on the seed and the step alone."""

    def of(self, step: int, undone: float = 0.0, pieces: int = 1) -> Sequence[Any]:
        """The batches of `step` (counted from 1), with this share of merges `undone`, and each window in `pieces`."""

    def prepare(self, step: int, undone: float = 0.0, pieces: int = 1) -> None:
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
