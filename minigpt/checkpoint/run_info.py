"""What a run.json says of a training, and whether its model has learned anything. Loads no torch.

A model counts as untrained while it predicts its text no better than the frequencies of the tokens alone do, without
any context (a unigram model, counted in the training text). It is measured on the validation text, or, where a run has
none or was stopped before it was evaluated, on the training text. A model that was given to the run and is still as it
was is not judged, nor is a run that does not know that loss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from minigpt.checkpoint.files import read_own_json
from minigpt.records import Amount, Count, Positive, Several, Share, Within, record_of
from minigpt.settings import MOST_MINUTES
from minigpt.text.records import TextSource

Taken = Annotated[float, Within(1e-60, 60 * MOST_MINUTES, "a number of seconds above 0, and no more than a year,")]


@dataclass(frozen=True, kw_only=True)
class RunShape:
    """The shape of a run's model, in short."""

    model: str | None = None
    layers: Several | None = None
    width: Several | None = None
    vocab_size: Several | None = None


@dataclass(frozen=True, kw_only=True)
class RunChoices:
    """The choices made for a run, as far as they are needed again."""

    tokenizer: str | None = None
    val_fraction: Share = 0.1
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunText:
    """The text of a run, as it was read."""

    sources: tuple[TextSource, ...] = ()
    bytes_per_token: Positive | None = None
    validation: str | None = None
    unigram_loss_nats: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class RunReading:
    """The arguments that named the text of a run."""

    corpus: tuple[str, ...]
    encoding: str
    field: str
    val: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunSaved:
    """The model at the root."""

    step: Count
    loss_nats: Amount | None = None
    validation_loss_nats: Amount | None = None
    validation_bits_per_byte: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class RunLonger:
    """A part for which a run was trained longer."""

    from_step: Count
    steps: Count
    minutes: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The contents of run.json; None for what an older version, or an unfinished run, does not record."""

    name: str | None = None
    date: datetime | None = None
    status: str | None = None
    device: str | None = None
    threads: Several | None = None
    parameters: Count | None = None
    model: RunShape = RunShape()
    choices: RunChoices = RunChoices()
    corpus: RunText = RunText()
    text: RunReading | None = None
    minutes: Positive | None = None
    save_every: Several | None = None
    saved: RunSaved | None = None
    steps_taken: Count | None = None
    seconds_taken: Taken | None = None
    stopped_early: Count | None = None
    trained_longer: tuple[RunLonger, ...] = ()


def read_run_info(path: Path) -> RunInfo:
    """Read a run.json. Raises CheckpointError if it is damaged or cannot be read."""
    return record_of(RunInfo, read_own_json(path), path)


FINISHED = ("finished", "untrained")  # what the status of a run is that took all its steps, or all its time


def is_untrained(info: Mapping[str, Any]) -> bool:
    """Whether the model has learned nothing. `info`: the contents of run.json."""
    unigram, saved = _number(_part(info, "corpus"), "unigram_loss_nats"), _part(info, "saved")
    if unigram is None:
        return False
    validation = _number(saved, "validation_loss_nats")
    loss = _number(saved, "loss_nats") if validation is None else validation
    if loss is None:  # nothing was saved yet
        return _part(info, "choices").get("base") is None
    return loss >= unigram


def fitted_steps(info: Mapping[str, Any]) -> int:
    """The number of steps that a run took, by its end or else by its saved model; at least 0."""
    taken = info.get("steps_taken", _part(info, "saved").get("step"))
    return taken if type(taken) is int and taken > 0 else 0


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value: Any = values.get(name)
    return value if type(value) in (int, float) and abs(value) < math.inf else None
