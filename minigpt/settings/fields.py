"""The metadata of a settings field: its range, its choices, its help text and its panel.

    @dataclass(frozen=True, kw_only=True)
    class Machine(Settings):
        threads: int | None = setting(None, help="CPU threads.", range=Range(1, 1024))

Flags, checks and the keys of --config files are derived from that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from minigpt.errors import ConfigError, brief, named

T = TypeVar("T")
_KEY = "setting"  # in a field's metadata


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class Range:
    """The allowed values of a number: from `least` to `most`, or strictly `above` and `below` these ends.

    `least_is` and `most_is` explain the ends. A message mentions `both` ends if the setting has a natural maximum, and
    otherwise only the end that was exceeded, because `most` merely excludes what no machine could compute.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False
    both: bool = False
    least_is: str = ""
    most_is: str = ""

    def check(self, name: str, value: float) -> None:
        """Raise ConfigError, which names the setting, unless `value` is a number within the range."""
        low = value > self.least if self.above else value >= self.least
        high = value < self.most if self.below else value <= self.most
        require(low and high, f"{named(name)} must {self._allowed(low)}, not {brief(f'{value:,}')}.")

    def _allowed(self, low: bool) -> str:
        """The sentence's middle; `low` if the value is not too small."""
        least = f"{_shown(self.least)}{f' ({self.least_is})' if self.least_is else ''}"
        most = f"{_shown(self.most)}{f' ({self.most_is})' if self.most_is else ''}"
        if self.both and not self.above and not self.below:
            return f"lie between {least} and {most}"
        if self.both:
            lower, upper = "above" if self.above else "at least", "below" if self.below else "at most"
            return f"be {lower} {least} and {upper} {most}"
        if low:
            return f"be {most} or {'fewer' if isinstance(self.most, int) else 'less'}"
        return f"be above {least}" if self.above else f"be {least} or more"


def _shown(end: float) -> str:
    """The end of a range: 5,000, 0.001 or 1e15."""
    return f"{end:g}".replace("e+0", "e").replace("e+", "e") if isinstance(end, float) and end >= 1e6 else f"{end:,}"


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *some, last = names
    return f"{', '.join(some)} or {last}" if some else last


def up_to(most: int) -> str:
    """`from 1 to 12`, or `1`."""
    return "1" if most == 1 else f"from 1 to {most:,}"


def require_choice(name: str, value: str | None, values: Iterable[str]) -> None:
    """Raise ConfigError unless the setting's `value` is one of `values`, or None for no choice."""
    names = list(values)
    require(value is None or value in names, f"{named(name)} must be {one_of(names)}, not {brief(value or '')}.")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The description of a settings field. Without a `help` it has no flag.

    In `help`, {values} is replaced by the `choices`; `remarks` on single choices follow them in parentheses. An `open`
    choice also takes other values, which its user checks. `panel` is the box of --help that lists the flag; `flag` and
    `short` are its names if they differ from the field's, `metavar` that of its value; `off` is the help of a second
    flag, --no-NAME, for a switch. `variable` is an environment variable used when the flag is not given. `completes`
    names what a shell completes, see `minigpt.cli.completion`. With `shows_range`, --help shows the range. A setting
    that may be given `anew` is not compared with the original run's when that run is resumed.
    """

    help: str = ""
    panel: str | None = None
    range: Range | None = None
    choices: tuple[str, ...] = ()
    remarks: Mapping[str, str] | None = None
    open: bool = False
    argument: bool = False
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    off: str | None = None
    variable: str | None = None
    completes: str | None = None
    shows_range: bool = False
    anew: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError for a number out of range, or a word that is not one of the choices."""
        if self.range is not None and type(value) in (int, float):
            self.range.check(name, value)
        if self.choices and not self.open:
            require_choice(name, value, self.choices)

    @property
    def text(self) -> str:
        """The help text, with the choices filled in."""
        remarks = self.remarks or {}
        if not self.choices:
            return self.help
        described = (f"{value} ({remarks[value]})" if value in remarks else value for value in self.choices)
        return self.help.format(values=one_of(described))


def setting(
    default: Any = MISSING, *, kind: type[Setting] = Setting, choices: Iterable[str] = (), **described: Any
) -> Any:
    """A dataclass field with a `Setting`, or another `kind`, that describes it; required unless it has a default."""
    return field(default=default, metadata={_KEY: kind(choices=tuple(choices), **described)})


def settings_of(kind: Any) -> dict[str, Setting]:
    """The description of each field of a dataclass by name; fields without a description are left out."""
    return {each.name: each.metadata[_KEY] for each in fields(kind) if _KEY in each.metadata}


class Settings:
    """The base of every dataclass of settings, which checks each value against its field.

    A subclass with further checks adds them in its own `__post_init__`, after this one.
    """

    def __post_init__(self) -> None:
        for name, described in settings_of(self).items():
            described.check(name, getattr(self, name))


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass built from those `values` that name its fields; the rest are its defaults."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})
