"""Carries out a comparison one measurement at a time, each saved at once, so that a stopped one can continue."""

import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from minigpt.checkpoint.files import storable
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_folder import RunFolder, has_state
from minigpt.checkpoint.runs import FINISHED, RESUME, TOKENS
from minigpt.contest import lengths, recall
from minigpt.contest.comparison import save
from minigpt.contest.measures import (
    GRADIENT_WINDOWS,
    LOSS_WINDOWS,
    gradient_by_distance,
    loss_by_position,
    peak_bytes,
    step_costs,
    training_rates,
    windows,
)
from minigpt.contest.records import TRAINED, UNTRAINED, Comparison, Contender, ContenderRun
from minigpt.errors import named
from minigpt.models.kinds import Model, equal_shape, new_model
from minigpt.settings import Choices, ModelConfig, TrainConfig
from minigpt.text.shards import reuse_shards, validation_byte_counts
from minigpt.training.loop import train
from minigpt.training.plan import Plan
from minigpt.training.resume import open_run
from minigpt.training.run import build_model, model_card, run, run_info
from minigpt.versions import version

Progress = Callable[[int, int, float | None], None]  # steps done, of how many, and a loss in nats where there is one
Stopped = Callable[[], bool]
Measure = Callable[[Stopped, Progress], dict[str, Any] | None]  # the changes to a contender; None if it was stopped


@dataclass(frozen=True)
class Measurement:
    """The model, what is measured (the name of a field, or a learning rate), and how."""

    model: str
    what: str
    measure: Measure


class Contest:
    """Carries out a comparison. `plan` is that of the GPT, whose text, tokenizer and context all contenders share.

    `again` is the command that continues.
    """

    untrained: tuple[str, ...] = UNTRAINED
    trained: tuple[str, ...] = TRAINED
    rates: tuple[float, ...] = lengths.RATES
    sides = 1  # of what it learns from: a window has one, a pair two

    def __init__(self, folder: Path, comparison: Comparison, plan: Plan, device: torch.device) -> None:
        self.folder, self.comparison, self.plan, self._device = folder, comparison, plan, device
        self.again = f"minigpt compare {named('resume', shlex.quote(str(folder)))}"

    def run(self, stopped: Stopped, progress: Progress, started: float) -> Iterator[Measurement]:
        """Make all missing measurements, yielding each as it begins, until `stopped`.

        The time spent is counted from `started`, a value of `time.perf_counter`.
        """
        for measurement in self.measurements():
            yield measurement
            found = None if stopped() else measurement.measure(stopped, progress)
            if found is None:
                return
            self.take(measurement, found, (now := time.perf_counter()) - started)
            started = now

    def about(self) -> dict[str, Any]:
        """What JSON says about a comparison beside its numbers."""
        return {"path": storable(self.folder), "version": version("minigpt")}

    def measurements(self) -> Iterator[Measurement]:
        """The missing measurements, one after the other; each must be recorded (`take`) before the next."""
        for kind, what in enumerate(self.untrained, 1):
            yield from self._at_a_pace(list(self._missing(what)), len(self.untrained) - kind)
        if not self.comparison.planned:
            self._set(self._shared())
        if not self.comparison.quick:
            for rate in self.rates:
                yield from self._untried(rate)
        for what in self.trained:
            yield from self._missing(what)

    def _shared(self) -> Comparison:
        """The comparison with the lengths of its trainings."""
        shapes = (equal_shape(recall.SHAPE, contender.model) for contender in self.comparison.contenders)
        recall_seconds = sum(recall.seconds_a_step(shape, self._device) for shape in shapes)
        return lengths.shared(self.comparison, recall_seconds, self.again)

    def _at_a_pace(self, measurements: Sequence[Measurement], kinds: int) -> Iterator[Measurement]:
        """Measurements of one kind, while the minutes suffice; this many `kinds` come after them."""
        seconds: list[float] = []
        for number, measurement in enumerate(measurements, 1):
            before = self.comparison.spent_seconds
            yield measurement
            seconds.append(self.comparison.spent_seconds - before)
            if number > 1 and not self.comparison.planned:
                left, later = len(measurements) - number, kinds * len(self.comparison.contenders)
                lengths.require_pace(self.comparison, seconds, left, later, self.again)

    def total(self) -> int:
        """The number of measurements."""
        rates = 0 if self.comparison.quick else len(self.rates)
        return len(self.comparison.contenders) * (len(self.comparison.measured) + rates)

    def done(self) -> int:
        """The number of measurements that are made."""
        return sum(
            len(contender.tried_rates) + sum(getattr(contender, name) is not None for name in self.comparison.measured)
            for contender in self.comparison.contenders
        )

    def take(self, measurement: Measurement, found: dict[str, Any], seconds: float) -> None:
        """Record a result, and the seconds spent on it."""
        contenders = tuple(
            replace(contender, **found) if contender.model == measurement.model else contender
            for contender in self.comparison.contenders
        )
        spent = self.comparison.spent_seconds + seconds
        self._set(replace(self.comparison, contenders=contenders, spent_seconds=spent))

    def _set(self, comparison: Comparison) -> None:
        self.comparison = comparison
        save(self.folder, comparison)

    def _missing(self, what: str) -> Iterator[Measurement]:
        for contender in self.comparison.contenders:
            if getattr(contender, what) is None:
                yield Measurement(contender.model, what, self._measure_of(contender, what))

    def _untried(self, rate: float) -> Iterator[Measurement]:
        for contender in self.comparison.contenders:
            if rate not in (tried for tried, _ in contender.tried_rates):
                yield Measurement(contender.model, f"{rate:g}", partial(self._try, contender, rate))

    def _measure_of(self, contender: Contender, what: str) -> Measure:
        config, settings, device = self._config(contender), self.plan.train, self._device
        measures: dict[str, Measure] = {
            "training_tokens_per_second": lambda *_: {what: training_rates(config, settings, device)},
            "step_milliseconds": lambda *_: {what: step_costs(config, device)},
            "peak_bytes": lambda *_: {what: peak_bytes(config, settings, device)},
            "equal_tokens": partial(self._train_equally, contender, what),
            "equal_time": partial(self._train_equally, contender, what),
            "loss_nats_by_position": lambda *_: self._positions(contender),
            "recall_by_distance": partial(self._recall, contender),
        }
        return measures[what]

    def _config(self, contender: Contender) -> ModelConfig:
        return equal_shape(self.plan.model, contender.model)

    def _example_tokens(self) -> float:
        """The tokens of a window, or on average of a pair."""
        return self.plan.model.context

    def _settings(self, contender: Contender, tokens: float, seconds: float | None = None) -> TrainConfig:
        """AdamW for all, in float32, with this contender's learning rate and pace."""
        steps = max(1, round(tokens / (self.plan.train.batch_size * self._example_tokens())))
        return replace(
            self.plan.train,
            steps=steps,
            seconds=seconds,
            learning_rate=contender.learning_rate,
            warmup_steps=max(1, steps // lengths.WARMUP_PART),
            eval_every=max(1, steps // lengths.EVALUATIONS),
            eval_tokens=lengths.evaluated_tokens(tokens),
        )

    def _try(self, contender: Contender, rate: float, stopped: Stopped, progress: Progress) -> dict[str, Any] | None:
        """Train with one learning rate, and choose the best of those tried so far."""
        assert self.comparison.tried_tokens is not None
        settings = self._settings(replace(contender, learning_rate=rate), self.comparison.tried_tokens)
        settings = replace(settings, eval_every=settings.steps)
        model = new_model(self._config(contender)).initialise(torch.Generator().manual_seed(settings.seed))
        records = self._train(model.to(self._device), settings, stopped, progress)
        if records is None:
            return None
        bits = records[-1].validation_bits_per_byte if records else None
        tried = (*contender.tried_rates, (rate, bits if bits is not None and math.isfinite(bits) else None))
        known = [(bits, rate) for rate, bits in tried if bits is not None]
        return {"tried_rates": tried, "learning_rate": min(known)[1] if known else contender.learning_rate}

    def _train(
        self, model: Model, settings: TrainConfig, stopped: Stopped, progress: Progress
    ) -> list[TrainRecord] | None:
        """Train without saving anything; None if stopped."""
        records = []
        for record in train(
            model, self.plan.data, settings, validation_byte_counts(self.plan.tokenizer, self.plan.data), stopped
        ):
            progress(record.step, settings.steps, record.loss_nats)
            records.append(record)
        return None if stopped() else records

    def _train_equally(
        self, contender: Contender, what: str, stopped: Stopped, progress: Progress
    ) -> dict[str, Any] | None:
        """Train in a separate run folder with equal tokens or in equal time, and continue where an earlier session
        stopped.
        """
        path = self.folder / f"{contender.model}-{what.removeprefix('equal_')}"
        resume = has_state(path)
        if resume:
            plan, folder = open_run(path, {})
            folder.hold()
        else:
            plan = replace(self.plan, model=self._config(contender), train=self._equal_settings(contender, what))
            folder = RunFolder(path, plan.tokenizer, run_info(plan, Choices(model=contender.model), self._device))
            path.mkdir(exist_ok=True)
            linked = reuse_shards(self.folder / RESUME / TOKENS, path / f".{TOKENS}")
            folder.start(build_model(plan), model_card(plan), linked)
        model = build_model(plan, self._device)
        if folder.info.get("status") not in FINISHED:
            for record, _ in run(plan, model, folder, stopped, resume=resume):
                progress(record.step, plan.train.steps, record.loss_nats)
        return {what: contender_run(folder.logged(), path.name)} if folder.info["status"] in FINISHED else None

    def _equal_settings(self, contender: Contender, what: str) -> TrainConfig:
        if what == "equal_tokens":
            assert self.comparison.tokens is not None
            return self._settings(contender, self.comparison.tokens)
        seconds = self.comparison.seconds
        assert seconds is not None
        tokens = seconds * lengths.speed(contender, self._example_tokens() / self.sides)  # roughly
        return self._settings(contender, tokens, seconds)

    def _positions(self, contender: Contender) -> dict[str, Any]:
        """The losses and gradients by position of the model trained with equal tokens."""
        assert contender.equal_tokens is not None
        model = load(self.folder / contender.equal_tokens.folder, self._device).torch_model
        held_out, context = self.plan.data.validation, self.plan.model.context
        return {
            "loss_nats_by_position": loss_by_position(model, windows(held_out, context, LOSS_WINDOWS)),
            "gradient_by_distance": gradient_by_distance(model, windows(held_out, context, GRADIENT_WINDOWS)),
        }

    def _recall(self, contender: Contender, stopped: Stopped, progress: Progress) -> dict[str, Any] | None:
        assert self.comparison.recall_steps is not None
        steps, seed = self.comparison.recall_steps, self.comparison.seed
        model = recall.learn_recall(
            equal_shape(recall.SHAPE, contender.model),
            steps,
            contender.learning_rate,
            seed,
            self._device,
            stopped,
            lambda step, loss: progress(step, steps, loss),
        )
        return None if model is None else {"recall_by_distance": recall.recalled(model, seed)}


def contender_run(records: Sequence[TrainRecord], folder: str = "") -> ContenderRun:
    """The result of a training: its best evaluation is that of the model that the run saves."""
    known = [(record, bits) for record in records if (bits := record.validation_bits_per_byte) is not None]
    return ContenderRun(
        folder=folder,
        tokens=records[-1].tokens,
        seconds=records[-1].seconds,
        bits_per_byte=min(bits for _, bits in known),
        by_tokens=tuple((float(record.tokens), bits) for record, bits in known),
        by_seconds=tuple((record.seconds, bits) for record, bits in known),
        validation_loss_nats=min(known, key=lambda each: each[1])[0].validation_loss_nats,
    )
