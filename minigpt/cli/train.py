"""`minigpt train`: text in, a run's folder out."""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minigpt.cli.again import again
from minigpt.cli.completion import complete_model, complete_resumed
from minigpt.cli.config_file import Config
from minigpt.cli.given import build, given
from minigpt.cli.guard import guarded, note, signals_raise, stderr
from minigpt.cli.introduction import introduce, part_was_read, places, show_plan, show_size
from minigpt.cli.options import Device, Quiet, Threads, choice, json_flag
from minigpt.cli.resume import as_before, reopen
from minigpt.cli.training import Manner, watched
from minigpt.config import (
    DEFAULT_MINUTES,
    DEFAULT_WINDOW,
    MODELS,
    OPTIMIZERS,
    POSITIONS,
    PRECISIONS,
    PRESETS,
    RANGES,
    TOKENIZERS,
    Choices,
    TrainConfig,
    require,
)

if TYPE_CHECKING:
    from minigpt.records import PlannedRun
    from minigpt.training.share import Begun

_DEFAULTS = TrainConfig()
_TEXT, _MODEL, _TRAINING, _OPTIMIZER, _MACHINE, _OUTPUT = (
    "Text", "Model", "Training", "Optimizer", "Machine", "Output"
)  # fmt: skip


@dataclass(frozen=True)
class _Budget:
    """Seconds since the command began. However much was spent, `least` of them, a share, are left for training."""

    seconds: float
    started: float
    least: float

    def left(self) -> float:
        return max(self.least * self.seconds, self.seconds - (time.perf_counter() - self.started))


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
        choice(
            TOKENIZERS,
            "{values}.",
            remarks={"bpe": "learned pieces of words; with --steps the default", "char": "one token per character"},
            rich_help_panel=_TEXT,
        ),
    ] = None,
    vocab_size: Annotated[
        int | None, _flag("Tokens of a bpe tokenizer. By default from the text's size.", _TEXT)
    ] = None,
    model: Annotated[
        str,
        choice(
            MODELS,
            "{values}; those behind gpt are what came before it.",
            remarks={"window": "a dense network over the last tokens"},
            rich_help_panel=_MODEL,
        ),
    ] = Choices.model,
    preset: Annotated[
        str | None, choice(PRESETS, "{values}. With --steps by default nano.", rich_help_panel=_MODEL)
    ] = None,
    layers: Annotated[int | None, _flag("Blocks.", _MODEL)] = None,
    heads: Annotated[int | None, _flag("Attention heads.", _MODEL)] = None,
    width: Annotated[int | None, _flag("Channels.", _MODEL)] = None,
    context: Annotated[int | None, _flag("Tokens seen at once.", _MODEL)] = None,
    window: Annotated[
        int | None, _flag(f"Tokens that --model window sees, by default {DEFAULT_WINDOW}.", _MODEL)
    ] = None,
    dropout: Annotated[float | None, _flag("Share of activations dropped. With --steps by default 0.", _MODEL)] = None,
    positions: Annotated[
        str,
        choice(
            POSITIONS,
            "{values}, to see what order is worth.",
            remarks={"sinusoidal": "a fixed table"},
            rich_help_panel=_MODEL,
        ),
    ] = _DEFAULTS.positions,
    base: Annotated[
        str | None,
        _flag(
            "Begin with this checkpoint, as -c takes it, and keep its shape and its tokenizer.",
            _MODEL,
            "--from",
            autocompletion=complete_model,
        ),
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
        str,
        choice(
            OPTIMIZERS,
            "{values}.",
            remarks={"muon": "with adamw for all but the blocks' matrices"},
            rich_help_panel=_OPTIMIZER,
        ),
    ] = _DEFAULTS.optimizer,
    muon_learning_rate: Annotated[float, _flag("Muon's highest rate.", _OPTIMIZER)] = _DEFAULTS.muon_learning_rate,
    learning_rate: Annotated[float | None, _flag("AdamW's highest rate.", _OPTIMIZER)] = None,
    final_learning_rate: Annotated[float, _flag("Rate at the end.", _OPTIMIZER)] = _DEFAULTS.final_learning_rate,
    warmup_steps: Annotated[int, _flag("Steps up to the highest rate.", _OPTIMIZER)] = _DEFAULTS.warmup_steps,
    weight_decay: Annotated[
        float, _flag("Of matrices and embeddings. Chosen by --minutes.", _OPTIMIZER)
    ] = _DEFAULTS.weight_decay,
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
    precision: Annotated[str, choice(PRECISIONS, "{values}.", rich_help_panel=_MACHINE)] = _DEFAULTS.precision,
    compile: Annotated[
        bool, _flag("Through torch.compile: slow to begin, and then faster on a GPU.", _MACHINE, "--compile")
    ] = False,
    gradient_checkpointing: Annotated[
        bool,
        _flag(
            "Keep less in memory for the way back, and run each block twice. With --from, where it matters.",
            _MACHINE,
            "--gradient-checkpointing",
        ),
    ] = _DEFAULTS.gradient_checkpointing,
    no_gradient_checkpointing: Annotated[
        bool, _flag("Not even with --from.", _MACHINE, "--no-gradient-checkpointing")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    shard: Annotated[
        bool,
        _flag("With torchrun: divide a model that does not fit among the processes (FSDP).", _MACHINE, "--shard"),
    ] = False,
    out: Annotated[Path | None, _flag("The run's folder. By default checkpoints/NAME.", _OUTPUT)] = None,
    resume: Annotated[
        str | None,
        _flag(
            "Go on with this run, by name or folder, or the latest, exactly where it was.",
            _OUTPUT,
            autocompletion=complete_resumed,
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        _flag(
            "Steps between saves of what --resume needs. By default by time.", _OUTPUT, min=RANGES["save_every"].least
        ),
    ] = None,
    snapshots: Annotated[
        int, _flag("Models kept along the way, evenly in the logarithm of the step; 0 for none.", _OUTPUT)
    ] = _DEFAULTS.snapshots,
    overwrite: Annotated[bool, _flag("Replace the run in --out.", _OUTPUT, "--overwrite")] = False,
    tensorboard: Annotated[
        bool, _flag("Write RUN/tensorboard/ too, for TensorBoard.", _OUTPUT, "--tensorboard")
    ] = False,
    config: Config = None,
    json: Annotated[bool, json_flag("a line a step")] = False,
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
    from minigpt.app.opening import use_device
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.hub import pinned
    from minigpt.checkpoint.run import RunFolder, Scratch, check_out, claim
    from minigpt.render.work import WorkDisplay
    from minigpt.text.corpus import read_corpus
    from minigpt.training.distributed import join
    from minigpt.training.finetune import Base, begun_with, gentle
    from minigpt.training.plan import LEAST_TRAINING_SHARE, READING_SHARE, as_it_is, choose, make_plan
    from minigpt.training.run import build_model, model_card, run_info
    from minigpt.training.tensorboard import check_installed

    said, manner = given(ctx), build(Manner, ctx.params)
    if said.pop("no_gradient_checkpointing", False):  # a flag of its own, as two so long have no room on a line of help
        said.setdefault("gradient_checkpointing", False)
    budget = None if steps is not None else _Budget(60 * (minutes or DEFAULT_MINUTES), started, LEAST_TRAINING_SHARE)

    def begin() -> "Begun | None":
        """A new run; None for a plan that is only to be shown."""
        # By name: a flag whose name is a field's goes there, and where it was not given, the field's default stands.
        settings, choices = build(TrainConfig, said), build(Choices, said)
        runs: list[PlannedRun] = []  # ways to use the budget, best first
        most_learned: int | None = None
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
                progress = work.begin("reading", None)
                most = None if budget is None else READING_SHARE * budget.seconds
                read = partial(read_corpus, encoding=encoding, field=field, progress=progress, seconds=most)
                text = read(corpus or [])
                held_out = read([val]) if val is not None else None
                for each in (text, held_out):
                    if each is not None and not each.whole:
                        note(part_was_read(each), quiet=quiet)
                if budget is not None:
                    work.begin("measuring this machine", None)
                    plans = choose(text, held_out, choices, settings, budget.left(), target, said, ranks.size, first)
                    runs, choices, settings = plans.runs, plans.choices, plans.settings
                    most_learned = plans.most_learned
                    if plans.note:
                        note(plans.note, quiet=quiet)
                    if dry_run and model == "gpt":
                        show_plan(runs, budget.seconds, json=json)
                        return None
                choices = choices.filled()
                plan = make_plan(text, held_out, choices, settings, target, scratch, work.begin, first, most_learned)
                runs[:1] = [as_it_is(run, plan) for run in runs[:1]]
            if dry_run:
                show_size(plan, choices, json=json)
                return None
            ranks.check_batch(plan.train.batch_size)
            begun = build_model(plan) if first is None else begun_with(first, plan.model, plan.train.freeze)
            plan = plan.within(budget.left()) if budget is not None else plan
            origin = None if first is None else pinned(first.name, first.checkpoint.path)
            info = run_info(plan, choices, target) | again(ctx.params, plan, choices, target, origin)
            info |= {"minutes": None if budget is None else budget.seconds / 60, "save_every": save_every}
            path = claim(plan.corpus.name, out, overwrite=overwrite)
            folder = RunFolder(path, plan.tokenizer, info)
            folder.start(begun, model_card(plan, info["command"]), plan.data)
        if not quiet:
            whole = None if budget is None else budget.seconds
            introduce(plan, choices, runs, whole, folder.path, places(ranks, target), builtin=not corpus)
        if budget is not None:
            plan = plan.within(budget.left())
            folder.update(train=asdict(plan.train))
        return plan, folder, begun

    with join(shard) as ranks:
        require(not overwrite or out is not None, "--overwrite goes with --out FOLDER.")
        require(not freeze or base is not None or resume is not None, "--freeze goes with --from CHECKPOINT.")
        require(minutes is None or steps is None, "Give --minutes or --steps, not both.")
        require(
            not (gradient_checkpointing and no_gradient_checkpointing),
            "--gradient-checkpointing and --no-gradient-checkpointing exclude each other.",
        )
        require(
            model == "gpt" or "optimizer" not in said or optimizer == "adamw",
            f"--optimizer muon is for the matrices of a GPT's blocks: --model {model} is trained by adamw.",
        )
        if tensorboard:
            check_installed()
        if resume is not None and ranks.size == 1:
            device, threads = as_before(resume, said, device, threads)
        target = use_device(device, threads, ranks.device)
        begins = begin if resume is None else partial(reopen, resume, said)
        signal_number = watched(begins, target, ranks, manner, resume=resume is not None)
    if signal_number is not None:
        raise typer.Exit(128 + signal_number)
