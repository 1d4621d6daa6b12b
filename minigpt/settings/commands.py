"""The settings of `evaluate`, `plot`, `explore`, `export`, `import` and `compare`."""

from dataclasses import dataclass
from pathlib import Path

from minigpt.errors import named
from minigpt.settings.common import FOLDER_DTYPES, GGUF_DTYPES, MANY, PAGE_DTYPES, PRECISIONS, SEED, Beginning
from minigpt.settings.fields import Range, Settings, require, setting
from minigpt.settings.sampling import TOP, SampleConfig
from minigpt.settings.training import MINUTES, MOST_STEPS

X_AXES, Y_AXES = ("step", "tokens", "seconds"), {"bits-per-byte": "bits_per_byte", "nats": "nats_per_token"}
_MINUTES, _QUICK_MINUTES = 30.0, 6.0


@dataclass(frozen=True, kw_only=True)
class Windows(Beginning):
    """How an evaluated model reads a text."""

    stride: int | None = setting(
        None,
        help="Tokens by which the window advances. By default half the context, as in sampling; the whole context "
        "gives windows without overlap, as in training. Without it, a recurrent model reads a document as one stream.",
        range=Range(1, MANY),
    )
    rolling: bool = setting(
        False, help="Score as lm-evaluation-harness does: first tokens count too, after a bos token or end-of-text."
    )
    precision: str = setting("float32", help="{values}; bfloat16 is faster and less exact.", choices=PRECISIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.rolling or self.stride is None,
            f"{named('rolling')} sets its own windows: leave out {named('stride')}.",
        )


@dataclass(frozen=True, kw_only=True)
class CurveSettings(Settings):
    """Which losses of a training are plotted, and over which axis."""

    x: str = setting("step", help="{values}.", choices=X_AXES)
    y: str | None = setting(
        None,
        help="{values}. By default the first where it is known.",
        choices=Y_AXES,
        remarks={"bits-per-byte": "which compares tokenizers", "nats": "per token"},
    )
    log: bool = setting(False, help="A logarithmic x axis.")
    smooth: int | None = setting(
        None,
        help="Average the training loss over this many steps. By default a fiftieth of the run.",
        range=Range(1, MOST_STEPS),
        shows_range=True,
    )


@dataclass(frozen=True, kw_only=True)
class Exploring(Settings):
    """How tokens are drawn while exploring, and what is saved."""

    seed: int | None = setting(None, help="The same seed and key presses give the same tokens.", range=SEED)
    top: int = setting(
        SampleConfig.top, help="How many tokens each record of a saved tree lists.", range=TOP, shows_range=True
    )


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Settings):
    """How a model is written for other programs."""

    dtype: str | None = setting(
        None,
        help="{values}. By default float32, in a page bfloat16.",
        choices=dict.fromkeys(FOLDER_DTYPES + GGUF_DTYPES + PAGE_DTYPES),
        remarks={
            "bfloat16": "for a folder or a page",
            "float16": "not for a page",
            "q8_0": "8 bits, for FILE.gguf",
            "int8": "8 bits, for a page",
        },
        open=True,  # which of them, depends on the target
    )
    overwrite: bool = setting(False, help="Replace an earlier export.")


@dataclass(frozen=True, kw_only=True)
class ImportSettings(Settings):
    """What a checkpoint of nanoGPT does not say itself, and whether an earlier folder is replaced."""

    meta: Path | None = setting(
        None, help="nanoGPT's table of characters. By default meta.pkl beside the checkpoint, or in ../data/NAME."
    )
    tokenizer: Path | None = setting(
        None,
        help="The tokenizer of a model without such a table: a folder with tokenizer.json, or with vocab.json and "
        "merges.txt, such as that of any GPT-2.",
        metavar="FOLDER",
    )
    activation: str | None = setting(
        None,
        help="{values}. By default nanoGPT's of today.",
        choices=("gelu", "gelu_new"),
        remarks={"gelu": "nanoGPT's since June 2023", "gelu_new": "GPT-2's own, and nanoGPT's before"},
    )
    overwrite: bool = setting(False, help="Replace an earlier export or import.")


@dataclass(frozen=True, kw_only=True)
class ContestSettings(Settings):
    """How models are compared, and where the comparison is saved."""

    minutes: float | None = setting(
        None, help=f"Total time: {_MINUTES:g} by default, {_QUICK_MINUTES:g} with {named('quick')}.", range=MINUTES
    )
    quick: bool = setting(False, help="Skip the learning-rate sweep; use a fixed rate for each model.")
    ablate: bool = setting(False, help="Instead, measure what each part of a GPT contributes, by leaving it out.")
    pairs: bool = setting(
        False,
        help="Instead, compare models of pairs (source, target): two LSTMs, without and with attention, and a "
        "Transformer.",
    )
    seed: int = setting(1, help="Seed of weights, batches and the recall task.", range=SEED)
    out: Path | None = setting(None, help="The comparison's folder. By default checkpoints/compare-NAME.")
    resume: str | None = setting(
        None, help="Continue this comparison, or the latest; a finished one is shown again.", completes="resumed"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not (self.ablate and self.pairs), f"Give {named('ablate')} or {named('pairs')}, not both.")

    @property
    def budget_minutes(self) -> float:
        """`minutes`, or the default."""
        if self.minutes is not None:
            return self.minutes
        return _QUICK_MINUTES if self.quick else _MINUTES
