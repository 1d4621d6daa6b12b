"""Settings, as frozen dataclasses that refuse contradictions by the name of the flag; presets as data."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from minigpt.errors import ConfigError, brief

SEEDS = 1 << 32  # torch's CPU generator reads 32 bits of a seed


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class Range:
    """What a number may be: from `least` to `most`, or `above` the one and `below` the other. `least_is` and `most_is`
    say what these mean. A message tells both ends where `most` lies in the nature of the setting, and else the one that
    was passed: the other only keeps out what no machine could compute with.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False
    both: bool = False
    least_is: str = ""
    most_is: str = ""

    def check(self, flag: str, value: float) -> None:
        """Raise ConfigError, by the name of the flag, for what lies outside or is no number."""
        low = value > self.least if self.above else value >= self.least
        high = value < self.most if self.below else value <= self.most
        told = self._told() if self.both else self._least() if not low else self._most()
        require(low and high, f"{flag} must {told}, not {brief(f'{value:,}')}.")

    def _told(self) -> str:
        least, most = _with(self.least, self.least_is), _with(self.most, self.most_is)
        if not self.above and not self.below:
            return f"lie between {least} and {most}"
        return f"be {'above' if self.above else 'at least'} {least} and {'below' if self.below else 'at most'} {most}"

    def _least(self) -> str:
        return (
            f"be {'above ' if self.above else ''}{_with(self.least, self.least_is)}{'' if self.above else ' or more'}"
        )

    def _most(self) -> str:
        return f"be {_with(self.most, self.most_is)} or {'fewer' if isinstance(self.most, int) else 'less'}"


def _with(number: float, meaning: str) -> str:
    return f"{number:,}{f' ({meaning})' if meaning else ''}"


MOST_MINUTES, MOST_STEPS = 60 * 24 * 366, 100_000_000
_MANY = 1_000_000_000
_HUGE = 1e15  # float32 ends at 3e38, and there is to be room for products

# Of every number that a command, a file of settings or a program gives, by the setting's name in Python.
RANGES: dict[str, Range] = {
    # The text
    "val_fraction": Range(0, 1, below=True, both=True, least_is="no validation"),
    "part": Range(0, 1, above=True, both=True, most_is="the whole text"),
    # What a tokenizer learns: the largest is four times the largest in use, and the trainer reserves room for all of it
    "vocab_size": Range(257, 1 << 20, least_is="256 bytes and end-of-text"),
    # The model
    "layers": Range(1, 10_000),
    "heads": Range(1, 1 << 20),
    "width": Range(1, 1 << 20),
    "context": Range(1, _MANY),
    "window": Range(1, 1 << 16),
    "dropout": Range(0, 1, below=True, both=True),
    "freeze": Range(0, 10_000),
    # Its training
    "minutes": Range(0, MOST_MINUTES, above=True, most_is="a year"),
    "steps": Range(1, MOST_STEPS),
    "batch_size": Range(1, 1 << 20),
    "accumulation": Range(1, 1 << 20),
    "learning_rate": Range(0, _HUGE, above=True),
    "muon_learning_rate": Range(0, _HUGE, above=True),
    "final_learning_rate": Range(0, _HUGE),
    "warmup_steps": Range(0, MOST_STEPS),
    "weight_decay": Range(0, 1000.0),
    "beta1": Range(0, 1, below=True, both=True),
    "beta2": Range(0, 1, below=True, both=True),
    "clip_norm": Range(0, _HUGE, least_is="off"),
    "eval_every": Range(1, MOST_STEPS),
    "eval_tokens": Range(1, _MANY),
    "patience": Range(0, MOST_STEPS),
    "snapshots": Range(0, 1000, both=True),
    "save_every": Range(1, MOST_STEPS),
    "seed": Range(0, SEEDS - 1, both=True),
    "threads": Range(1, 1024, both=True),
    # How much is sampled
    "max_tokens": Range(1, _MANY),
    "num_samples": Range(1, 1_000_000),
    "pace": Range(0.001, 1e9),
    # What is shown
    "top": Range(1, _MANY),
    "nearest": Range(0, _MANY),
    "suffix": Range(1, _MANY),
    "verbatim": Range(2, _MANY),
    "layer": Range(1, 10_000),
    "head": Range(1, 1 << 20),
    "stride": Range(1, _MANY),
    "smooth": Range(1, MOST_STEPS),
}


def check_ranges(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first of `values` that is a number outside the range of its name."""
    for name, value in values.items():
        if name in RANGES and type(value) in (int, float):
            RANGES[name].check(f"--{name.replace('_', '-')}", value)


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *some, last = names
    return f"{', '.join(some)} or {last}" if some else last


def require_choice(flag: str, value: str | None, values: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `values`, or None where nothing was chosen."""
    names = list(values)
    require(value is None or value in names, f"{flag} must be {one_of(names)}, not {brief(value or '')}.")


def launched_rank() -> int | None:
    """The number that torchrun gave to this process; None where it was started in another way."""
    return int(os.environ["RANK"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else None


ACTIVATIONS = ("gelu_new", "gelu", "quick_gelu", "relu", "silu", "tanh")  # gelu_new, by tanh, is GPT-2's
MODELS = ("gpt", "lstm", "rnn", "window")
TOKENIZERS = ("bpe", "char")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "float32", "mixed", "bfloat16")  # of training
DTYPES, QUANTIZATIONS = ("float32", "bfloat16"), ("none", "int8")  # of weights that are sampled from
FOLDER_DTYPES, GGUF_DTYPES = ("float32", "bfloat16", "float16"), ("float32", "float16", "q8_0")  # of exports
DEVICES = ("auto", "cpu", "cuda", "mps")  # and cuda:1 and so on
X_AXES, Y_AXES = ("step", "tokens", "seconds"), {"bits-per-byte": "bits_per_byte", "nats": "nats_per_token"}  # of plots
TABLES = ("live", "every", "none")  # of a sample's distributions
DEFAULT_WINDOW = 16


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a GPT-2. Head width is `width / heads`; the MLP inside is `inner_width` wide, by default 4 * width.

    Or, as `model` says, of a network from before: `layers` of recurrent cells, or dense ones over the last `window`
    tokens. `context` is then how many tokens it is trained on at once; it can go on beyond.

    From `inner_width` to `tied` is what differs in some GPT-2s of others, which are loaded and never made here.
    """

    vocab_size: int
    context: int
    layers: int
    heads: int
    width: int
    dropout: float = 0.0
    inner_width: int | None = None
    activation: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    tied: bool = True  # the output head is the token embedding
    model: str = "gpt"
    window: int | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "width", "window"):
            if (value := getattr(self, name)) is not None:  # of other people's models, too, which have no upper limit
                Range(1, math.inf).check(f"--{name.replace('_', '-')}", value)
        check_ranges({"dropout": self.dropout})
        require(self.mlp_width > 0, f"The MLP's width must be 1 or more, not {self.mlp_width:,}.")
        known = ", ".join(ACTIVATIONS)
        require(self.activation in ACTIVATIONS, f"The activation must be one of {known}, not {self.activation}.")
        epsilon = self.layer_norm_epsilon
        require(0 <= epsilon < 1, f"The layer norm's epsilon must be at least 0 and below 1, not {epsilon}.")
        require_choice("--model", self.model, MODELS)
        require(
            self.model == "gpt" or self.heads == 1,
            f"--heads {self.heads} does not go with --model {self.model}, which has no attention.",
        )
        require(
            (self.window is not None) == (self.model == "window"),
            f"--window goes with --model window, not with --model {self.model}.",
        )
        require(
            self.window is None or self.window <= self.context,
            f"--window {self.window} is more than the --context {self.context} that it is trained on.",
        )
        require(
            self.width % self.heads == 0,
            f"--width {self.width} cannot be divided among --heads {self.heads}: take a multiple of {self.heads}.",
        )

    @property
    def limit(self) -> int | None:
        """The most tokens that the model can see at once; None for one that carries a state from token to token."""
        return self.context if self.model == "gpt" else None

    @property
    def mlp_width(self) -> int:
        """I, the channels inside the MLP."""
        return 4 * self.width if self.inner_width is None else self.inner_width

    @property
    def is_usual(self) -> bool:
        """Whether everything but its size is as in the GPT-2 release."""
        given = (self.mlp_width, self.activation, self.layer_norm_epsilon, self.tied)
        return given == (4 * self.width, "gelu_new", 1e-5, True)

    def parameter_count(self) -> int:
        """Number of weights, a tied output head counted once. Of a GPT: C(V + T) + L(4 C² + 9 C + 2 C I + I) + 2 C."""
        c, i = self.width, self.mlp_width
        if self.model != "gpt":
            return c * self.vocab_size + self._baseline_parameters()
        embeddings = c * (self.vocab_size * (1 if self.tied else 2) + self.context)
        return embeddings + self.layers * (4 * c * c + 9 * c + 2 * c * i + i) + 2 * c

    def _baseline_parameters(self) -> int:
        """Without the embeddings: a cell has two matrices and two biases, and four times as many with gates."""
        c, inner = self.width, 4 * self.width
        if self.model == "window":
            between = (self.layers - 1) * (inner * inner + inner)
            return ((self.window or 1) * c * inner + inner) + between + (inner * c + c)
        return self.layers * (4 if self.model == "lstm" else 1) * (2 * c * c + 2 * c)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model shape by name, with the batch and learning rate that suit it on the machine it is meant for."""

    layers: int
    heads: int
    width: int
    context: int
    batch_size: int
    learning_rate: float


# Head width 32 or 64. The gpt2 family's shapes are those of the release (Radford et al., 2019).
PRESETS: dict[str, Preset] = {
    "nano": Preset(layers=4, heads=4, width=128, context=128, batch_size=16, learning_rate=6e-3),
    "micro": Preset(layers=5, heads=4, width=256, context=128, batch_size=16, learning_rate=4e-3),
    "mini": Preset(layers=6, heads=6, width=384, context=256, batch_size=16, learning_rate=3e-3),
    "gpt2": Preset(layers=12, heads=12, width=768, context=1024, batch_size=8, learning_rate=6e-4),
    "gpt2-medium": Preset(layers=24, heads=16, width=1024, context=1024, batch_size=8, learning_rate=3e-4),
    "gpt2-large": Preset(layers=36, heads=20, width=1280, context=1024, batch_size=4, learning_rate=2.5e-4),
    "gpt2-xl": Preset(layers=48, heads=25, width=1600, context=1024, batch_size=4, learning_rate=2e-4),
}


DEFAULT_MINUTES = 3.0  # a first try

# Where neither the user nor the preset nor the text decides.
DEFAULT_CHOICES: dict[str, Any] = {"preset": "nano", "tokenizer": "bpe", "dropout": 0.0}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user chose for the plan of a run; None leaves the choice to the preset, the text, or DEFAULT_CHOICES."""

    model: str = "gpt"
    preset: str | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    context: int | None = None
    window: int | None = None
    dropout: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    val_fraction: float = 0.1
    part: float = 1.0  # of the text, in pieces from all over it
    base: str | None = None  # --from: the model to begin with, which makes most of the choices

    def __post_init__(self) -> None:
        require_choice("--model", self.model, MODELS)
        require_choice("--preset", self.preset, PRESETS)
        require_choice("--tokenizer", self.tokenizer, TOKENIZERS)
        check_ranges(vars(self))

    def filled(self) -> "Choices":
        """These, with DEFAULT_CHOICES where nothing was chosen, nor by a model to begin with."""
        if self.base is not None:
            return self
        return replace(self, **{name: value for name, value in DEFAULT_CHOICES.items() if getattr(self, name) is None})


POSITIONS = ("learned", "sinusoidal", "none")  # how a model is told where a token stands


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. One step sees `batch_size * accumulation * context` tokens.

    With `seconds`, the clock says when the run ends and how far its rates have fallen; `steps` are then those expected,
    or, where they suffice (`steps_suffice`), the most that are taken.
    `eval_tokens` of the validation text are used, from all over it. `precision` is auto, which trains in float32, only
    until a plan has seen the device; mixed is float32 but for Muon's rounds, which are in bfloat16. `positions` that
    are not learned are given, and stay as they are.
    """

    steps: int = 600
    seconds: float | None = None
    steps_suffice: bool = False
    batch_size: int = 16
    accumulation: int = 1
    positions: str = "learned"
    optimizer: str = "muon"
    learning_rate: float = 6e-3
    muon_learning_rate: float = 0.03
    final_learning_rate: float = 0.0
    warmup_steps: int = 30
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    clip_norm: float = 1.0
    eval_every: int = 50
    eval_tokens: int = 1_000_000
    patience: int = 0
    snapshots: int = 12
    seed: int = 1
    precision: str = "auto"
    compile: bool = False
    freeze: int = 0  # layers, the first ones, and the embeddings
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        check_ranges(vars(self))
        if self.minutes is not None:
            check_ranges({"minutes": self.minutes})
        require_choice("--positions", self.positions, POSITIONS)
        require_choice("--optimizer", self.optimizer, OPTIMIZERS)
        require(
            0 <= self.final_learning_rate <= self.learning_rate,
            f"--final-learning-rate must lie between 0 and --learning-rate {self.learning_rate}, "
            f"not {self.final_learning_rate}.",
        )
        require_choice("--precision", self.precision, PRECISIONS)

    @property
    def minutes(self) -> float | None:
        return None if self.seconds is None else self.seconds / 60


TEMPERATURES = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 5.0),
)  # fmt: skip
_PENALTIES = (-2.0, -1.5, -1.0, -0.7, -0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)

TokenBias = tuple[int, float]  # a token's id, and what is added to its logit


@dataclass(frozen=True, kw_only=True)
class FilterSpec:
    """A sampling filter, but for its arithmetic: the function of the same name in sampling/filters.py.

    The field of SampleConfig that carries it is the filter's setting; the order of those fields is the order in which
    filters are applied by default. Flags, range checks, tables, the explorer and pages read this.
    """

    setting: str = ""  # the field's name
    neutral: Any  # the value at which the filter changes nothing, and is left out
    range: Range
    help: str = ""
    label: str = ""  # in the head of a table; by default the name
    cuts: Callable[[float], bool] = lambda value: False  # whether it removes tokens, at this value
    by_token: bool = False  # whether it changes the logits of certain tokens: those of the history, or those given
    history: str = (
        ""  # what it asks of the text so far: nothing, each token "once", or "each" as often as it stands there
    )
    counts_tokens: bool = False  # whether its value is a number of tokens
    key: str = ""  # in the explorer: the small letter for less, the capital for more
    steps: tuple[float, ...] = ()  # the values to which the keys lead, ascending; a neutral 0 at the end is the most
    usual: bool = False  # whether the explorer shows it while it is neutral
    slider: tuple[float, ...] = ()  # on a page, where funnel.js can compute it; without, a page shows it as it was used

    @property
    def name(self) -> str:
        """As tables, JSON and --stages have it."""
        return self.setting.replace("_", "-")

    @property
    def words(self) -> str:
        """As a sentence has it."""
        return self.name.replace("-penalty", " penalty")

    @property
    def heading(self) -> str:
        """As the head of a column has it."""
        return self.label or self.name

    def check(self, flag: str, value: Any) -> None:
        """Raise ConfigError, by the name of the flag, for a value out of range; for a bias, of any of its numbers."""
        for number in (amount for _, amount in value) if isinstance(value, tuple) else (value,):
            self.range.check(flag, number)


def _filter(default: Any, **spec: Any) -> Any:
    """A field whose filter has these properties."""
    return field(default=default, metadata={"filter": FilterSpec(**spec)})


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How a token is chosen: the settings of the filters, then how much is drawn and what is told of it.

    `stages` are the names of the filters that are applied, in that order.
    """

    bias: tuple[TokenBias, ...] = _filter(
        (),
        neutral=(),
        range=Range(-1000, 1000, both=True),  # of each amount
        label="biases",
        by_token=True,
    )
    repetition_penalty: float = _filter(  # Keskar et al., 2019
        1.0,
        neutral=1.0,
        range=Range(0.001, 1000, both=True),
        help="Above 1, tokens already in the text become less likely.",
        label="rep.",
        by_token=True,
        history="once",
        key="r",
        steps=(0.8, 0.9, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0),
        usual=True,
    )
    presence_penalty: float = _filter(
        0.0,
        neutral=0.0,
        range=Range(-100, 100, both=True),
        help="Subtract this from the logits of tokens already in the text; 0 for none.",
        label="pres.",
        by_token=True,
        history="once",
        key="a",
        steps=_PENALTIES,
    )
    frequency_penalty: float = _filter(
        0.0,
        neutral=0.0,
        range=Range(-100, 100, both=True),
        help="Subtract this from a token's logit each time it stands in the text; 0 for none.",
        label="freq.",
        by_token=True,
        history="each",
        key="f",
        steps=_PENALTIES,
    )
    temperature: float = _filter(
        0.8,
        neutral=1.0,
        range=Range(0, _HUGE, least_is="the most likely token"),
        help="Below 1 more conservative, above 1 more random; 0 takes the top token.",
        label="temp.",
        cuts=lambda value: value == 0,
        key="t",
        steps=(*TEMPERATURES[:14], 1.5, 1.75, 2.0, 3.0, 5.0, 10.0),
        usual=True,
        slider=TEMPERATURES,
    )
    top_n_sigma: float = _filter(  # Tang et al., 2024
        0.0,
        neutral=0.0,
        range=Range(0, _HUGE, least_is="off"),
        help="Keep tokens within n standard deviations of the largest logit; 0 for all.",
        label="n-sigma",
        cuts=lambda value: True,
        key="n",
        steps=(0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 0.0),
        slider=(0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    )
    top_k: int = _filter(  # Fan et al., 2018
        0,
        neutral=0,
        range=Range(0, _MANY, least_is="off"),
        help="Keep the k most likely tokens; 0 for all.",
        cuts=lambda value: True,
        counts_tokens=True,
        key="k",
        steps=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 100, 200, 500, 1000, 0),
        usual=True,
        slider=tuple(range(51)),
    )
    typical_p: float = _filter(  # Meister et al., 2022
        1.0,
        neutral=1.0,
        range=Range(0, 1, above=True, both=True, most_is="off"),
        help="Keep the tokens nearest to the expected surprisal that hold this share; 1 for all.",
        cuts=lambda value: True,
        key="l",
        steps=_SHARES,
    )
    top_p: float = _filter(  # Holtzman et al., 2020
        0.95,
        neutral=1.0,
        range=Range(0, 1, above=True, both=True, most_is="off"),
        help="Keep the fewest tokens that hold this share; 1 for all.",
        cuts=lambda value: True,
        key="p",
        steps=_SHARES,
        usual=True,
        slider=(*(n / 20 for n in range(1, 19)), 0.92, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0),
    )
    min_p: float = _filter(  # Nguyen et al., 2024
        0.0,
        neutral=0.0,
        range=Range(0, 1, both=True, least_is="off"),
        help="Keep tokens with this share of the top one's; 0 for all.",
        cuts=lambda value: True,
        key="m",
        steps=(0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0),
        usual=True,
        slider=(0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
    )
    stages: tuple[str, ...] = field(default_factory=lambda: tuple(FILTERS))
    max_tokens: int = 200
    seed: int = 1
    stop: tuple[str, ...] = ()
    ignore_end_of_text: bool = False
    top: int = 10

    @property
    def active(self) -> tuple[FilterSpec, ...]:
        """The filters that are applied and are not neutral, in their order."""
        specs = (FILTERS[name] for name in self.stages)
        return tuple(spec for spec in specs if getattr(self, spec.setting) != spec.neutral)

    def __post_init__(self) -> None:
        check_ranges(vars(self))
        for spec in FILTERS.values():
            spec.check(f"--{spec.name}", getattr(self, spec.setting))
        _require_stages(self.stages)
        require(all(self.stop), "--stop needs a text that is not empty.")


# By name, in the usual order.
_SPECS = [replace(f.metadata["filter"], setting=f.name) for f in fields(SampleConfig) if "filter" in f.metadata]
FILTERS: dict[str, FilterSpec] = {spec.name: spec for spec in _SPECS}


def _require_stages(names: tuple[str, ...]) -> None:
    known = ", ".join(FILTERS)
    for i, name in enumerate(names):
        require(name in FILTERS, f"--stages: there is no stage {brief(repr(name))}. The stages are {known}.")
        require(name not in names[:i], f"--stages names {brief(name)} twice.")
