"""Warns about a model that has learned nothing, at the end of its training and before it is used."""

import math
import shlex
from pathlib import Path

from minigpt.checkpoint.runs import FINISHED, RUN, RunInfo, fitted_steps, is_untrained, read_run_info
from minigpt.cli.console import note
from minigpt.errors import CheckpointError
from minigpt.render.style import quantity
from minigpt.settings import DEFAULT_MINUTES, TrainConfig

_LONGER = 10  # times as long, for what was longer than the default


def tell_untrained(folder: Path) -> None:
    """Print a note about the model in `folder`, if it is untrained, before it is used."""
    try:
        info = read_run_info(folder / RUN)
    except CheckpointError:  # not every model is of a run, and this one could be loaded
        return
    if is_untrained(info):
        note(untrained(info, folder))


def untrained(info: RunInfo, folder: Path) -> str:
    """A message about an untrained model: how little it has learned, and what to type next."""
    what = "this model is untrained: it predicts no better than the frequencies of the tokens do."
    return f"{_fitted(info)}; {what} {_advice(info, folder)}"


def _fitted(info: RunInfo) -> str:
    steps = fitted_steps(info)
    if info.minutes is not None and steps < TrainConfig.steps:
        return f"only {quantity(steps, 'step')} fitted"
    return "1 step was taken" if steps == 1 else f"{steps:,} steps were taken"


def _advice(info: RunInfo, folder: Path) -> str:
    """What to type next."""
    steps, minutes = fitted_steps(info), info.minutes
    if info.status not in FINISHED:
        return f"Go on with: minigpt train --resume {shlex.quote(str(folder))}"
    if steps >= TrainConfig.steps:
        return "The text may hold nothing to learn, or --learning-rate may not suit it."
    if minutes is not None:
        longer = DEFAULT_MINUTES if minutes < DEFAULT_MINUTES else math.ceil(_LONGER * minutes)
        return f"Try --minutes {longer:g}."
    return f"Try --steps {TrainConfig.steps}."
