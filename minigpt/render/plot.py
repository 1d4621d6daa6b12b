"""Loss curves as a plot for a terminal, drawn by plotext."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rich.text import Text

from minigpt.errors import PackageError
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols, compact, duration, fit, quantity, safe_text
from minigpt.training.records import LossCurves

AXES = {
    "step": "steps",
    "tokens": "tokens",
    "seconds": "time",
    "bits_per_byte": "bits per byte",
    "nats_per_token": "nats per token",
}
_COLOURS = (6, 5, 3, 2, 1, 4)  # of a terminal's sixteen, dark blue last
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 8
_MOST_POINTS = 500  # of a curve: plotext joins them one by one, and a screen has no more columns to tell them apart
ASCII_FRAME = str.maketrans("┌┐└┘├┤┬┴┼─│", "+++++++++-|")
_MINUTES_AND_HOURS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Look:
    """How one run is drawn: `line` and `point` are characters, and `marker` is plotext's name of the line's."""

    colour: int
    marker: str
    line: str
    point: str

    @classmethod
    def of(cls, index: int, symbols: Symbols, *, alone: bool, coloured: bool) -> "Look":
        colour = _COLOURS[index % len(_COLOURS)]
        point = ("●◆▲■▼★" if symbols is UNICODE else "o*x#%@")[index % 6]
        if symbols is UNICODE and (alone or coloured):
            return cls(colour, "braille", "⠒⠒", point)
        dot = ".:',-~"[index % 6]
        return cls(colour, dot, 2 * dot, point)


def loss_plot(
    curves: Sequence[LossCurves], screen: Screen, *, height: int = 20, log: bool = False, coloured: bool = False
) -> Text:
    """The curves in a frame as wide as the screen and `height` lines high, with a legend below.

    `log`: x is logarithmic, and every x positive. `coloured`: one colour per run; otherwise runs differ only by their
    characters. Raises PackageError if plotext is not installed.
    """
    looks = [Look.of(index, screen.symbols, alone=len(curves) == 1, coloured=coloured) for index in range(len(curves))]
    drawn = _draw(curves, looks, max(screen.width, _LEAST_WIDTH), max(height, _LEAST_HEIGHT), log)
    if screen.symbols is not UNICODE:
        drawn = drawn.translate(ASCII_FRAME)
    scale = " (logarithmic)" if log else ""
    title = screen.caption(f"loss in {AXES[curves[0].y]}, over {AXES[curves[0].x]}{scale}")
    legends = [_legend(curve, look, screen) for curve, look in zip(curves, looks, strict=True)]
    frame = Text.from_ansi(drawn).split()
    for line in frame:
        line.rstrip()
    return Text("\n").join([title, *frame, *legends])


def _draw(curves: Sequence[LossCurves], looks: Sequence[Look], width: int, height: int, log: bool) -> str:
    """The frame and its contents, with ANSI colours."""
    plt = load_plotext()
    plt.clear_figure()
    plt.limit_size(False, False)
    plt.plot_size(width, height)
    plt.theme("clear")
    for curve, look in zip(curves, looks, strict=True):
        plt.plot(*_columns(curve.training, log), marker=look.marker, color=look.colour)
    for curve, look in zip(curves, looks, strict=True):
        plt.scatter(*_columns(curve.validation, log), marker=look.point, color=look.colour)
    points = [point for curve in curves for point in chain(curve.training, curve.validation)]
    _set_axes(plt, points, curves[0].x, width, log)
    text: str = plt.build()
    return text.rstrip("\n")


def load_plotext() -> Any:
    try:
        import plotext
    except ImportError as error:
        raise PackageError(
            "A plot in the terminal needs the package plotext, not installed here.\n"
            "From your clone of minigpt: pip install -e '.[plot]'"
        ) from error
    return plotext


def _columns(points: Points, log: bool) -> tuple[list[float], list[float]]:
    """x and y of the points, thinned."""
    kept = thinned(points, _MOST_POINTS)
    return [_place(x, log) for x, _ in kept], [y for _, y in kept]


def thinned(points: Points, most: int) -> Points:
    """At most about this many of the points, evenly spaced in their order, including the last."""
    every = -(-len(points) // most) or 1
    return [*points[:-1:every], *points[-1:]]


def _place(x: float, log: bool) -> float:
    return math.log10(x) if log else x


def _set_axes(plt: Any, points: Points, axis: str, width: int, log: bool) -> None:
    """Limits that contain every point, even a single one, and ticks at round numbers."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    room = (max(ys) - min(ys)) * 0.03 or 0.5
    low, high = min(ys) - room, max(ys) + room
    step = round_up((high - low) / 6)
    y_ticks = multiples(step, low, high)
    plt.ylim(low, high)
    plt.yticks(y_ticks, [f"{tick:.{max(0, -math.floor(math.log10(step)))}f}" for tick in y_ticks])
    left, right = (min(xs), max(xs) * 1.01) if log else (0.0, max(xs) or 1.0)
    x_ticks = _powers(left, right, width // 10) if log else multiples(_x_step(right, width // 16, axis), left, right)
    plt.xlim(_place(left, log), _place(right, log))
    plt.xticks([_place(tick, log) for tick in x_ticks], [_x_label(tick, axis) for tick in x_ticks])


def round_up(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... and their tenths that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * 0.999)


def multiples(step: float, low: float, high: float) -> list[float]:
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _x_step(right: float, most: int, axis: str) -> float:
    """The distance between at most this many ticks; long times have ticks at minutes and hours."""
    least = right / max(2, most)
    if axis == "seconds" and 10 < least <= _MINUTES_AND_HOURS[-1]:
        return next(seconds for seconds in _MINUTES_AND_HOURS if seconds >= least)
    return max(round_up(least), 1.0 if axis != "seconds" else 0.0)


def _powers(left: float, right: float, most: int) -> list[float]:
    """1, 10, 100 ... from `left` to `right`, with 2 and 5 in between if there is room, or only the ends."""
    exponents = range(math.floor(math.log10(left)), math.floor(math.log10(right)) + 1)
    for digits in ((1, 2, 5), (1,)):
        ticks = [t for e in exponents for digit in digits if left <= (t := digit * 10.0**e) <= right]
        if 2 <= len(ticks) <= max(2, most):
            return ticks
    every = -(-len(ticks) // max(2, most)) or 1
    return ticks[::every] or [left]


def _at(x: float, axis: str) -> str:
    label = _x_label(x, axis)
    return {"step": f"at step {label}", "tokens": f"at {label} tokens"}.get(axis, f"at {label}")


def _x_label(x: float, axis: str) -> str:
    if axis == "seconds":
        return duration(x) if x >= 1 or x == 0 else f"{x:g} s"
    return compact(x) if x >= 10_000 else f"{x:,.0f}"


def _legend(curve: LossCurves, look: Look, screen: Screen) -> Text:
    """`NAME: ⠒⠒ training, mean of 30 steps · ● validation, lowest 1.849 at step 1,500`."""
    name = fit(run_name(curve), max(8, screen.width - 30), screen.symbols).rstrip()
    parts = []
    if curve.training:
        parts.append(f"{look.line} training{mean_of(curve.smoothed_steps)}")
    if curve.validation:
        x, y = min(curve.validation, key=lambda point: point[1])
        parts.append(f"{look.point} validation, lowest {y:.3f} {_at(x, curve.x)}")
    parts[0] = f"{name}: {parts[0]}"
    text = screen.caption(*parts)
    text.highlight_words([look.line, f"{look.point} "], f"not dim color({look.colour})")
    return text


def run_name(curve: LossCurves) -> str:
    """The name on one line, safe to print."""
    return " ".join(safe_text(curve.run).split())


def mean_of(steps: int) -> str:
    """The part of a legend about a curve whose points are means."""
    return f", mean of {quantity(steps, 'step')}" if steps > 1 else ""
