"""The run that --resume names in; it, opened to go on where it was, out."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.cli.guard import note, say, stdout
from minigpt.cli.training import Manner
from minigpt.render.style import quantity

if TYPE_CHECKING:
    from minigpt.training.plan import Plan
    from minigpt.training.share import Begun

# What may be said anew at every start; anything else belongs to the run.
_ANY_TIME = {"steps", "minutes", "device", "threads", "shard", "resume", "config", "save_every"} | {
    field.name for field in fields(Manner)
}


def _named(run: str) -> Path:
    """The folder that --resume names."""
    from minigpt.checkpoint.runs import find_run, newest_run

    return newest_run(otherwise="or name a run: --resume FOLDER") if run == "latest" else find_run(run)


def as_before(run: str, said: Mapping[str, Any], device: str, threads: int | None) -> tuple[str, int | None]:
    """The CPU and the threads that a run began with, where no others are given: its losses are the same to the bit."""
    from torch import get_num_threads

    from minigpt.checkpoint.run_info import read_run_info
    from minigpt.checkpoint.runs import RUN
    from minigpt.errors import CheckpointError

    try:
        before = read_run_info(_named(run) / RUN)
    except CheckpointError:  # which is told where the run is opened
        return device, threads
    if "threads" not in said and before.threads is not None:
        threads = min(before.threads, get_num_threads())
    return "cpu" if "device" not in said and before.device == "cpu" else device, threads


def reopen(run: str, said: Mapping[str, Any]) -> "Begun | None":
    """A run that can go on; None, and it is said, where there is nothing left to do."""
    from minigpt.checkpoint.run_info import FINISHED
    from minigpt.training.resume import begun_model, open_run

    settings = {name: said[name] for name in sorted(said.keys() - _ANY_TIME)}
    if "corpus" in settings:
        settings["corpus"] = list(settings["corpus"])  # as JSON has it
    path = _named(run)
    plan, folder = open_run(path, settings, said.get("steps"), said.get("minutes"))
    if folder.info.get("status") in FINISHED:
        told = f"{path}: this run is finished, {_finish(plan, folder.info)}. Train it longer with --steps or --minutes."
        say(stdout(), told)
        return None
    folder.hold()
    if "save_every" in said:
        folder.info["save_every"] = said["save_every"]  # written as the training begins
    minutes = None if plan.train.steps_suffice else plan.train.minutes
    length = f"{plan.train.steps:,} steps" if minutes is None else f"{minutes:.3g} minutes"
    note(f"going on with {path}, which is to take {length} in all.", quiet=said.get("quiet", False))
    return plan, folder, begun_model(path, plan)


def _finish(plan: "Plan", info: Mapping[str, Any]) -> str:
    early = info.get("stopped_early")
    if early is None:
        return f"after {quantity(info.get('steps_taken') or plan.train.steps, 'step')}"
    return f"early, after {early:,} of {plan.train.steps:,} steps, as --patience {plan.train.patience} was at its end"
