"""Loss curves, or the panels of a comparison: as plots for a terminal, by plotext, or as pictures, by matplotlib."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from minigpt.errors import named, needs_extra
from minigpt.render.panels import Panel, line_names, multiples, powers, round_up, x_label
from minigpt.render.style import UNICODE, Screen, compact, duration, fit, quantity, safe_text
from minigpt.settings import require
from minigpt.training.records import LossCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {
    "step": "steps",
    "tokens": "tokens",
    "seconds": "time",
    "bits_per_byte": "bits per byte",
    "nats_per_token": "nats per token",
}
_COLOURS = (6, 5, 3, 2, 1, 4)  # of a terminal's sixteen, dark blue last
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 8
_PANEL_HEIGHT = 11  # lines, with the frame
_BETWEEN = 20  # points that are drawn along a panel's line from one measured point to the next
_MOST_POINTS = 500  # of a curve: plotext joins them one by one, and a screen has no more columns to tell them apart
_ASCII_FRAME = str.maketrans("┌┐└┘├┤┬┴┼─│", "+++++++++-|")
_ASCII_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_MINUTES_AND_HOURS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Look:
    """How one line is drawn: `line` and `point` are characters, and `marker` is plotext's name of the line's."""

    colour: int
    marker: str
    line: str
    point: str

    @classmethod
    def of(cls, index: int, screen: Screen, *, alone: bool) -> "_Look":
        colour, is_unicode = _COLOURS[index % len(_COLOURS)], screen.symbols is UNICODE
        point = ("●◆▲■▼★" if is_unicode else "o*x#%@")[index % 6]
        if is_unicode and (alone or screen.coloured):
            return cls(colour, "braille", "⠒⠒", point)
        dot = ".:',-~"[index % 6]
        return cls(colour, dot, 2 * dot, point)


def loss_plot(curves: Sequence[LossCurves], screen: Screen, *, height: int = 20, log: bool = False) -> Text:
    """The curves in a frame as wide as the screen and `height` lines high, with a legend below.

    `log`: x is logarithmic, and every x positive. Without colours, runs differ only by their characters. Raises
    PackageError if plotext is not installed.
    """
    looks = [_Look.of(index, screen, alone=len(curves) == 1) for index in range(len(curves))]

    def draw(plt: Any) -> None:
        for curve, look in zip(curves, looks, strict=True):
            plt.plot(*_columns(curve.training, log), marker=look.marker, color=look.colour)
        for curve, look in zip(curves, looks, strict=True):
            plt.scatter(*_columns(curve.validation, log), marker=look.point, color=look.colour)
        points = [point for curve in curves for point in chain(curve.training, curve.validation)]
        _set_axes(plt, points, curves[0].x, max(screen.width, _LEAST_WIDTH), log)

    scale = " (logarithmic)" if log else ""
    title = screen.caption(f"loss in {AXES[curves[0].y]}, over {AXES[curves[0].x]}{scale}")
    legends = [_curve_legend(curve, look, screen) for curve, look in zip(curves, looks, strict=True)]
    return Text("\n").join([title, *_frame(screen, max(height, _LEAST_HEIGHT), draw), *legends])


def panel_plots(panels: Sequence[Panel], screen: Screen) -> Iterator[Text]:
    """A title and the lines of a plot for each panel, and a legend."""
    names = line_names(panels)
    looks = {name: _Look.of(i, screen, alone=False) for i, name in enumerate(names)}

    def draw(panel: Panel, plt: Any) -> None:
        for name, points in panel.lines:
            placed = [(panel.place(x), panel.height(y)) for x, y in panel.drawn(points)]
            look = looks[name]
            for drawn, marker in ((_joined(placed), look.marker), (placed, look.point)):
                plt.scatter([x for x, _ in drawn], [y for _, y in drawn], marker=marker, color=look.colour)
        ticks = panel.x_ticks(max(3, screen.width // 12))
        plt.xticks([panel.place(x) for x in ticks], [x_label(x) for x in ticks])
        plt.ylim(*panel.ends())
        marks = [(height, label if screen.symbols is UNICODE else _in_ascii(label)) for height, label in panel.marks()]
        plt.yticks(*zip(*marks, strict=True))

    for panel in panels:
        if panel.points:
            yield screen.caption(panel.title, f"over {panel.x}{' (logarithmic)' if panel.log_x else ''}")
            yield from _frame(screen, _PANEL_HEIGHT, partial(draw, panel))
    if panels:
        legend = screen.caption(*(f"{look.line}{look.point} {name}" for name, look in looks.items()))
        for look in looks.values():
            legend.highlight_words([f"{look.line}{look.point}"], f"not dim color({look.colour})")
        yield legend


def _in_ascii(label: str) -> str:
    """10⁻⁶ as 1e-6."""
    plain = label.translate(_ASCII_POWERS)
    return label if plain == label else f"1e{plain.removeprefix('10')}"


def _frame(screen: Screen, height: int, draw: Callable[[Any], None]) -> list[Text]:
    """The lines of a frame as wide as the screen, into which `draw` draws with plotext."""
    plt = _load_plotext()
    plt.clear_figure()
    plt.limit_size(False, False)
    plt.plot_size(max(screen.width, _LEAST_WIDTH), height)
    plt.theme("clear")
    draw(plt)
    drawn: str = plt.build().rstrip("\n")
    lines = Text.from_ansi(drawn if screen.symbols is UNICODE else drawn.translate(_ASCII_FRAME)).split()
    for line in lines:
        line.rstrip()
    return list(lines)


def _load_plotext() -> Any:
    try:
        import plotext
    except ImportError as error:
        raise needs_extra("A plot in the terminal needs the package plotext", "plot") from error
    return plotext


def _joined(points: Points) -> Points:
    """The points, and others along straight lines between them."""
    return [
        (x + (next_x - x) * i / _BETWEEN, y + (next_y - y) * i / _BETWEEN)
        for (x, y), (next_x, next_y) in pairwise(points)
        for i in range(_BETWEEN)
    ] + [*points[-1:]]


def _columns(points: Points, log: bool) -> tuple[list[float], list[float]]:
    """x and y of the points, thinned."""
    some = thinned(points, _MOST_POINTS)
    return [_place(x, log) for x, _ in some], [y for _, y in some]


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
    x_ticks = powers(left, right, width // 10) if log else multiples(_x_step(right, width // 16, axis), left, right)
    plt.xlim(_place(left, log), _place(right, log))
    plt.xticks([_place(tick, log) for tick in x_ticks], [_x_label(tick, axis) for tick in x_ticks])


def _x_step(right: float, most: int, axis: str) -> float:
    """The distance between at most this many ticks; long times have ticks at minutes and hours."""
    least = right / max(2, most)
    if axis == "seconds" and 10 < least <= _MINUTES_AND_HOURS[-1]:
        return next(seconds for seconds in _MINUTES_AND_HOURS if seconds >= least)
    return max(round_up(least), 1.0 if axis != "seconds" else 0.0)


def _at(x: float, axis: str) -> str:
    label = _x_label(x, axis)
    return {"step": f"at step {label}", "tokens": f"at {label} tokens"}.get(axis, f"at {label}")


def _x_label(x: float, axis: str) -> str:
    if axis == "seconds":
        return duration(x) if x >= 1 or x == 0 else f"{x:g} s"
    return compact(x) if x >= 10_000 else f"{x:,.0f}"


def _curve_legend(curve: LossCurves, look: _Look, screen: Screen) -> Text:
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


# --- pictures

_INCHES, _DOTS_PER_INCH = (8.0, 5.0), 150
# Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind people too.
_PICTURE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = "oD^sv*P"
_MOST_IN_PICTURE = 5000
_MARKED = 32  # points of a panel's line
_X_TICKS = 7


def picture_format(path: Path) -> str:
    """`svg` or `png`, by the name of the file."""
    return path.suffix.lower().removeprefix(".")


def check_picture(name: str, path: Path | None) -> None:
    """Raise ConfigError if the setting of that name is not the path of a picture."""
    known = path is None or picture_format(path) in ("svg", "png")
    require(known, f"{named(name, path)} must end in .svg or .png.")


def loss_picture(curves: Sequence[LossCurves], format: str, *, log: bool = False) -> bytes:
    """A picture of the curves; `format` is svg or png. The same curves give the same bytes.

    `log`: x is logarithmic, and every x positive. Raises PackageError if matplotlib is not installed.
    """
    return _picture(format, _INCHES, lambda figure: _draw_curves(figure.add_subplot(), curves, log))


def panel_picture(panels: Sequence[Panel], format: str) -> bytes:
    """A picture of panels in two columns. The same panels give the same bytes. Raises PackageError as above."""
    rows = -(-(len(panels) + 1) // 2)
    return _picture(format, (10.0, 3.0 * rows), lambda figure: _draw_panels(figure, panels, rows))


def _picture(format: str, inches: tuple[float, float], draw: "Callable[[Figure], None]") -> bytes:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("A picture needs the package matplotlib", "plot") from error
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "minigpt", "font.size": 10}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        data = BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a letter in a run's name that the font lacks is drawn as a box
            figure.savefig(data, format=format, dpi=_DOTS_PER_INCH, metadata={"Date": None} if format == "svg" else {})
    return data.getvalue()


def _draw_curves(axes: "Axes", curves: Sequence[LossCurves], log: bool) -> None:
    handles: list[Any] = []
    labels: list[str] = []
    for i, curve in enumerate(curves):
        colour, name = _PICTURE_COLOURS[i % len(_PICTURE_COLOURS)], run_name(curve)
        if curve.training:
            points = thinned(curve.training, _MOST_IN_PICTURE)
            handles += axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.7)
            labels.append(f"{name}: training{mean_of(curve.smoothed_steps)}")
        if curve.validation:
            points = thinned(curve.validation, _MOST_IN_PICTURE)
            shape = _SHAPES[i % len(_SHAPES)]
            handles += axes.plot(*zip(*points, strict=True), shape + "-", color=colour, markersize=4, linewidth=1.5)
            labels.append(f"{name}: validation, lowest {min(y for _, y in curve.validation):.3f}")
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(AXES[curves[0].x] + (" (seconds)" if curves[0].x == "seconds" else ""))
    axes.set_ylabel(f"loss in {AXES[curves[0].y]}")
    axes.grid(alpha=0.3)
    legend = axes.legend(handles, ["-"] * len(handles))
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)  # $ and _ in a name are letters
        text.set_text(label)


def _draw_panels(figure: "Figure", panels: Sequence[Panel], rows: int) -> None:
    """Draw the panels; the rest of the last row holds the legend."""
    names = line_names(panels)
    handles: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, 2, number + 1)
        for name, points in panel.lines:
            at = names.index(name)
            x, y = zip(*panel.drawn(points), strict=True)
            every = 1 if len(x) <= _MARKED else len(x) // _MARKED
            (handles[name],) = axes.plot(
                x, y, _SHAPES[at] + "-", color=_PICTURE_COLOURS[at], markersize=3, linewidth=1.3, markevery=every
            )
        _set_scales(axes, panel)
    place = figure.add_subplot(rows, 2, len(panels) + 1)
    place.axis("off")
    place.legend([handles[name] for name in names], names, loc="center", frameon=False)


def _set_scales(axes: "Axes", panel: Panel) -> None:
    if panel.log_x:
        axes.set_xscale("log", base=2)
    if panel.log_y:
        axes.set_yscale("log", nonpositive="mask")
    if panel.percent:
        axes.set_ylim(0, 1.05)
    places = panel.x_ticks(_X_TICKS)
    axes.set_xticks(places, list(map(x_label, places)))
    heights, labels = zip(*panel.marks(), strict=True)
    axes.set_yticks([10**height for height in heights] if panel.log_y else heights, labels)
    axes.minorticks_off()
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x)
    axes.grid(alpha=0.3)
