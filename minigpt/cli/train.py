"""`minigpt train`: trains a model on a text and saves it as a run."""

import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.runs import FINISHED
from minigpt.cli.console import note, say, stderr, stdout, working
from minigpt.cli.flags import Given, command, json_flag
from minigpt.cli.guard import importing
from minigpt.cli.introduction import finish, introduce, places, show_plan
from minigpt.cli.remarks import untrained
from minigpt.cli.signals import stop_signals, write_nowhere
from minigpt.render.machine import to_json
from minigpt.render.progress import TrainDisplay, stopped_early
from minigpt.settings import Choices, Length, Output, TextSettings, TrainConfig, TrainMachine
from minigpt.training.records import Logged, Overfitting, ShortSample

if TYPE_CHECKING:
    import torch

    from minigpt.app.train_events import Training
    from minigpt.app.train_run import TrainRequest
    from minigpt.checkpoint.run_folder import RunFolder
    from minigpt.training.distributed import Ranks
    from minigpt.training.resume import StartedRun

_UNREAD = 141  # 128 + SIGPIPE, as if that had ended it


@command
def train(
    given: Given,
    text: TextSettings,
    choices: Choices,
    length: Length,
    training: TrainConfig,
    machine: TrainMachine,
    output: Output,
    json: Annotated[bool, json_flag("a line a step")] = False,
) -> None:
    """
    [bold]minigpt train notes.txt[/bold]
        a book, a diary, a log; about three minutes
    [bold]minigpt train notes.txt --minutes 30[/bold]
        the best model for half an hour of this machine
    [bold]minigpt train pairs.tsv --model transformer[/bold]
        to translate: a source, a tab and a target a line
    [bold]minigpt train notes.txt --from gpt2[/bold]
        GPT-2, trained further on your notes
    """
    started = time.perf_counter()  # of the minutes, those that loading torch takes count too
    with importing():
        from minigpt.app.train_run import TrainRequest
    request = TrainRequest(
        text=text,
        choices=choices,
        length=length,
        training=training,
        output=output,
        given=given,
        note=note,
        started=started,
    )
    with request.together(machine) as (ranks, device):
        run = request.shared(ranks, device, partial(_start, request, ranks, device, json=json))
        signal_number = None if run is None else _watch(run, json=json)
    if signal_number is not None:
        raise typer.Exit(128 + signal_number)


def _start(request: "TrainRequest", ranks: "Ranks", device: "torch.device", *, json: bool) -> "StartedRun | None":
    """Prepare a new run and print three lines about it, or reopen one; None if there is nothing to train."""
    if request.output.resume is not None:
        run = request.reopen()
        if isinstance(run, tuple):
            return run
        say(stdout(), f"{run.path}: this run is finished, {finish(run)}. Train it longer with --steps or --minutes.")
        return None
    with working() as work:
        prepared = request.begin(device, ranks, work.begin)
    if prepared.begun is not None:
        introduce(prepared, request, places(ranks, device))
    else:
        show_plan(prepared, request.length.seconds, json=json)
    return prepared.begun


def _watch(training: "Training", *, json: bool) -> int | None:
    """Train with a display, and print what to type next; returns the signal that stopped the run, if any."""
    plan, folder, is_main = training.plan, training.folder, training.ranks.is_main
    console = stderr()
    seconds = None if plan.train.steps_suffice else plan.train.seconds
    with _unless_unread(folder), stop_signals() as stopped, TrainDisplay(console, plan.train.steps, seconds) as display:
        for event in training.events(lambda: stopped.received, looks=not console.quiet):
            match event:
                case TrainRecord():
                    display.update(event)
                    if json:
                        print(to_json(event), flush=True)
                case Logged():
                    display.remember(event.record)
                case ShortSample():
                    display.show_sample(event.text)
                case Overfitting():
                    display.warn_overfitting(event)
        if training.signal_number is None and "stopped_early" not in folder.info:
            display.finish()
    if is_main and "stopped_early" in folder.info and training.history:
        note(stopped_early(training.history[-1], training.best(), plan.train.steps, plan.train.patience))
    if is_main and folder.info["status"] == "untrained":
        note(untrained(folder.recorded, folder.path))
    if is_main and not json:
        _conclude(training)
    return training.signal_number


@contextmanager
def _unless_unread(folder: "RunFolder") -> Iterator[None]:
    """A training that a closed pipe has stopped, and that is saved, ends as if SIGPIPE had stopped it."""
    try:
        yield
    except BrokenPipeError as error:
        if folder.info["status"] in FINISHED:
            raise
        write_nowhere(sys.stdout)
        raise typer.Exit(_UNREAD) from error


def _look_at(training: "Training", asked: str) -> str:
    """A command that looks into a model of pairs."""
    if training.folder.info["corpus"].get("labels"):
        return f"inspect-probs {asked} --labels"
    return f"{'inspect-probs' if training.plan.model.model == 'seq2seq' else 'inspect-attention'} {asked}"


def _reached(bits: float, info: Mapping[str, Any]) -> str:
    """What a model reached, beside what was expected if its run went as planned, to the end and no further."""
    expected = info.get("expected_bits_per_byte")
    if expected is None or info["status"] not in FINISHED or info.get("trained_longer"):
        return f"{bits:.3f}"
    return f"expected {expected:.2f}, reached {bits:.2f}"


def _conclude(training: "Training") -> None:
    """Print where the model is, how good it is, and the next two commands."""
    info, where, number = training.folder.info, str(training.folder.path), training.signal_number
    saved, prompt, base = info.get("saved") or {"step": 0}, training.opening(), info["choices"].get("base")
    if number is not None and info["status"] not in FINISHED:
        next_command = f"minigpt train --resume {shlex.quote(where)}"
        note(f"stopped by {signal.Signals(number).name}; the run is saved. Continue with: {next_command}")
    bits = saved.get("validation_bits_per_byte")
    quality = "" if bits is None else f", {_reached(bits, info)} bits per byte on {info['corpus']['validation']}"
    if number is None and (exact := training.exact_share()) is not None:
        quality += f", {exact:.1%} of their targets exactly"
    if base is not None and not saved["step"] and not number:
        note(f"no step improved on that text, so the model is {base}, unchanged.")
    console = stdout()
    best = "the best model, that of step" if bits is not None else "the model of step"
    best = "untrained, the model of step" if info["status"] == "untrained" else best
    say(console, f"{where}: {best} {saved['step']:,}{quality}")
    asked = shlex.quote(prompt)
    commands = ["sample", *([f"inspect-probs {asked}"] if prompt else [])]
    if training.plan.model.reads_pairs:
        commands = [f"sample {asked}", _look_at(training, asked)]
    for next_command in commands:
        say(console, f"  minigpt {next_command} -c {shlex.quote(where)}")
