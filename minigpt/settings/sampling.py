"""The settings of sampling: the filters, and how much is generated."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minigpt.errors import brief, named
from minigpt.settings.common import HUGE, MANY, SEED, FileAndModel
from minigpt.settings.fields import Range, Setting, Settings, require, setting, settings_of

CHOOSING = "How a token is chosen, in this order"  # the panel
AGAIN = "To see it again"  # the panel of traces
TABLES = ("live", "every", "none")  # of a sample's distributions
HEATS = ("probability", "entropy", "rank")  # what a text can be coloured by
TOP = Range(1, MANY)

TEMPERATURES = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 5.0),
)  # fmt: skip
_PENALTIES = (-2.0, -1.5, -1.0, -0.7, -0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)

TokenBias = tuple[int, float]  # a token's id, and what is added to its logit


@dataclass(frozen=True, kw_only=True)
class FilterSpec(Setting):
    """A sampling filter, except for its arithmetic, which is the function of the same name in sampling/filters.py.

    The field of FilterSettings that carries the spec is the filter's setting; the order of these fields is the default
    order of the filters. Flags, range checks, tables, the explorer and pages all read it.
    """

    setting: str = ""  # the field's name
    neutral: Any  # the value at which the filter changes nothing, and is left out
    label: str = ""  # as a column heading; by default the name
    unit: str = ""  # of its value, in the singular
    cuts: Callable[[float], bool] = lambda value: False  # whether it removes tokens, at this value
    by_token: bool = False  # whether it changes the logits of certain tokens: those of the history, or those given
    history: str = ""  # the tokens of the text so far that it needs: none, each "once", or "each" occurrence
    counts_tokens: bool = False  # whether its value is a number of tokens
    key: str = ""  # in the explorer: the small letter for less, the capital for more
    steps: tuple[float, ...] = ()  # the values that the keys select, ascending; a neutral 0 at the end is the most
    usual: bool = False  # whether the explorer shows it while it is neutral
    slider: tuple[float, ...] = ()  # on a page, if funnel.js can compute it; otherwise a page shows it as it was used

    @property
    def name(self) -> str:
        """The name in tables, JSON and --stages."""
        return self.setting.replace("_", "-")

    @property
    def words(self) -> str:
        """The name in a sentence."""
        return self.name.replace("-penalty", " penalty")

    @property
    def heading(self) -> str:
        """The name as a column heading."""
        return self.label or self.name

    def number(self, setting: Any) -> float:
        """The setting as a number for tables and JSON: its value, or how many tokens it names."""
        return len(setting) if isinstance(setting, tuple) else setting

    def shown(self, value: float) -> str:
        """That number, with its unit if it has one."""
        return f"{value:g} {self.unit}{'s' * (value != 1)}" if self.unit else f"{value:g}"

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError for a value out of range; for biases, if any of their amounts is."""
        for number in (amount for _, amount in value) if isinstance(value, tuple) else (value,):
            super().check(name, number)


def _filter(default: Any, **described: Any) -> Any:
    """A settings field for a filter with these properties. Its default is neutral, unless another value is."""
    return setting(default, kind=FilterSpec, panel=CHOOSING, **{"neutral": default, **described})


@dataclass(frozen=True, kw_only=True)
class FilterSettings(Settings):
    """The setting of each filter, in the usual order of the filters."""

    bias: tuple[TokenBias, ...] = _filter(
        (),
        range=Range(-1000, 1000, both=True),  # of each amount
        unit="token",
        by_token=True,
    )
    repetition_penalty: float = _filter(  # Keskar et al., 2019
        1.0,
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
        range=Range(-100, 100, both=True),
        help="Subtract this from a token's logit for each time it occurs in the text; 0 for none.",
        label="freq.",
        by_token=True,
        history="each",
        key="f",
        steps=_PENALTIES,
    )
    temperature: float = _filter(
        0.8,
        neutral=1.0,
        range=Range(0, HUGE, least_is="the most likely token"),
        help="Below 1 more conservative, above 1 more random; 0 always takes the top token (the default for models of "
        "pairs).",
        label="temp.",
        cuts=lambda value: value == 0,
        key="t",
        steps=(*TEMPERATURES[:14], 1.5, 1.75, 2.0, 3.0, 5.0, 10.0),
        usual=True,
        slider=TEMPERATURES,
    )
    top_n_sigma: float = _filter(  # Tang et al., 2024
        0.0,
        range=Range(0, HUGE, least_is="off"),
        help="Keep tokens within n standard deviations of the largest logit; 0 for all.",
        label="n-sigma",
        cuts=lambda value: True,
        key="n",
        steps=(0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 0.0),
        slider=(0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    )
    top_k: int = _filter(  # Fan et al., 2018
        0,
        range=Range(0, MANY, least_is="off"),
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
        range=Range(0, 1, above=True, both=True, most_is="off"),
        help="Keep the tokens nearest to the expected surprisal that hold this share; 1 for all.",
        cuts=lambda value: True,
        key="l",
        steps=_SHARES,
        slider=_SHARES,
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
        range=Range(0, 1, both=True, least_is="off"),
        help="Keep tokens with at least this share of the top token's probability; 0 for all.",
        cuts=lambda value: True,
        key="m",
        steps=(0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0),
        usual=True,
        slider=(0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
    )


@dataclass(frozen=True, kw_only=True)
class SampleLimits(Settings):
    """Where a sample ends, and how many tokens its records list."""

    max_tokens: int = setting(
        200, help="Generate at most this many tokens.", short="-n", range=Range(1, MANY), shows_range=True
    )
    stop: tuple[str, ...] = setting((), help="End before this text; may be given several times.")
    ignore_end_of_text: bool = setting(False, help="Continue after end-of-text.")
    top: int = setting(
        10, help="How many tokens to list; all others are summed as one row.", range=TOP, shows_range=True
    )


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleLimits, FilterSettings):
    """How tokens are chosen, how many, and what is recorded.

    `stages` names the filters to apply, in order; those with a neutral setting are left out.
    """

    stages: tuple[str, ...] = field(default_factory=lambda: tuple(FILTERS))
    seed: int = setting(1, range=SEED)

    @property
    def active(self) -> tuple[FilterSpec, ...]:
        """The filters that are applied and not neutral, in order."""
        specs = (FILTERS[name] for name in self.stages)
        return tuple(spec for spec in specs if getattr(self, spec.setting) != spec.neutral)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_stages(self.stages)
        require(all(self.stop), f"{named('stop')} needs a text that is not empty.")


# By name, in the usual order.
_SPECS = {name: each for name, each in settings_of(FilterSettings).items() if isinstance(each, FilterSpec)}
FILTERS: dict[str, FilterSpec] = {
    spec.name: spec for spec in (replace(each, setting=name) for name, each in _SPECS.items())
}


def _require_stages(names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        require(
            name in FILTERS,
            f"{named('stages')}: there is no stage {brief(repr(name))}. The stages are {', '.join(FILTERS)}.",
        )
        require(name not in names[:i], f"{named('stages')} names {brief(name)} twice.")


# --- flags of the command line


@dataclass(frozen=True, kw_only=True)
class _BiasTexts(Settings):
    """Biases by the texts of tokens, which only the checkpoint's tokenizer can turn into ids."""

    biases: tuple[str, ...] = setting(
        (),
        help="Add a number to the logit of a token, as in ' the=-2' or '#262=-2'; may be given several times.",
        flag="bias",
        metavar="TOKEN=NUMBER",
        panel=CHOOSING,
    )


@dataclass(frozen=True, kw_only=True)
class AskedFilters(FilterSettings, _BiasTexts):
    """The filters as given on the command line, where the flag of `biases` comes first."""


@dataclass(frozen=True, kw_only=True)
class SampleSource(FileAndModel):
    """The prompt to continue, and the model that continues it."""

    prompt: str | None = setting(None, help="The text to continue; - or nothing reads standard input.", argument=True)


@dataclass(frozen=True, kw_only=True)
class Drawing(SampleLimits):
    """How many samples are drawn, and from what seed; with `stages` None, all filters apply in their usual order."""

    stages: str | None = setting(
        None,
        help=f"Which of {', '.join(FILTERS)} to apply, in another order, such as top-k,temperature; what is left out "
        "is not applied.",
        panel=CHOOSING,
        completes="stages",
    )
    seed: int | None = setting(None, help="The same seed gives the same text. By default random.", range=SEED)
    num_samples: int = setting(1, help="How many samples.", range=Range(1, 1_000_000), shows_range=True)
    beam: int | None = setting(
        None,
        help="For a model of pairs: search for the most probable targets by beam search of this width, instead of "
        "drawing.",
        range=Range(1, 64, both=True),
        shows_range=True,
    )


@dataclass(frozen=True, kw_only=True)
class SampleShown(Settings):
    """What is shown of a sample while it is generated."""

    table: str | None = setting(
        None, help="{values}. By default live in a terminal.", choices=TABLES, remarks={"every": "one table a step"}
    )
    boundary: bool = setting(False, help="Also show how the end of the prompt could be tokenized differently.")
    heat: str | None = setting(None, help="Colour the text by {values} of each token.", choices=HEATS)
    pace: float | None = setting(None, help="Tokens per second at most, for watching.", range=Range(0.001, 1e9))
    json: bool = setting(
        False,
        help="JSON on standard output, for other programs: a line a token, and one of totals a sample; with "
        f"{named('replay')} one document.",
    )
    raw: bool = setting(False, help="Write the raw bytes, control characters included.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not (self.json and self.raw), f"{named('json')} and {named('raw')} exclude each other.")
        if self.json or self.raw:
            plain = named("json" if self.json else "raw")
            require(self.heat is None, f"{plain} shows no colours: leave out {named('heat')}.")
            require(self.table in (None, "none"), f"{plain} shows no table: leave out {named('table', self.table)}.")


@dataclass(frozen=True, kw_only=True)
class SampleKept(Settings):
    """The files that a sample is written to, replayed from and compared with."""

    check: bool = setting(False, help="Compare every cached step with a full pass afterwards; fail above 1e-4.")
    corpus: tuple[str, ...] = setting(
        (),
        help="Mark what occurs verbatim in run (what the checkpoint learned from), a run's folder, builtin, or a text. "
        "May be given several times.",
        metavar="SOURCE",
        completes="corpus",
    )
    verbatim: int | None = setting(
        None,
        help=f"With {named('corpus')}, the minimum length of a span, in tokens. By default as many as are in about 32 "
        "bytes.",
        range=Range(2, MANY),
        shows_range=True,
    )
    html: Path | None = setting(None, help="Also write a page for a browser: FILE.html, which needs no network.")
    trace: Path | None = setting(
        None,
        help=f"Write a trace, a new file of JSON lines from which {named('replay')} reproduces the text.",
        metavar="FILE",
        panel=AGAIN,
    )
    replay: Path | None = setting(
        None,
        help=f"Repeat a trace, id for id, and compare the numbers; with another {named('checkpoint')}, score the "
        "same tokens there.",
        metavar="FILE",
        panel=AGAIN,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.verbatim is None or bool(self.corpus), f"{named('verbatim')} goes with {named('corpus', 'SOURCE')}."
        )
