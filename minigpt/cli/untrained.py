"""Warns about a model that has learned nothing, at the end of its training and before it is used."""

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import read_json_object
from minigpt.checkpoint.runs import FINISHED, RUN, fitted_steps, is_untrained
from minigpt.cli.console import note
from minigpt.errors import CheckpointError
from minigpt.render.style import quantity
from minigpt.settings import DEFAULT_MINUTES, TrainConfig

_LONGER = 10  # times as long, for what was longer than the default


def tell_untrained(folder: Path) -> None:
    """Print a note about the model in `folder`, if it is untrained, before it is used."""
    try:
        info = read_json_object(folder / RUN)
    except CheckpointError:  # not every model is of a run, and this one could be loaded
        return
    if is_untrained(info):
        note(untrained(info, folder))


def untrained(info: Mapping[str, Any], folder: Path) -> str:
    """A message about an untrained model: how little it has learned, and what to type next.

    `info`: the contents of its run.json.
    """
    what = "this model is untrained: it predicts no better than the frequencies of the tokens do."
    return f"{_fitted(info)}; {what} {_advice(info, folder)}"


def _fitted(info: Mapping[str, Any]) -> str:
    steps = fitted_steps(info)
    if info.get("minutes") is not None and steps < TrainConfig.steps:
        return f"only {quantity(steps, 'step')} fitted"
    return "1 step was taken" if steps == 1 else f"{steps:,} steps were taken"


def _advice(info: Mapping[str, Any], folder: Path) -> str:
    """What to type next."""
    steps, minutes = fitted_steps(info), info.get("minutes")
    if info.get("status") not in FINISHED:
        return f"Go on with: minigpt train --resume {shlex.quote(str(folder))}"
    if steps >= TrainConfig.steps:
        return "The text may hold nothing to learn, or --learning-rate may not suit it."
    if isinstance(minutes, int | float):
        longer = DEFAULT_MINUTES if minutes < DEFAULT_MINUTES else math.ceil(_LONGER * minutes)
        return f"Try --minutes {longer:g}."
    return f"Try --steps {TrainConfig.steps}."
