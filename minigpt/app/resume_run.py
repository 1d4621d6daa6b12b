"""Continues a run that was stopped, or trains a finished one for longer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import get_num_threads

from minigpt.checkpoint.runs import FINISHED, RUN, find_run, newest_run, read_run_info
from minigpt.errors import CheckpointError
from minigpt.settings import Choices, Length, Machine, Output, TextSettings, TrainConfig, settings_of
from minigpt.training.plan import Plan
from minigpt.training.resume import StartedRun, begun_model, open_run

_DESCRIBED = [
    (name, about)
    for kind in (TextSettings, Choices, Length, TrainConfig, Output)
    for name, about in settings_of(kind).items()
]
# What belongs to a run; any other setting may be given anew at every start.
_KEPT = {name for name, _ in _DESCRIBED} - {name for name, about in _DESCRIBED if about.anew}


@dataclass(frozen=True)
class Finished:
    """A run with nothing left to do."""

    path: Path
    plan: Plan
    info: Mapping[str, Any]


def as_before(run: str, given: Mapping[str, Any], machine: Machine) -> Machine:
    """The CPU threads and device of the first session, unless others are given, so losses repeat bit for bit."""
    try:
        before = read_run_info(_named(run) / RUN)
    except CheckpointError:  # which is reported when the run is opened
        return machine
    if "threads" not in given and before.threads is not None:
        machine = replace(machine, threads=min(before.threads, get_num_threads()))
    return replace(machine, device="cpu") if "device" not in given and before.device == "cpu" else machine


def reopen(run: str, given: Mapping[str, Any], note: Callable[[str], object]) -> StartedRun | Finished:
    """A run that can continue, with its model; `note` receives a sentence about it."""
    path = _named(run)
    kept = {name: given[name] for name in sorted(given.keys() & _KEPT)}
    if "corpus" in kept:
        kept["corpus"] = list(kept["corpus"])  # as JSON has it
    plan, folder = open_run(path, kept, given.get("steps"), given.get("minutes"))
    if folder.info.get("status") in FINISHED:
        return Finished(path, plan, folder.info)
    folder.hold()
    if "save_every" in given:
        folder.info["save_every"] = given["save_every"]  # written as the training begins
    minutes = None if plan.train.steps_suffice else plan.train.minutes
    length = f"{plan.train.steps:,} steps" if minutes is None else f"{minutes:.3g} minutes"
    note(f"continuing {path}, which is to take {length} in all.")
    return StartedRun(plan, folder, begun_model(path, plan))


def _named(run: str) -> Path:
    """The folder that `run` names."""
    return newest_run(otherwise="or name a run: minigpt train --resume FOLDER") if run == "latest" else find_run(run)
