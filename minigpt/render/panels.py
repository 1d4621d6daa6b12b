"""The panels of a comparison's plot: what each shows, a line of points for every model, and the labels of its axes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from minigpt.contest.records import Comparison, Contender, Points
from minigpt.render.style import compact, duration

NAMES = {"window": "dense window", "rnn": "RNN", "lstm": "LSTM", "gpt": "GPT"}
NAMES |= {  # of a GPT without a part
    "no-positions": "no positions",
    "one-head": "one head",
    "no-attention": "no attention",
    "no-mlp": "no MLP",
}
NAMES |= {"seq2seq": "seq2seq", "seq2seq-attention": "with attention", "transformer": "Transformer"}  # of pairs
_LEAST = 1e-12
_Y_TICKS = 5
_PLAIN = 1e-5  # the smallest number with a label without powers
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Panel:
    """One plot of a comparison. `name` is for programs. A logarithmic y axis omits values below _LEAST."""

    name: str
    title: str
    x: str
    lines: tuple[tuple[str, Points], ...]  # the model's name, and its points
    log_x: bool = True
    log_y: bool = False
    percent: bool = False

    @property
    def points(self) -> Points:
        """All points that can be drawn."""
        return tuple(point for _, points in self.lines for point in self.drawn(points))

    def drawn(self, points: Points) -> Points:
        """The points that fit on the axes."""
        return tuple((x, y) for x, y in points if (x > 0 or not self.log_x) and (y >= _LEAST or not self.log_y))

    def place(self, x: float) -> float:
        """The position of x on its axis."""
        return math.log2(x) if self.log_x else x

    def sides(self) -> tuple[float, float]:
        """The lowest and the highest `place`."""
        return apart([self.place(x) for x, _ in self.points])

    def x_ticks(self, most: int) -> list[float]:
        """At most about this many round numbers along the x axis: powers of two if it is logarithmic."""
        xs = [x for x, _ in self.points]
        low, high = min(xs), max(xs)
        if not self.log_x:
            return multiples(round_up(max(high - low, 1e-9) / most), low, high)
        exponents = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
        return [2.0**exponent for exponent in exponents[:: -(-len(exponents) // most) or 1]]

    def height(self, y: float) -> float:
        """The position of y on its axis."""
        return math.log10(y) if self.log_y else y

    def ends(self) -> tuple[float, float]:
        """The lowest and the highest `height`; for shares, those of 0 and 1."""
        return (0.0, 1.0) if self.percent else apart([self.height(y) for _, y in self.points])

    def marks(self) -> list[tuple[float, str]]:
        """The positions and labels of the round values along the y axis, at most about _Y_TICKS."""
        low, high = self.ends()
        if self.percent:
            return [(share, f"{share:.0%}") for share in (0.0, 0.5, 1.0)]
        if self.log_y:
            ticks = powers(10**low * 0.999, 10**high * 1.001, _Y_TICKS)
            if len(ticks) > 1:
                return list(zip(map(math.log10, ticks), power_labels(ticks), strict=True))
            low, high = 10**low, 10**high
        step = round_up((high - low) / _Y_TICKS)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(self.height(tick), f"{tick:,.{decimals}f}") for tick in multiples(step, low, high)]


def panels(comparison: Comparison) -> list[Panel]:
    """The panels with at least one measurement, in the order of the story."""

    def panel(name: str, title: str, x: str, points_of: Callable[[Contender], Points | None], **axes: bool) -> Panel:
        lines = tuple((NAMES[c.model], points) for c in comparison.contenders if (points := points_of(c)))
        return Panel(name, title, x, lines, **axes)

    def by_tokens(contender: Contender) -> Points | None:
        return contender.equal_tokens.by_tokens[1:] if contender.equal_tokens else None

    def by_seconds(contender: Contender) -> Points | None:
        return contender.equal_time.by_seconds[1:] if contender.equal_time else None

    tokens, time = compact(comparison.tokens or 0), duration(comparison.seconds or 0)
    fading, seen = "gradient of a late loss, relative to the nearest token's", "nats a token, by how much is seen"
    if comparison.pairs:
        return _of_pairs(panel, by_seconds, time)
    every = [
        panel("speed", "trained tokens a second", "context", lambda c: c.training_tokens_per_second),
        panel("tokens", f"bits per byte, over {tokens} tokens", "tokens", by_tokens, log_x=False),
        panel("time", f"bits per byte, over {time}", "seconds", by_seconds, log_x=False),
        panel("position", seen, "tokens seen", lambda c: by_octaves(c.loss_nats_by_position or ())),
        panel("gradient", fading, "tokens before", lambda c: relative(c.gradient_by_distance or ()), log_y=True),
        panel("recall", "keys recalled", "tokens ago", lambda c: c.recall_by_distance, percent=True),
        panel("cost", "milliseconds for a generated token", "its number", lambda c: c.step_milliseconds),
    ]
    return [each for each in every if each.lines]


def _of_pairs(panel: Callable[..., Panel], by_seconds: Callable[[Contender], Points | None], time: str) -> list[Panel]:
    """The panels of models of pairs."""

    def of(name: str) -> Callable[[Contender], Points | None]:
        return lambda contender: getattr(contender.translations, name, None)

    long, aligned = "tokens of the source", "alignment error rate"
    every = [
        panel("exact", "exact translations", long, of("exact_by_length"), log_x=False, percent=True),
        panel("time", f"bits per byte, over {time}", "seconds", by_seconds, log_x=False),
        panel("speed", "trained tokens a second", "tokens a side", lambda c: c.training_tokens_per_second),
        panel("cost", "milliseconds for a generated token", "its number", lambda c: c.step_milliseconds),
        panel("alignment", aligned, long, of("alignment_error_by_length"), log_x=False, percent=True),
    ]
    return [each for each in every if each.lines]


def line_names(panels: Sequence[Panel]) -> list[str]:
    """The names of all lines, in a fixed order that determines their style, since a panel may lack some."""
    return list(dict.fromkeys(name for panel in panels for name, _ in panel.lines))


def by_octaves(points: Points) -> Points:
    """Means over the points at 1, 2, 3 to 4, 5 to 8, ..., each at the end of its range."""
    return tuple((float(last), sum(y for _, y in stretch) / len(stretch)) for _, last, stretch in octaves(points))


def octaves(points: Points) -> Iterator[tuple[int, int, Points]]:
    """(first, last, the points) of each range that ends at a power of two, or with the points."""
    end, start = 1, 0
    while start < len(points):
        stretch = points[start:end]
        yield start + 1, start + len(stretch), stretch
        start, end = end, 2 * end


def relative(points: Points) -> Points:
    """Each y as a multiple of the first one."""
    return tuple((x, y / points[0][1]) for x, y in points) if points and points[0][1] else points


def apart(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, spread if they are equal."""
    low, high = min(values), max(values)
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def x_label(value: float) -> str:
    """The label of a tick on the x axis."""
    return compact(value) if value >= 10_000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def round_up(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... and their tenths that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * 0.999)


def multiples(step: float, low: float, high: float) -> list[float]:
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def powers(left: float, right: float, most: int) -> list[float]:
    """1, 10, 100 ... from `left` to `right`, with 2 and 5 in between if there is room, or every second, third ..."""
    exponents = range(math.floor(math.log10(left)), math.floor(math.log10(right)) + 1)
    for digits in ((1, 2, 5), (1,)):
        ticks = [t for e in exponents for digit in digits if left <= (t := digit * 10.0**e) <= right]
        if 2 <= len(ticks) <= max(2, most):
            return ticks
    every = -(-len(ticks) // max(2, most)) or 1
    return [tick for tick in ticks if round(math.log10(tick)) % every == 0] or [left]


def power_labels(ticks: Sequence[float]) -> list[str]:
    """0.1, 0.01 ..., all as plain numbers; or 10⁻², 10⁻⁴ ..., all as powers, where one is too small for that."""
    if min(ticks) >= _PLAIN * 0.999:
        return [f"{tick:,.{max(0, -math.floor(math.log10(tick) + 1e-9))}f}" for tick in ticks]
    return ["10" + str(round(math.log10(tick))).translate(_RAISED) for tick in ticks]
