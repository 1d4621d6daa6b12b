"""The settings of `evaluate`, `plot`, `explore` and `compare`."""

from dataclasses import dataclass
from pathlib import Path

from minigpt.errors import named
from minigpt.settings.fields import Range, Settings, require, setting
from minigpt.settings.machine import MANY, PRECISIONS, SEED
from minigpt.settings.sampling import TOP, SampleConfig
from minigpt.settings.training import MINUTES, MOST_STEPS

X_AXES, Y_AXES = ("step", "tokens", "seconds"), {"bits-per-byte": "bits_per_byte", "nats": "nats_per_token"}
_MINUTES, _QUICK_MINUTES = 30.0, 6.0


@dataclass(frozen=True, kw_only=True)
class Windows(Settings):
    """How a model that is evaluated reads a text."""

    stride: int | None = setting(
        None,
        help="Tokens by which the window moves on. By default half the context, as in sampling; the whole context "
        "measures as the validation of a training does. Without it, a model that carries a state has no window.",
        range=Range(1, MANY),
    )
    rolling: bool = setting(False, help="As lm-evaluation-harness: first tokens count too, scored after end-of-text.")
    precision: str = setting("float32", help="{values}; bfloat16 where speed matters more.", choices=PRECISIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.rolling or self.stride is None,
            f"{named('rolling')} has windows of its own: leave out {named('stride')}.",
        )


@dataclass(frozen=True, kw_only=True)
class CurveSettings(Settings):
    """Which losses of a training are plotted, and over what."""

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
        help="Show the training loss as the mean of so many steps. By default a fiftieth of the run.",
        range=Range(1, MOST_STEPS),
        shows_range=True,
    )


@dataclass(frozen=True, kw_only=True)
class Exploring(Settings):
    """How tokens are drawn while exploring, and what is kept of them."""

    seed: int | None = setting(None, help="The same seed and keys give the same tokens.", range=SEED)
    top: int = setting(
        SampleConfig.top, help="How many tokens each record of a saved tree lists.", range=TOP, shows_range=True
    )


@dataclass(frozen=True, kw_only=True)
class ContestSettings(Settings):
    """How models are compared, and where the comparison is kept."""

    minutes: float | None = setting(
        None,
        help=f"For everything: {_MINUTES:g} by default, {_QUICK_MINUTES:g} with {named('quick')}.",
        range=MINUTES,
    )
    quick: bool = setting(False, help="Try no learning rates: take those that were the best on the built-in text.")
    ablate: bool = setting(False, help="What each part of a GPT is worth instead: GPTs without one of their parts.")
    seed: int = setting(1, help="Of weights, batches and keys.", range=SEED)
    out: Path | None = setting(None, help="The comparison's folder. By default checkpoints/compare-NAME.")
    resume: str | None = setting(
        None,
        help="Go on with this comparison, or the latest one; a whole one is shown again.",
        completes="resumed",
    )

    @property
    def budget_minutes(self) -> float:
        """`minutes`, or their default."""
        if self.minutes is not None:
            return self.minutes
        return _QUICK_MINUTES if self.quick else _MINUTES
