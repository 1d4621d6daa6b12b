"""Notes about what was given: an untrained model, a prompt that ends within a token, a stop text with escapes."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.checkpoint.runs import FINISHED, RUN, RunInfo, fitted_steps, is_untrained, read_run_info
from minigpt.cli.console import note, running, stderr
from minigpt.errors import CheckpointError, named
from minigpt.render.style import Screen, quantity
from minigpt.render.tokenization import boundary_note, boundary_tables
from minigpt.settings import DEFAULT_MINUTES, TrainConfig, require
from minigpt.views.probs import next_token
from minigpt.views.tokenization import NO_BOUNDARY, boundary

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint

_LONGER = 10  # times as long, for what was longer than the default


def note_boundary(loaded: "Checkpoint", prompt: str, *, top: int, show: bool) -> None:
    """Print the two distributions on standard error if `show`; else a note if the end is doubtful."""
    is_source = loaded.tokenizer.ends_prompts
    require(not (show and is_source), f"{named('boundary')} is not for a source, which ends where it ends.")
    if is_source or (running.quiet and not show):
        return
    console, ids = stderr(quiet=False), loaded.tokenizer.encode_prompt(prompt).ids
    screen, end = Screen.of(console), boundary(loaded.model, loaded.tokenizer, ids, top=top)
    if end is None:
        if show:
            note(NO_BOUNDARY)
    elif show:
        record = next_token(loaded.model, loaded.tokenizer, ids, top=top)
        console.print(boundary_tables(record, end, prompt, screen), soft_wrap=True)
    else:
        note(boundary_note(end, screen.symbols))


def note_escapes(stops: Sequence[str]) -> None:
    """Print a note about a stop text in which a backslash and a letter may be meant as a line break or a tab."""
    for text in stops:
        if r"\n" in text or r"\t" in text:
            given, meant = shlex.quote(text), "$'{}'".format(text.replace("'", r"\'"))
            note(
                f"{named('stop', given)} has a backslash and a letter; in most shells {meant} is the character itself."
            )


def note_checkpoint(loaded: "Checkpoint") -> None:
    """Print notes about a checkpoint before it is used: what was left aside, and that it is untrained."""
    note(*loaded.notes)
    try:
        info = read_run_info(loaded.path / RUN)
    except CheckpointError:  # not every model is of a run, and this one could be loaded
        return
    if is_untrained(info):
        note(untrained(info, loaded.path))


def untrained(info: RunInfo, folder: Path) -> str:
    """A message about an untrained model: how little it has learned, and what to type next."""
    what = "this model is untrained: it predicts no better than the frequencies of the tokens do."
    return f"{_fitted(info)}; {what} {_advice(info, folder)}"


def _fitted(info: RunInfo) -> str:
    steps = fitted_steps(info)
    if info.minutes is not None and steps < TrainConfig.steps and not info.train.steps_suffice:
        return f"only {quantity(steps, 'step')} fitted"
    return "1 step was taken" if steps == 1 else f"{steps:,} steps were taken"


def _advice(info: RunInfo, folder: Path) -> str:
    """What to type next."""
    steps, minutes = fitted_steps(info), info.minutes
    if info.status not in FINISHED:
        return f"Continue with: minigpt train --resume {shlex.quote(str(folder))}"
    if steps >= TrainConfig.steps:
        return "The text may contain nothing to learn, or --learning-rate may not suit it."
    if info.train.steps_suffice:  # the plan left time unused
        return "More text would help."
    if minutes is not None:
        longer = DEFAULT_MINUTES if minutes < DEFAULT_MINUTES else math.ceil(_LONGER * minutes)
        return f"Try --minutes {longer:g}."
    return f"Try --steps {TrainConfig.steps}."
