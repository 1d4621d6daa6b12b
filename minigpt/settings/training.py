"""The settings of a training: the text, what is chosen for the model, how long, how, and where it goes.

To add one, add a field with `setting(...)` to one of these classes and use it. Its flag, its range check, its key in
--config files, its entry in run.json and its place in the command that repeats a run follow from the field.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minigpt.errors import named
from minigpt.settings.fields import Range, Settings, require, setting
from minigpt.settings.machine import HUGE, MANY, PRECISIONS, SEED, Machine
from minigpt.settings.model import DEFAULT_WINDOW, DROPOUT, MODELS, PRESETS

PANELS = TEXT, MODEL, TRAINING, OPTIMIZER, MACHINE, OUTPUT = (
    "Text", "Model", "Training", "Optimizer", "Machine", "Output"
)  # fmt: skip
TOKENIZERS = ("bpe", "char")
OPTIMIZERS = ("muon", "adamw")
POSITIONS = ("learned", "sinusoidal", "none")  # how a model is told where a token stands
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
    field: str = setting("text", help="What holds the text in .jsonl and .parquet.", panel=TEXT)


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(TextFormat):
    """Which text is read, and how."""

    corpus: tuple[str, ...] = setting(
        (),
        help="Files, directories, globs, URLs that fsspec opens, - for standard input; .jsonl, .parquet, "
        ".gz, .bz2, .xz and .zst as they are. Without any: Python's own language reference.",
        argument=True,
    )


@dataclass(frozen=True, kw_only=True)
class TextSettings(CorpusSettings):
    """The text to train on, and the one to validate on."""

    val: str | None = setting(None, help="Validate on this file.", panel=TEXT)


@dataclass(frozen=True, kw_only=True)
class Choices(Settings):
    """What the user chose for the plan of a run; None leaves the choice to the preset, the text, or DEFAULT_CHOICES."""

    val_fraction: float = setting(
        0.1,
        help="Otherwise, the last part of the text is kept for validation; 0 for none.",
        panel=TEXT,
        range=Range(0, 1, below=True, both=True, least_is="no validation"),
    )
    part: float = setting(
        1.0,
        help=f"Share of the text to use, in pieces from all over it. With {named('minutes')}, what fits.",
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
        help="Tokens of a bpe tokenizer. By default from the text's size.",
        panel=TEXT,
        range=Range(257, 1 << 20, least_is="256 bytes and end-of-text"),
    )
    model: str = setting(
        "gpt",
        help="{values}; those behind gpt are what came before it.",
        panel=MODEL,
        choices=MODELS,
        remarks={"window": "a dense network over the last tokens"},
    )
    preset: str | None = setting(
        None, help=f"{{values}}. With {named('steps')} by default nano.", panel=MODEL, choices=PRESETS
    )
    layers: int | None = setting(None, help="Blocks.", panel=MODEL, range=Range(1, 10_000))
    heads: int | None = setting(None, help="Attention heads.", panel=MODEL, range=_FEW)
    width: int | None = setting(None, help="Channels.", panel=MODEL, range=_FEW)
    context: int | None = setting(None, help="Tokens seen at once.", panel=MODEL, range=Range(1, MANY))
    window: int | None = setting(
        None,
        help=f"Tokens that {named('model', 'window')} sees, by default {DEFAULT_WINDOW}.",
        panel=MODEL,
        range=Range(1, 1 << 16),
    )
    dropout: float | None = setting(
        None,
        help=f"Share of activations dropped. With {named('steps')} by default 0.",
        panel=MODEL,
        range=DROPOUT,
    )
    base: str | None = setting(
        None,
        help="Begin with this checkpoint, as -c takes it, and keep its shape and its tokenizer.",
        panel=MODEL,
        flag="from",
        completes="model",
    )
    batch_size: int | None = setting(None, help="Windows per batch.", panel=OPTIMIZER, range=_BATCH)
    learning_rate: float | None = setting(None, help="AdamW's highest rate.", panel=OPTIMIZER, range=_RATE)

    def filled(self) -> "Choices":
        """These, with DEFAULT_CHOICES where nothing was chosen, nor by a model to begin with."""
        if self.base is not None:
            return self
        return replace(self, **{name: value for name, value in DEFAULT_CHOICES.items() if getattr(self, name) is None})


@dataclass(frozen=True, kw_only=True)
class Length(Settings):
    """How long to train: by the clock, or by steps."""

    minutes: float | None = setting(
        None,
        help=f"Train the best model that this machine can train in so many minutes: {DEFAULT_MINUTES:g} by default, "
        f"unless {named('steps')} is given. All that is not given is chosen.",
        panel=TRAINING,
        range=MINUTES,
        anew=True,
    )
    steps: int | None = setting(
        None, help=f"Optimizer steps, in place of {named('minutes')}.", panel=TRAINING, range=_STEPS, anew=True
    )
    dry_run: bool = setting(False, help="Show the plan, and end.", panel=TRAINING)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.minutes is None or self.steps is None,
            f"Give {named('minutes')} or {named('steps')}, not both.",
        )

    @property
    def seconds(self) -> float | None:
        """The time budget; None for a training that takes a number of steps."""
        return None if self.steps is not None else 60 * (self.minutes or DEFAULT_MINUTES)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """How a model is trained. One step sees `batch_size * accumulation * context` tokens.

    With `seconds`, the clock says when the run ends and how far its rates have fallen; `steps` are then those expected,
    or, where they suffice (`steps_suffice`), the most that are taken.
    `eval_tokens` of the validation text are used, from all over it. `precision` is auto, which trains in float32, only
    until a plan has seen the device; mixed is float32 but for Muon's rounds, which are in bfloat16. `positions` that
    are not learned are given, and stay as they are.
    """

    steps: int = setting(600, range=_STEPS)
    seconds: float | None = None
    steps_suffice: bool = False
    freeze: int = setting(
        0,
        help=f"With {named('base')}: so many layers, the first, and the embeddings stay as they are.",
        panel=MODEL,
        range=Range(0, 10_000),
    )
    positions: str = setting(
        "learned",
        help="{values}, to see what order is worth.",
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
    muon_learning_rate: float = setting(0.03, help="Muon's highest rate.", panel=OPTIMIZER, range=_RATE)
    final_learning_rate: float = setting(0.0, help="Rate at the end.", panel=OPTIMIZER, range=Range(0, HUGE))
    warmup_steps: int = setting(30, help="Steps up to the highest rate.", panel=OPTIMIZER, range=Range(0, MOST_STEPS))
    weight_decay: float = setting(
        0.1,
        help=f"Of matrices and embeddings. Chosen by {named('minutes')}.",
        panel=OPTIMIZER,
        range=Range(0, 1000.0),
    )
    beta1: float = setting(0.9, help="AdamW's.", panel=OPTIMIZER, range=_SHARE_LEFT)
    beta2: float = setting(0.99, help="AdamW's.", panel=OPTIMIZER, range=_SHARE_LEFT)
    clip_norm: float = setting(
        1.0, help="Largest gradient norm; 0 for any.", panel=OPTIMIZER, range=Range(0, HUGE, least_is="off")
    )
    eval_every: int = setting(50, help="Steps between evaluations.", panel=TRAINING, range=_STEPS)
    eval_tokens: int = setting(
        1_000_000,
        help="Of a longer validation text so many tokens are used, from all over it.",
        panel=TRAINING,
        range=Range(1, MANY),
    )
    patience: int = setting(
        0,
        help="Evaluations without a better validation loss that end a run; 0 for none.",
        panel=TRAINING,
        range=Range(0, MOST_STEPS),
    )
    snapshots: int = setting(
        12,
        help="Models kept along the way, evenly in the logarithm of the step; 0 for none.",
        panel=OUTPUT,
        range=Range(0, 1000, both=True),
    )
    seed: int = setting(1, help="Of weights and batches.", panel=TRAINING, range=SEED)
    precision: str = setting("auto", help="{values}.", panel=MACHINE, choices=PRECISIONS)
    compile: bool = setting(
        False, help="Through torch.compile: slow to begin, and then faster on a GPU.", panel=MACHINE
    )
    gradient_checkpointing: bool = setting(
        False,
        help=f"Keep less in memory for the way back, and run each block twice. With {named('base')}, where it matters.",
        off=f"Not even with {named('base')}.",
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
    """Where a model is trained."""

    shard: bool = setting(
        False,
        help="With torchrun: divide a model that does not fit among the processes (FSDP).",
        panel=MACHINE,
    )


@dataclass(frozen=True, kw_only=True)
class Output(Settings):
    """Where a run is kept, and whether it goes on there."""

    out: Path | None = setting(None, help="The run's folder. By default checkpoints/NAME.", panel=OUTPUT)
    resume: str | None = setting(
        None,
        help="Go on with this run, by name or folder, or the latest, exactly where it was.",
        panel=OUTPUT,
        completes="resumed",
        anew=True,
    )
    save_every: int | None = setting(
        None,
        help=f"Steps between saves of what {named('resume')} needs. By default by time.",
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
