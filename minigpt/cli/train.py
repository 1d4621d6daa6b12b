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
from minigpt.cli.console import note, print_lines, say, stderr, stdout, working
from minigpt.cli.flags import Given, command, json_flag
from minigpt.cli.guard import importing
from minigpt.cli.remarks import untrained
from minigpt.cli.signals import stop_signals, write_nowhere
from minigpt.render.machine import to_json
from minigpt.render.progress import TrainDisplay, stopped_early
from minigpt.render.runs import best_of_each, plan_table, reasons
from minigpt.render.style import Screen, byte_count, compact, quantity
from minigpt.settings import PAIR_MODELS, PLANNED, Choices, Length, Output, TextSettings, TrainConfig, TrainMachine
from minigpt.settings.model import NAMES
from minigpt.training.records import Logged, Overfitting, ShortSample

if TYPE_CHECKING:
    import torch
    from rich.text import Text

    from minigpt.app.again import Finished
    from minigpt.app.train_run import Prepared, Training, TrainRequest
    from minigpt.checkpoint.run_folder import RunFolder
    from minigpt.training.plan import Plan
    from minigpt.training.ranks import Ranks
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
        say(stdout(), f"{run.path}: this run is finished, {_ended(run)}. Train it longer with --steps or --minutes.")
        return None
    with working() as work:
        prepared = request.begin(device, ranks, work.begin)
    if prepared.begun is not None:
        _introduce(prepared, request, _places(ranks, device))
    else:
        _show_plan(prepared, request.length.seconds, json=json)
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


def _show_plan(prepared: "Prepared", seconds: float | None, *, json: bool) -> None:
    """Print the plan of --dry-run; with a time budget for a GPT, the reasons, and at most ten alternatives."""
    plan, runs = prepared.plan, prepared.runs
    if plan is not None:
        if json:
            print(to_json(plan.model), to_json(plan.train), sep="\n")
        else:
            print_lines(partial(_size, plan, prepared.choices))
    elif json:
        for number, run in enumerate(best_of_each(runs)):
            print(to_json(run, chosen=number == 0))
    else:
        print_lines(partial(reasons, runs, seconds or 0.0, part=prepared.choices.part))
        if len(runs) > 1:
            print_lines(partial(plan_table, runs))


def _introduce(prepared: "Prepared", request: "TrainRequest", places: str) -> None:
    """Print three lines: the text, the model, and the folder; with a time budget, also what was chosen and why."""
    assert prepared.begun is not None
    (plan, folder, _), seconds, console = prepared.begun, request.length.seconds, stderr()
    screen = Screen.of(console)
    if not request.text.corpus:
        note(_without_text(prepared.choices.model))
    note(plan.corpus.skipped_note, *plan.notes)
    chosen, choices = seconds is not None and plan.model.model in PLANNED, prepared.choices
    lines = reasons(prepared.runs, seconds or 0.0, screen, choices.part) if chosen else _size(plan, choices, screen)
    for line in lines:
        console.print(line)
    if plan.base is not None:
        console.print(_given(plan, screen))
    precision = plan.train.precision
    where = f"{places} in {precision}{' precision' if precision == 'mixed' else ''}"
    validation = f"validation on {plan.validation}" if plan.has_validation else "no validation"
    console.print(screen.caption(where, validation, f"saved in {folder.path}"))


def _without_text(model: str) -> str:
    if model in PAIR_MODELS:
        return "no pairs given, so this trains on English phrases with their French, which a small grammar makes."
    return "no text given, so this trains on Python's own language reference, which comes with every Python."


def _ended(run: "Finished") -> str:
    """How a finished run ended, for a message about continuing it."""
    early, plan = run.info.get("stopped_early"), run.plan
    if early is None:
        return f"after {quantity(run.info.get('steps_taken') or plan.train.steps, 'step')}"
    return f"early, after {early:,} of {plan.train.steps:,} steps, as --patience {plan.train.patience} ran out"


def _given(plan: "Plan", screen: Screen) -> "Text":
    """What is done with a given model."""
    train = plan.train
    frozen = f"the embeddings and {train.freeze} of {plan.model.layers} layers frozen" if train.freeze else ""
    return screen.caption(
        f"begins with {plan.base}",
        f"{train.optimizer} at {train.learning_rate:g}",
        frozen,
        "gradient checkpointing" if train.gradient_checkpointing else "",
    )


def _size(plan: "Plan", choices: Choices, screen: Screen) -> "tuple[Text, Text]":
    """Two lines: the text, and the model."""
    text, model, tokens = plan.corpus, plan.model, int(plan.sizes.sum())
    batch = plan.train.batch_size * plan.train.accumulation
    step_tokens = round(batch * plan.sizes.mean()) if model.reads_pairs else batch * model.context
    epochs = plan.train.steps * step_tokens / tokens
    inside = quantity(model.heads, "head") if model.model == "gpt" else NAMES[model.model]
    each = " each" if model.reads_pairs else ""
    parts = quantity(text.documents // 2, "pair") if model.reads_pairs else quantity(text.documents, "document")
    shape = f"{quantity(model.layers, 'layer')} {screen.symbols.times} {model.width}{each}, {inside}"
    return (
        screen.caption(
            f"{text.name}: {byte_count(text.utf8_bytes)} in {parts}",
            f"{choices.tokenizer or 'given vocabulary'} {model.vocab_size:,}, {plan.bytes_per_token:.2f} bytes a token",
            f"{compact(tokens)} training tokens",
        ),
        screen.caption(
            f"{shape}, context {model.context}, {compact(model.parameter_count())} parameters",
            f"{quantity(plan.train.steps, 'step')} of {step_tokens:,} tokens, {epochs:.1f} epochs",
        ),
    )


def _places(ranks: "Ranks", device: "torch.device") -> str:
    """The devices and processes that train."""
    if ranks.size == 1:
        return str(device)
    return f"{ranks.size} processes on {device.type}{', each with a part of the model,' if ranks.shard else ''}"
