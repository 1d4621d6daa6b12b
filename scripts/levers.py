"""Changes of how a model is trained ("levers"), by name, for scripts/fit levers: what each sets, in one sentence.

A lever sets fields of `Changes`, the first of which is its strength: `ema` is written `ema=0.998` for another than its
own. Several are joined by +, as in `replacement+ema=0.998`. A field may be given like a lever, and prevails over
what the levers before it say: `ensemble+teacher_mix=0.7`, `noise+noise_shape=fading`.

A strength may change during a training. Its shape is a factor that depends on the share t of the tokens that are
already trained on, and its mean is 1, unless it fades.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "rising": lambda t: 2 * t,
    "falling": lambda t: 2 * (1 - t),
    "ends": lambda t: 0.5 + 6 * (t - 0.5) ** 2,  # high at both
    "fading": lambda t: 1 - t,
    "early": lambda t: max(0.0, 1 - 2 * t),  # fades until the middle
    "not_late": lambda t: 1.0 if t < 0.85 else 0.0,
}

# The learning rate as a factor, by the share of the tokens after the warm-up that is still to come.
RATE_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 - 0.5 * math.cos(math.pi * left),
    "root": lambda left: left**0.5,
    "floor": lambda left: 0.1 + 0.9 * left,
    "late": lambda left: min(1.0, left / 0.3),
}

NOISE_KINDS = ("text", "uniform", "mask")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What may differ from the base, which the defaults are. A number called "times" multiplies the base's own.

    Switches are numbers, 0 or 1. Shares lie between 0 and 1.
    """

    # Windows and batches
    replacement: int = 0  # windows drawn with replacement
    short_windows: int = 0  # T/4 for the first 30 % of the tokens, T/2 until 60 %, then T; a batch has as many tokens
    small_batches: int = 0  # half as large for the first half of the tokens, twice as large for the last 15 %
    context: float = 1.0  # times; a batch has as many tokens
    bpe_dropout: float = 0.0  # share of the merges left out
    merges_undone: float = 0.0  # share of the merges
    # Inputs
    noise: float = 0.0  # share of the input tokens that are replaced
    noise_kind: str = "text"  # by tokens of the text, as frequent as there; by any tokens; by the end-of-text token
    noise_shape: str = "constant"
    # Targets
    smoothing: float = 0.0  # share of each target that is spread evenly over the vocabulary
    smoothing_shape: str = "constant"
    future: int = 0  # tokens after the next that are predicted too
    future_factor: float = 0.5  # f: the k-th of them weighs f^k
    future_shape: str = "early"  # of f
    # Dropout
    dropout: float = 1.0  # times
    dropout_embeddings: float = 1.0  # times the last
    dropout_attention: float = 1.0  # times the last but one
    dropout_mlp: float = 1.0  # likewise
    dropout_higher: int = 0  # more in higher layers, with the same mean
    dropout_shape: str = "constant"
    depth: float = 0.0  # share of attentions and MLPs that are left out, more in higher layers
    # Averages of the weights
    ema: float = 0.0  # the share of the average that is kept from step to step
    late_average: int = 0  # snapshots, about, in the last fifth of the steps
    # Weight decay
    decay: float = 1.0  # times
    decay_embeddings: float = 1.0  # times the last
    decay_shape: str = "constant"
    decay_cautious: int = 0  # only of weights from which the step moves towards 0
    # Optimizers
    rate: float = 1.0  # times, for both
    rate_muon: float = 1.0  # times
    rate_adamw: float = 1.0  # times
    rate_shape: str = "linear"
    momentum: float = 0.9  # Muon's
    momentum_warmup: float = 0.0  # share of the steps over which Muon's momentum rises from 0.85
    normuon: float = 0.0  # the share of the second moments that is kept from step to step
    # Distillation
    teachers: int = 0
    teacher_share: float = 0.5  # of the tokens, for each teacher; they come in addition to the student's
    teacher_mix: float = 0.5  # the share of the teachers' mean distribution in the target
    teacher_shape: str = "constant"  # of that share

    def __post_init__(self) -> None:
        choices = {name: tuple(SHAPES) for name in asdict(self) if name.endswith("_shape")}
        choices |= {"rate_shape": tuple(RATE_SHAPES), "noise_kind": NOISE_KINDS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)}")
        if self.ema and self.late_average:
            raise ValueError("ema and late_average cannot both be evaluated")

    def strength(self, name: str, t: float) -> float:
        """What the field `name` is at the share `t` of the training, where there is a field `name`_shape."""
        return float(getattr(self, name)) * SHAPES[getattr(self, f"{name}_shape")](t)


@dataclass(frozen=True)
class Lever:
    """What a lever does, in one sentence, and what it sets: the first field is its strength."""

    what: str
    sets: Mapping[str, Any]


def _lever(what: str, **sets: Any) -> Lever:
    return Lever(what, sets)


LEVERS: dict[str, Lever] = {
    "replacement": _lever("Windows with replacement, from anywhere, in place of each once an epoch.", replacement=1),
    "short-windows": _lever("Short windows first (as in Li et al., 2022).", short_windows=1),
    "small-batches": _lever("Small batches first, large ones last (as in Smith et al., 2018).", small_batches=1),
    "context": _lever("A longer context, in training and in the evaluation.", context=2.0),
    "bpe-dropout": _lever(
        "Merges left out at random, anew each epoch, but for the last fifth (Provilkov et al., 2020); without a seed.",
        bpe_dropout=0.1,
    ),
    "merges-undone": _lever(
        "Merges undone at random, but for the last fifth: the BPE-dropout of `minigpt train`.", merges_undone=0.1
    ),
    "noise": _lever("Random tokens of the text in place of a share of the input.", noise=0.1),
    "noise-fading": _lever("The same, fading to nothing.", noise=0.1, noise_shape="fading"),
    "noise-uniform": _lever("Any tokens, equally likely, in place of a share.", noise=0.1, noise_kind="uniform"),
    "mask": _lever("A mask in place of a share of the input: end-of-text.", noise=0.1, noise_kind="mask"),
    "mask-fading": _lever("The same, fading to nothing.", noise=0.1, noise_kind="mask", noise_shape="fading"),
    "smoothing": _lever("Label smoothing (Szegedy et al., 2016).", smoothing=0.1),
    "smoothing-fading": _lever("The same, fading to nothing.", smoothing=0.1, smoothing_shape="fading"),
    "future": _lever(
        "Further tokens as targets of the same head, until the middle of the training; Gloeckle et al., 2024, give "
        "each a head of its own.",
        future=3,
    ),
    "dropout": _lever("More dropout.", dropout=2.0),
    "dropout-embeddings": _lever("More dropout of the embeddings alone.", dropout_embeddings=2.0),
    "dropout-attention": _lever("More dropout after attention alone.", dropout_attention=2.0),
    "dropout-mlp": _lever("More dropout after the MLPs alone.", dropout_mlp=2.0),
    "dropout-higher": _lever("More dropout in higher layers, less in lower ones.", dropout_higher=1),
    "dropout-rising": _lever("Dropout from none to twice as much.", dropout=1.0, dropout_shape="rising"),
    "dropout-falling": _lever("Dropout from twice as much to none.", dropout=1.0, dropout_shape="falling"),
    "dropout-not-late": _lever("No dropout for the last 15 %.", dropout=1.0, dropout_shape="not_late"),
    "depth": _lever(
        "Stochastic depth (Huang et al., 2016): a share of attentions and MLPs left out, window by window.", depth=0.1
    ),
    "ema": _lever("An exponential moving average of the weights is evaluated; the rate decays to zero.", ema=0.99),
    "ema-floor": _lever("The same, with a rate that decays to a tenth.", ema=0.99, rate_shape="floor"),
    "late-average": _lever(
        "The average of snapshots from the last fifth of the steps, weighted towards the last.", late_average=8
    ),
    "late-average-floor": _lever("The same, with a rate that decays to a tenth.", late_average=8, rate_shape="floor"),
    "decay": _lever("More weight decay.", decay=2.0),
    "decay-falling": _lever("Weight decay from twice as much to none.", decay=1.0, decay_shape="falling"),
    "decay-rising": _lever("Weight decay from none to twice as much.", decay=1.0, decay_shape="rising"),
    "decay-ends": _lever("Weight decay that is high at both ends.", decay=1.0, decay_shape="ends"),
    "decay-cautious": _lever(
        "Weight decay only where update and weight have the same sign (Chen et al., 2025).", decay_cautious=1
    ),
    "decay-embeddings": _lever("Another weight decay of the embeddings: none.", decay_embeddings=0.0),
    "rate": _lever("A higher learning rate.", rate=1.5),
    "rate-muon": _lever("A higher learning rate of Muon alone.", rate_muon=1.5),
    "rate-adamw": _lever("A higher learning rate of AdamW alone.", rate_adamw=1.5),
    "rate-cosine": _lever("A rate that falls as half a cosine (Loshchilov and Hutter, 2017).", rate_shape="cosine"),
    "rate-root": _lever("A rate that falls as the square root of what is left.", rate_shape="root"),
    "rate-floor": _lever("A rate that falls to a tenth.", rate_shape="floor"),
    "rate-late": _lever("A rate that falls, linearly, in the last 30 % alone.", rate_shape="late"),
    "momentum": _lever("More momentum of Muon's.", momentum=0.95),
    "momentum-warmup": _lever("Momentum that rises to 0.95.", momentum_warmup=0.3, momentum=0.95),
    "normuon": _lever(
        "NorMuon (Li et al., 2025): Muon's updates divided by the root of a second moment for each output neuron, and "
        "scaled to the norm that they had.",
        normuon=0.95,
    ),
    "ensemble": _lever(
        "Teachers from other seeds, then a student of their mean distribution (Hinton et al., 2015).", teachers=3
    ),
    "self-distillation": _lever("The same with one teacher (Furlanello et al., 2018).", teachers=1),
}

BASE = "base"


def changes_of(written: str) -> Changes:
    """What levers joined by + change. Raises ValueError if one is not known, or if two set the same field."""
    levers: dict[str, Any] = {}
    explicit: dict[str, Any] = {}
    for part in written.split("+"):
        name, _, value = part.partition("=")
        if name in LEVERS:
            sets = dict(LEVERS[name].sets)
            if value:
                first = next(iter(sets))
                sets[first] = _value(first, value)
            if both := levers.keys() & sets.keys():
                raise ValueError(f"{name} sets {min(both)}, as another lever of {written} does")
            levers |= sets
        elif name in _DEFAULTS and value:
            explicit[name] = _value(name, value)
        elif name != BASE or value:
            raise ValueError(f"there is no lever {part}; there are {', '.join(LEVERS)}")
    return replace(Changes(), **(levers | explicit))


_DEFAULTS = {field.name: field.default for field in fields(Changes)}


def _value(name: str, written: str) -> Any:
    """A value of the field `name`, of the type of its default."""
    kind: type = type(_DEFAULTS[name])
    try:
        return kind(written)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {written}") from None
