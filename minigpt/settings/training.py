"""The settings of a training: the text, the shape of the model, how long, how, and where it is saved.

To add one, add a field with `setting(...)` to one of these classes and use it. Its flag, its range check, its key in
--config files, its entry in run.json and its place in the command that repeats a run follow from the field.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minigpt.errors import named
from minigpt.settings.common import HUGE, MANY, PRECISIONS, SEED, Machine
from minigpt.settings.fields import Range, Settings, require, setting
from minigpt.settings.model import DEFAULT_WINDOW, DROPOUT, MODELS, PRESETS

PANELS = TEXT, MODEL, TRAINING, OPTIMIZER, MACHINE, OUTPUT = (
    "Text", "Model", "Training", "Optimizer", "Machine", "Output"
)  # fmt: skip
ENCODING_ERRORS = ("strict", "replace", "skip")
TOKENIZERS = ("bpe", "char")
OPTIMIZERS = ("muon", "adamw")
POSITIONS = ("learned", "sinusoidal", "none")  # how a model learns the position of a token
MOST_MINUTES, MOST_STEPS = 60 * 24 * 366, 100_000_000
MINUTES, _STEPS = Range(0, MOST_MINUTES, above=True, most_is="a year"), Range(1, MOST_STEPS)
_FEW = Range(1, 1 << 20)
_RATE, _BATCH = Range(0, HUGE, above=True), _FEW
_SHARE_LEFT = Range(0, 1, below=True, both=True)
DEFAULT_MINUTES = 3.0  # a first try

# Where neither the user nor the preset nor the text decides.
DEFAULT_CHOICES: dict[str, Any] = {"preset": "nano", "tokenizer": "bpe", "dropout": 0.0}


@dataclass(frozen=True, kw_only=True)
class TextFormat(Settings):
    """How files of text are read."""

    encoding: str = setting("utf-8", help="The text's encoding.", panel=TEXT)
    encoding_errors: str = setting(
        "strict",
        help="Bytes that are not of that encoding: {values}.",
        panel=TEXT,
        choices=ENCODING_ERRORS,
        remarks={"strict": "an error", "replace": "U+FFFD in their place", "skip": "left out"},
    )
    field: str = setting("text", help="Field or column that holds the text in .jsonl, .json and .parquet.", panel=TEXT)
    source_field: str = setting("source", help="For pairs: the field or column that holds the source.", panel=TEXT)
    target_field: str = setting("target", help="For pairs: the field or column that holds the target.", panel=TEXT)
    split_on: str | None = setting(
        None, help="Text between the documents of a file, such as '<|endoftext|>'.", panel=TEXT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.split_on != "", f"{named('split_on')} must not be empty.")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(TextFormat):
    """Which text is read, and how."""

    corpus: tuple[str, ...] = setting(
        (),
        help="Files, directories, globs, URLs that fsspec opens, - for standard input; .jsonl, .json, .parquet, "
        ".gz, .bz2, .xz and .zst as they are. Without any: Python's own language reference, or pairs of a grammar.",
        argument=True,
    )


@dataclass(frozen=True, kw_only=True)
class TextSettings(CorpusSettings):
    """The text to train on, and the one to validate on."""

    val: str | None = setting(None, help="Validate on this file.", panel=TEXT)


@dataclass(frozen=True, kw_only=True)
class Choices(Settings):
    """The user's choices for the plan of a run; None leaves a choice to the preset, the text, or DEFAULT_CHOICES."""

    val_fraction: float = setting(
        0.1,
        help=f"Without {named('val')}, hold out this share at the end of the text; 0 for none.",
        panel=TEXT,
        range=Range(0, 1, below=True, both=True, least_is="no validation"),
    )
    part: float = setting(
        1.0,
        help=f"Share of the text to use, in pieces spread over it. With {named('minutes')}, what fits.",
        panel=TEXT,
        range=Range(0, 1, above=True, both=True, most_is="the whole text"),
    )
    tokenizer: str | None = setting(
        None,
        help="{values}.",
        panel=TEXT,
        choices=TOKENIZERS,
        remarks={
            "bpe": f"learned pieces of words; with {named('steps')} the default",
            "char": "one token per character",
        },
    )
    # The largest vocabulary is four times the largest in use, and the trainer reserves room for all of it.
    vocab_size: int | None = setting(
        None,
        help="Vocabulary size of a bpe tokenizer. By default chosen by the text's size.",
        panel=TEXT,
        range=Range(257, 1 << 20, least_is="256 bytes and end-of-text"),
    )
    model: str = setting(
        "gpt",
        help="{values}; the others are the architectures before the GPT.",
        panel=MODEL,
        choices=MODELS,
        remarks={
            "window": "a dense network over the last tokens",
            "transformer": "encoder and decoder, for pairs of a source and a target",
            "seq2seq": "two LSTMs, for pairs",
        },
    )
    preset: str | None = setting(
        None, help=f"{{values}}. With {named('steps')} by default nano.", panel=MODEL, choices=PRESETS
    )
    layers: int | None = setting(None, help="Number of blocks.", panel=MODEL, range=Range(1, 10_000))
    heads: int | None = setting(None, help="Attention heads.", panel=MODEL, range=_FEW)
    width: int | None = setting(None, help="Width of the residual stream.", panel=MODEL, range=_FEW)
    context: int | None = setting(None, help="Tokens seen at once.", panel=MODEL, range=Range(1, MANY))
    window: int | None = setting(
        None,
        help=f"Tokens that {named('model', 'window')} sees, by default {DEFAULT_WINDOW}.",
        panel=MODEL,
        range=Range(1, 1 << 16),
    )
    dropout: float | None = setting(
        None, help=f"Share of activations dropped. With {named('steps')} by default 0.", panel=MODEL, range=DROPOUT
    )
    base: str | None = setting(
        None,
        help="Finetune this checkpoint, named as for -c; its shape and tokenizer are kept.",
        panel=MODEL,
        flag="from",
        completes="model",
    )
    batch_size: int | None = setting(None, help="Windows per batch.", panel=OPTIMIZER, range=_BATCH)
    learning_rate: float | None = setting(None, help="AdamW's highest learning rate.", panel=OPTIMIZER, range=_RATE)

    def filled(self) -> "Choices":
        """These choices, with DEFAULT_CHOICES for those that are still open, unless a base model decides them."""
        if self.base is not None:
            return self
        return replace(self, **{name: value for name, value in DEFAULT_CHOICES.items() if getattr(self, name) is None})


@dataclass(frozen=True, kw_only=True)
class Length(Settings):
    """How long to train: by the clock, or by steps."""

    minutes: float | None = setting(
        None,
        help=f"Train the best model that this machine can train in so many minutes: {DEFAULT_MINUTES:g} by default, "
        f"unless {named('steps')} is given. Whatever is not given is chosen to suit.",
        panel=TRAINING,
        range=MINUTES,
        anew=True,
    )
    steps: int | None = setting(
        None, help=f"Optimizer steps, in place of {named('minutes')}.", panel=TRAINING, range=_STEPS, anew=True
    )
    dry_run: bool = setting(False, help="Show the plan and exit.", panel=TRAINING)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.minutes is None or self.steps is None, f"Give {named('minutes')} or {named('steps')}, not both.")

    @property
    def seconds(self) -> float | None:
        """The time budget; None for a training measured in steps."""
        return None if self.steps is not None else 60 * (self.minutes or DEFAULT_MINUTES)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """How a model is trained. One step sees `batch_size * accumulation * context` tokens.

    With `seconds`, the clock decides when the run ends and how far the learning rates have decayed; `steps` is then an
    estimate, or, with `steps_suffice`, a maximum. `eval_tokens` of the validation text are used, spread over it.
    `precision` stays auto only until a plan has seen the device, and trains in float32 then; mixed is float32, but for
    Muon's iterations in bfloat16 where torch computes them. `positions` other than learned are fixed.
    """

    steps: int = setting(600, range=_STEPS)
    seconds: float | None = None
    steps_suffice: bool = False
    freeze: int = setting(
        0,
        help=f"With {named('base')}: freeze the embeddings and this many of the first layers.",
        panel=MODEL,
        range=Range(0, 10_000),
    )
    positions: str = setting(
        "learned",
        help="Position embeddings: {values}.",
        panel=MODEL,
        choices=POSITIONS,
        remarks={"sinusoidal": "a fixed table"},
    )
    batch_size: int = setting(16, range=_BATCH)
    accumulation: int = setting(1, help="Batches per step.", panel=OPTIMIZER, range=_FEW)
    optimizer: str = setting(
        "muon",
        help="{values}.",
        panel=OPTIMIZER,
        choices=OPTIMIZERS,
        remarks={"muon": "with adamw for all but the blocks' matrices"},
    )
    learning_rate: float = setting(6e-3, range=_RATE)
    muon_learning_rate: float = setting(
        0.03, help=f"Muon's highest learning rate. Chosen by {named('minutes')}.", panel=OPTIMIZER, range=_RATE
    )
    final_learning_rate: float = setting(0.0, help="Learning rate at the end.", panel=OPTIMIZER, range=Range(0, HUGE))
    warmup_steps: int = setting(
        30, help="Steps over which the rate rises to its highest.", panel=OPTIMIZER, range=Range(0, MOST_STEPS)
    )
    weight_decay: float = setting(
        0.1, help=f"On matrices and embeddings. Chosen by {named('minutes')}.", panel=OPTIMIZER, range=Range(0, 1000.0)
    )
    bpe_dropout: float = setting(
        0.0,
        help="Share of the merges inside tokens undone at random, until the last fifth of the training. "
        f"Chosen by {named('minutes')}.",
        panel=OPTIMIZER,
        range=Range(0, 1, below=True, both=True, least_is="off"),
    )
    context_warmup: float = setting(
        0.0,
        help="Share of the training, at its beginning, that reads shorter windows: of a quarter of the context, then "
        f"of half. Chosen by {named('minutes')}.",
        panel=OPTIMIZER,
        range=Range(0, 1, below=True, both=True, least_is="off"),
    )
    beta1: float = setting(0.9, help="AdamW's decay rate of the mean of gradients.", panel=OPTIMIZER, range=_SHARE_LEFT)
    beta2: float = setting(
        0.99, help="AdamW's decay rate of the mean of squared gradients.", panel=OPTIMIZER, range=_SHARE_LEFT
    )
    clip_norm: float = setting(
        1.0,
        help="Clip gradients to this norm; 0 for no clipping.",
        panel=OPTIMIZER,
        range=Range(0, HUGE, least_is="off"),
    )
    eval_every: int = setting(50, help="Steps between evaluations.", panel=TRAINING, range=_STEPS)
    eval_tokens: int = setting(
        1_000_000,
        help="Validate on this many tokens, spread over a longer validation text.",
        panel=TRAINING,
        range=Range(1, MANY),
    )
    patience: int = setting(
        0,
        help="Stop after this many evaluations without a better validation loss; 0 for never.",
        panel=TRAINING,
        range=Range(0, MOST_STEPS),
    )
    snapshots: int = setting(
        12,
        help="Snapshots to keep, evenly spaced in the logarithm of the step; 0 for none.",
        panel=OUTPUT,
        range=Range(0, 1000, both=True),
    )
    seed: int = setting(1, help="Seed of weights and batches.", panel=TRAINING, range=SEED)
    precision: str = setting("auto", help="{values}.", panel=MACHINE, choices=PRECISIONS)
    compile: bool = setting(False, help="Use torch.compile: slow to start, then faster on a GPU.", panel=MACHINE)
    gradient_checkpointing: bool = setting(
        False,
        help=f"Recompute activations in the backward pass to save memory. With {named('base')}, on where needed.",
        off=f"Never recompute activations, even with {named('base')}.",
        panel=MACHINE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is not None:
            MINUTES.check("minutes", self.minutes)
        require(
            0 <= self.final_learning_rate <= self.learning_rate,
            f"{named('final_learning_rate')} must lie between 0 and {named('learning_rate', self.learning_rate)}, "
            f"not {self.final_learning_rate}.",
        )

    @property
    def minutes(self) -> float | None:
        return None if self.seconds is None else self.seconds / 60


@dataclass(frozen=True, kw_only=True)
class TrainMachine(Machine):
    """The machine and processes that train a model."""

    shard: bool = setting(False, help="With torchrun: shard a model too large for one process (FSDP).", panel=MACHINE)


@dataclass(frozen=True, kw_only=True)
class Output(Settings):
    """Where a run is saved, and whether an earlier one is continued."""

    out: Path | None = setting(None, help="The run's folder. By default checkpoints/NAME.", panel=OUTPUT)
    resume: str | None = setting(
        None,
        help="Continue this run, by name or folder, or the latest, exactly where it stopped.",
        panel=OUTPUT,
        completes="resumed",
        anew=True,
    )
    save_every: int | None = setting(
        None,
        help=f"Steps between saves of the state that {named('resume')} needs. By default by time.",
        panel=OUTPUT,
        range=_STEPS,
        shows_range=True,
        anew=True,
    )
    overwrite: bool = setting(False, help=f"Replace the run in {named('out')}.", panel=OUTPUT)
    tensorboard: bool = setting(False, help="Write RUN/tensorboard/ too, for TensorBoard.", panel=OUTPUT, anew=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.overwrite or self.out is not None, f"{named('overwrite')} goes with {named('out', 'FOLDER')}.")
