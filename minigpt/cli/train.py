"""`minigpt train`: text in, a run's folder out."""

import math
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minigpt.cli.again import again
from minigpt.cli.config_file import Config
from minigpt.cli.given import build, given
from minigpt.cli.guard import StopSignals, guarded, note, say, signals_raise, stderr, stdout
from minigpt.cli.options import Device, Json, Quiet, Threads
from minigpt.config import (
    DEFAULT_MINUTES,
    DEFAULT_WINDOW,
    PRESETS,
    Choices,
    SampleConfig,
    TrainConfig,
    require,
    require_minutes,
)

if TYPE_CHECKING:
    import torch
    from rich.text import Text

    from minigpt.checkpoint.run import RunFolder
    from minigpt.models.kinds import Model
    from minigpt.records import PlannedRun, TrainRecord
    from minigpt.render.screen import Screen
    from minigpt.training.distributed import Ranks
    from minigpt.training.plan import Plan
    from minigpt.training.share import Begun

_DEFAULTS = TrainConfig()
_TEXT, _MODEL, _TRAINING, _OPTIMIZER, _MACHINE, _OUTPUT = (
    "Text", "Model", "Training", "Optimizer", "Machine", "Output"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Manner:
    """How to go about it this time; by the flags' names."""

    save_every: int | None
    tensorboard: bool
    json: bool
    quiet: bool


@dataclass(frozen=True)
class _Budget:
    """Seconds since the command began."""

    seconds: float
    started: float

    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.started)


# What may be said anew at every start; anything else belongs to the run.
_ANY_TIME = {"steps", "minutes", "device", "threads", "shard", "resume", "config"} | {
    field.name for field in fields(_Manner)
}


def _flag(help: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


@guarded
def train(
    ctx: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, directories, globs, URLs that fsspec opens, - for standard input; .jsonl, .parquet, "
            ".gz, .bz2, .xz and .zst as they are. Without any: Python's own language reference.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[str, _flag("The text's encoding.", _TEXT)] = "utf-8",
    field: Annotated[str, _flag("What holds the text in .jsonl and .parquet.", _TEXT)] = "text",
    val_fraction: Annotated[
        float, _flag("The last part of the text is kept for validation; 0 for none.", _TEXT)
    ] = Choices.val_fraction,
    val: Annotated[str | None, _flag("Validate on this file instead.", _TEXT)] = None,
    part: Annotated[
        float, _flag("Share of the text to use, in pieces from all over it. With --minutes, what fits.", _TEXT)
    ] = Choices.part,
    tokenizer: Annotated[
        str | None,
        _flag("bpe (learned pieces of words; with --steps the default) or char (one token per character).", _TEXT),
    ] = None,
    vocab_size: Annotated[
        int | None, _flag("Tokens of a bpe tokenizer. By default from the text's size.", _TEXT)
    ] = None,
    model: Annotated[
        str, _flag("gpt, or what came before: lstm, rnn, or window, a dense network over the last tokens.", _MODEL)
    ] = Choices.model,
    preset: Annotated[str | None, _flag(f"{', '.join(PRESETS)}. With --steps by default nano.", _MODEL)] = None,
    layers: Annotated[int | None, _flag("Blocks.", _MODEL)] = None,
    heads: Annotated[int | None, _flag("Attention heads.", _MODEL)] = None,
    width: Annotated[int | None, _flag("Channels.", _MODEL)] = None,
    context: Annotated[int | None, _flag("Tokens seen at once.", _MODEL)] = None,
    window: Annotated[
        int | None, _flag(f"Tokens that --model window sees, by default {DEFAULT_WINDOW}.", _MODEL)
    ] = None,
    dropout: Annotated[float | None, _flag("Share of activations dropped. With --steps by default 0.", _MODEL)] = None,
    positions: Annotated[
        str, _flag("learned, sinusoidal (a fixed table) or none, to see what order is worth.", _MODEL)
    ] = _DEFAULTS.positions,
    base: Annotated[
        str | None,
        _flag("Begin with this checkpoint, as -c takes it, and keep its shape and its tokenizer.", _MODEL, "--from"),
    ] = None,
    freeze: Annotated[
        int, _flag("With --from: so many layers, the first, and the embeddings stay as they are.", _MODEL)
    ] = _DEFAULTS.freeze,
    minutes: Annotated[
        float | None,
        _flag(
            f"Train the best model that this machine can train in so many minutes: {DEFAULT_MINUTES:g} by default, "
            "unless --steps is given. All that is not given is chosen.",
            _TRAINING,
        ),
    ] = None,
    steps: Annotated[int | None, _flag("Optimizer steps, in place of --minutes.", _TRAINING)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, and end.", rich_help_panel=_TRAINING)
    ] = False,
    batch_size: Annotated[int | None, _flag("Windows per batch.", _OPTIMIZER)] = None,
    accumulation: Annotated[int, _flag("Batches per step.", _OPTIMIZER)] = _DEFAULTS.accumulation,
    optimizer: Annotated[
        str, _flag("muon (with adamw for all but the blocks' matrices) or adamw.", _OPTIMIZER)
    ] = _DEFAULTS.optimizer,
    muon_learning_rate: Annotated[float, _flag("Muon's highest rate.", _OPTIMIZER)] = _DEFAULTS.muon_learning_rate,
    learning_rate: Annotated[float | None, _flag("AdamW's highest rate.", _OPTIMIZER)] = None,
    final_learning_rate: Annotated[float, _flag("Rate at the end.", _OPTIMIZER)] = _DEFAULTS.final_learning_rate,
    warmup_steps: Annotated[int, _flag("Steps up to the highest rate.", _OPTIMIZER)] = _DEFAULTS.warmup_steps,
    weight_decay: Annotated[float, _flag("Of matrices and embeddings.", _OPTIMIZER)] = _DEFAULTS.weight_decay,
    beta1: Annotated[float, _flag("AdamW's.", _OPTIMIZER)] = _DEFAULTS.beta1,
    beta2: Annotated[float, _flag("AdamW's.", _OPTIMIZER)] = _DEFAULTS.beta2,
    clip_norm: Annotated[float, _flag("Largest gradient norm; 0 for any.", _OPTIMIZER)] = _DEFAULTS.clip_norm,
    eval_every: Annotated[int, _flag("Steps between evaluations.", _TRAINING)] = _DEFAULTS.eval_every,
    eval_tokens: Annotated[
        int, _flag("Of a longer validation text so many tokens are used, from all over it.", _TRAINING)
    ] = _DEFAULTS.eval_tokens,
    patience: Annotated[
        int, _flag("Evaluations without a better validation loss that end a run; 0 for none.", _TRAINING)
    ] = _DEFAULTS.patience,
    seed: Annotated[int, _flag("Of weights and batches.", _TRAINING)] = _DEFAULTS.seed,
    precision: Annotated[str, _flag("auto, float32, mixed or bfloat16.", _MACHINE)] = _DEFAULTS.precision,
    compile: Annotated[
        bool, _flag("Through torch.compile: slow to begin, and then faster on a GPU.", _MACHINE, "--compile")
    ] = False,
    gradient_checkpointing: Annotated[
        bool,
        _flag(
            "Keep less in memory for the way back, and run each block twice. With --from, where it matters.", _MACHINE
        ),
    ] = _DEFAULTS.gradient_checkpointing,
    device: Device = "auto",
    threads: Threads = None,
    shard: Annotated[
        bool,
        _flag("With torchrun: divide a model that does not fit among the processes (FSDP).", _MACHINE, "--shard"),
    ] = False,
    out: Annotated[Path | None, _flag("The run's folder. By default checkpoints/NAME.", _OUTPUT)] = None,
    resume: Annotated[
        str | None, _flag("Go on with this run, or the latest one, exactly where it was.", _OUTPUT)
    ] = None,
    save_every: Annotated[
        int | None, _flag("Steps between saves of what --resume needs. By default by time.", _OUTPUT, min=1)
    ] = None,
    snapshots: Annotated[
        int, _flag("Models kept along the way, evenly in the logarithm of the step; 0 for none.", _OUTPUT)
    ] = _DEFAULTS.snapshots,
    overwrite: Annotated[bool, _flag("Replace the run in --out.", _OUTPUT, "--overwrite")] = False,
    tensorboard: Annotated[
        bool, _flag("Write RUN/tensorboard/ too, for TensorBoard.", _OUTPUT, "--tensorboard")
    ] = False,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a small GPT on a text, and keep the best model.

    [bold]minigpt train notes.txt[/bold]
        a book, a diary, a log; about three minutes
    [bold]minigpt train notes.txt --minutes 30[/bold]
        the best model for half an hour of this machine
    [bold]minigpt train poems/ --tokenizer char[/bold]
        a folder of texts, by characters
    [bold]minigpt train notes.txt --from gpt2[/bold]
        GPT-2, trained further on your notes
    """
    started = time.perf_counter()
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.hub import pinned
    from minigpt.checkpoint.run import RunFolder, Scratch, check_out, claim
    from minigpt.cli.setup import use_device
    from minigpt.render.work import WorkDisplay
    from minigpt.text.corpus import read_corpus
    from minigpt.training.distributed import join
    from minigpt.training.finetune import Base, begun_with, gentle
    from minigpt.training.plan import choose, make_plan
    from minigpt.training.run import build_model, model_card, run_info
    from minigpt.training.tensorboard import check_installed

    said, manner = given(ctx), build(_Manner, ctx.params)

    budget = None if steps is not None else _Budget(60 * (minutes or DEFAULT_MINUTES), started)

    def begin() -> "Begun | None":
        """A new run; None for a plan that is only to be shown."""
        # By name: a flag whose name is a field's goes there, and where it was not given, the field's default stands.
        settings, choices = build(TrainConfig, said), build(Choices, said)
        runs: list[PlannedRun] = []  # ways to use the budget, best first
        ranks.check_batch(choices.batch_size or 0)  # before all the work
        if out is not None:
            check_out(out, overwrite=overwrite)
        first = None
        if base is not None:
            first = Base(base, load(base))
            choices, settings = gentle(first, choices, settings, said, target, ranks.size)
        console = stderr()
        console.quiet = quiet
        with signals_raise(), Scratch(out) as scratch:
            with WorkDisplay(console) as work:
                read = partial(read_corpus, encoding=encoding, field=field, progress=work.begin("reading", None))
                text = read(corpus or [])
                held_out = read([val]) if val is not None else None
                if budget is not None:
                    work.begin("measuring this machine", None)
                    plans = choose(text, held_out, choices, settings, budget.left(), target, said, ranks.size, first)
                    runs, choices, settings = plans.runs, plans.choices, plans.settings
                    if plans.note:
                        note(plans.note, quiet=quiet)
                    if dry_run and model == "gpt":
                        _show_plan(runs, budget.seconds, json=json)
                        return None
                choices = choices.filled()
                plan = make_plan(text, held_out, choices, settings, target, scratch, work.begin, first)
            if dry_run:
                _show_size(plan, choices, json=json)
                return None
            ranks.check_batch(plan.train.batch_size)
            begun = build_model(plan) if first is None else begun_with(first, plan.model, plan.train.freeze)
            plan = plan.within(budget.left()) if budget is not None else plan
            origin = None if first is None else pinned(first.name, first.checkpoint.path)
            info = run_info(plan, choices, target) | again(ctx.params, plan, choices, target, origin)
            info["minutes"] = None if budget is None else budget.seconds / 60
            path = claim(plan.corpus.name, out, overwrite=overwrite)
            folder = RunFolder(path, plan.tokenizer, info)
            folder.start(begun, model_card(plan, info["command"]), plan.data)
        if not quiet:
            whole = None if budget is None else budget.seconds
            _introduce(plan, choices, runs, whole, folder.path, _places(ranks, target), builtin=not corpus)
        if budget is not None:
            plan = plan.within(budget.left())
            folder.update(train=asdict(plan.train))
        return plan, folder, begun

    with join(shard) as ranks:
        require(not overwrite or out is not None, "--overwrite goes with --out FOLDER.")
        require(not freeze or base is not None or resume is not None, "--freeze goes with --from CHECKPOINT.")
        require(minutes is None or steps is None, "Give --minutes or --steps, not both.")
        require(
            model == "gpt" or "optimizer" not in said or optimizer == "adamw",
            f"--optimizer muon is for the matrices of a GPT's blocks: --model {model} is trained by adamw.",
        )
        if minutes is not None:
            require_minutes(minutes)
        if tensorboard:
            check_installed()
        if resume is not None and ranks.size == 1:
            device, threads = _as_before(resume, said, device, threads)
        target = use_device(device, threads, ranks.device)
        begins = begin if resume is None else partial(_reopen, resume, said)
        signal_number = _train(begins, target, ranks, manner, resume=resume is not None)
    if signal_number is not None:
        raise typer.Exit(128 + signal_number)


def _named(run: str) -> Path:
    """The folder that --resume names."""
    from minigpt.checkpoint.runs import newest_run

    return newest_run(otherwise="or name a run: --resume FOLDER") if run == "latest" else Path(run)


def _as_before(run: str, said: Mapping[str, Any], device: str, threads: int | None) -> tuple[str, int | None]:
    """The CPU and the threads that a run began with, where no others are given: its losses are the same to the bit."""
    from torch import get_num_threads

    from minigpt.checkpoint.files import read_json_object
    from minigpt.checkpoint.runs import RUN
    from minigpt.errors import CheckpointError

    try:
        info = read_json_object(_named(run) / RUN)
    except CheckpointError:  # which is told where the run is opened
        return device, threads
    before = info.get("threads")
    if "threads" not in said and isinstance(before, int) and before > 0:
        threads = min(before, get_num_threads())
    return "cpu" if "device" not in said and info.get("device") == "cpu" else device, threads


def _reopen(run: str, said: Mapping[str, Any]) -> "Begun | None":
    """A run that can go on; None, and it is said, where there is nothing left to do."""
    from minigpt.training.resume import open_run
    from minigpt.training.run import build_model

    settings = {name: said[name] for name in sorted(said.keys() - _ANY_TIME)}
    path = _named(run)
    plan, folder = open_run(path, settings, said.get("steps"), said.get("minutes"))
    if folder.info.get("status") == "finished":
        told = f"{path}: this run is finished, {_finish(plan, folder.info)}. Train it longer with --steps or --minutes."
        say(stdout(), told)
        return None
    folder.hold()
    minutes = None if plan.train.steps_suffice else plan.train.minutes
    length = f"{plan.train.steps:,} steps" if minutes is None else f"{minutes:.3g} minutes"
    note(f"going on with {path}, which is to take {length} in all.", quiet=said.get("quiet", False))
    return plan, folder, build_model(plan)


def _best(history: "list[TrainRecord]") -> "TrainRecord":
    """The record with the lowest validation loss."""
    return min(history, key=lambda r: math.inf if r.validation_loss_nats is None else r.validation_loss_nats)


def _finish(plan: "Plan", info: Mapping[str, Any]) -> str:
    early = info.get("stopped_early")
    if early is None:
        return f"after {info.get('steps_taken', plan.train.steps):,} steps"
    return f"early, after {early:,} of {plan.train.steps:,} steps, as --patience {plan.train.patience} was at its end"


def _train(
    begin: "Callable[[], Begun | None]", device: "torch.device", ranks: "Ranks", manner: _Manner, *, resume: bool
) -> int | None:
    """Begin on rank 0, and train on all; the signal that stopped the run, if any."""
    from minigpt.training.share import share_run

    begun = share_run(ranks, begin)
    if begun is None:
        return None
    plan, folder, model = begun
    return _run(plan, ranks.place(model, device), folder, ranks, manner, resume=resume)


def _run(
    plan: "Plan", model: "Model", folder: "RunFolder", ranks: "Ranks", manner: _Manner, *, resume: bool
) -> int | None:
    """Train with a display, and end with what to type next; the signal that stopped the run, if any."""
    from minigpt.checkpoint.run import TENSORBOARD
    from minigpt.render.machine import to_json
    from minigpt.render.progress import TrainDisplay, stopped_early
    from minigpt.training.evaluate import is_overfitting
    from minigpt.training.run import run
    from minigpt.training.tensorboard import EventFiles

    history: list[TrainRecord] = []
    console = stderr()
    console.quiet = manner.quiet or not ranks.is_main
    writes_events = manner.tensorboard and ranks.is_main
    samples = ranks.is_main and not ranks.shard and not manner.quiet  # a model in parts is too slow to sample from
    with (
        StopSignals() as stopped,
        TrainDisplay(console, plan.train.steps, None if plan.train.steps_suffice else plan.train.seconds) as display,
        EventFiles(folder.path / TENSORBOARD, folder.info) if writes_events else nullcontext() as events,
        closing(run(plan, model, folder, stopped, save_every=manner.save_every, resume=resume, ranks=ranks)) as records,
    ):
        for record, _ in records:
            if resume and not history:
                history = folder.logged()  # what came before, and this record
                for earlier in history[:-1]:
                    display.remember(earlier)
            else:
                history.append(record)
            display.update(record)
            if events:
                events.write(record)
            if manner.json:
                print(to_json(record), flush=True)
            if record.step % plan.train.eval_every == 0 and not manner.quiet and not stopped():
                if samples:
                    display.show_sample(_short_sample(plan, model))
                if ranks.is_main and is_overfitting(history, every=plan.train.eval_every):
                    display.warn_overfitting(record, _best(history))
        signal_number = int(ranks.farewell(stopped.received or 0)) or None
        if signal_number is None and "stopped_early" not in folder.info:
            display.finish()
    if ranks.is_main and "stopped_early" in folder.info and history:
        told = stopped_early(history[-1], _best(history), plan.train.steps, plan.train.patience)
        note(told, quiet=manner.quiet)
    if ranks.is_main and not manner.json:
        _conclude(folder, signal_number, quiet=manner.quiet)
    return signal_number


def _show_plan(runs: "Sequence[PlannedRun]", seconds: float, *, json: bool) -> None:
    """For --dry-run with a time budget, on standard output: why, and what else could be done with the time."""
    from minigpt.render.machine import to_json
    from minigpt.render.plan import plan_table, reasons
    from minigpt.render.screen import Screen

    console = stdout()
    screen = Screen.of(console)
    if json:
        for run in runs:
            print(to_json(run))
        return
    for line in reasons(runs, seconds, screen):
        console.print(line)
    if len(runs) > 1:
        console.print(plan_table(runs, screen))


def _show_size(plan: "Plan", choices: Choices, *, json: bool) -> None:
    """For --dry-run with --steps, on standard output."""
    from minigpt.render.machine import to_json
    from minigpt.render.screen import Screen

    if json:
        print(to_json(plan.model), to_json(plan.train), sep="\n")
        return
    console = stdout()
    for line in _size(plan, choices, Screen.of(console)):
        console.print(line)


def _introduce(
    plan: "Plan",
    choices: Choices,
    runs: "Sequence[PlannedRun]",
    seconds: float | None,
    folder: Path,
    places: str,
    *,
    builtin: bool,
) -> None:
    """Three lines: the text, the model, and where it goes; for a time budget, what was chosen and why."""
    from minigpt.render.plan import reasons
    from minigpt.render.screen import Screen
    from minigpt.render.style import quantity

    text, console = plan.corpus, stderr()
    screen = Screen.of(console)
    if builtin:
        note("no text given, so this trains on Python's own language reference, which every Python brings.")
    if text.skipped:
        note(f"skipped what is not text: {quantity(len(text.skipped), 'file')}, such as {text.skipped[0]}.")
    for sentence in plan.notes:
        note(sentence)
    chosen = seconds is not None and plan.model.model == "gpt"
    for line in reasons(runs, seconds or 0.0, screen) if chosen else _size(plan, choices, screen):
        console.print(line)
    if plan.base is not None:
        console.print(_given(plan, screen))
    precision = plan.train.precision
    where = f"{places} in {precision}{' precision' if precision == 'mixed' else ''}"
    validation = f"validation on {plan.validation}" if plan.has_validation else "no validation"
    console.print(screen.caption(where, validation, f"saved in {folder}"))


def _given(plan: "Plan", screen: "Screen") -> "Text":
    """What is done with a model that is given."""
    train = plan.train
    frozen = f"the embeddings and {train.freeze} of {plan.model.layers} layers frozen" if train.freeze else ""
    return screen.caption(
        f"begins with {plan.base}",
        f"{train.optimizer} at {train.learning_rate:g}",
        frozen,
        "gradient checkpointing" if train.gradient_checkpointing else "",
    )


def _size(plan: "Plan", choices: Choices, screen: "Screen") -> "tuple[Text, Text]":
    """Two lines: the text, and the model."""
    from minigpt.models.kinds import NAMES
    from minigpt.render.style import byte_count, compact, quantity

    text, model, tokens = plan.corpus, plan.model, len(plan.data.train)
    step_tokens = plan.train.batch_size * plan.train.accumulation * model.context
    epochs = plan.train.steps * step_tokens / tokens
    inside = quantity(model.heads, "head") if model.model == "gpt" else NAMES[model.model]
    shape = f"{quantity(model.layers, 'layer')} {screen.symbols.times} {model.width}, {inside}"
    return (
        screen.caption(
            f"{text.name}: {byte_count(text.utf8_bytes)} in {quantity(text.documents, 'document')}",
            f"{choices.tokenizer or 'given vocabulary'} {model.vocab_size:,}, {plan.bytes_per_token:.2f} bytes a token",
            f"{compact(tokens)} training tokens",
        ),
        screen.caption(
            f"{shape}, context {model.context}, {compact(model.parameter_count())} parameters",
            f"{quantity(plan.train.steps, 'step')} of {step_tokens:,} tokens, {epochs:.1f} epochs",
        ),
    )


def _places(ranks: "Ranks", device: "torch.device") -> str:
    """Where the training goes on."""
    if ranks.size == 1:
        return str(device)
    return f"{ranks.size} processes on {device.type}{', each with a part of the model,' if ranks.shard else ''}"


def _short_sample(plan: "Plan", model: "Model") -> str:
    """Some forty tokens of the model as it is, and the model back in training."""
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.engine import generate

    settings = SampleConfig(max_tokens=40, top=1, seed=plan.train.seed, ignore_end_of_text=True)
    model.eval()
    with decoding_threads(model):
        text = "".join(piece.text for piece in generate(model, plan.tokenizer, "\n", settings))
    model.train()
    return text.strip()


def _conclude(folder: "RunFolder", signal_number: int | None, *, quiet: bool) -> None:
    """Where the model is, how good it is, and the next two commands."""
    saved, where = folder.info.get("saved", {"step": 0}), str(folder.path)
    if signal_number is not None and folder.info["status"] != "finished":
        name = signal.Signals(signal_number).name
        note(
            f"stopped by {name}; the run is saved. Go on with: minigpt train --resume {shlex.quote(where)}", quiet=quiet
        )
    bits = saved.get("validation_bits_per_byte")
    quality = f", {bits:.3f} bits per byte on {folder.info['corpus']['validation']}" if bits is not None else ""
    base = folder.info["choices"].get("base")
    if base is not None and not saved["step"] and not signal_number:
        note(f"no step made it better on that text: the model is {base} as it was.", quiet=quiet)
    console = stdout()
    best = "the best model, that of step" if bits is not None else "the model of step"
    say(console, f"{where}: {best} {saved['step']:,}{quality}")
    for command in ("sample", 'inspect-probs "The"'):
        say(console, f"  minigpt {command} -c {shlex.quote(where)}")
