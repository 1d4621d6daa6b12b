"""Plots of panels for a terminal, one below the other, drawn by plotext."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from rich.text import Text

from minigpt.render.panels import Panel, line_names
from minigpt.render.plot import ASCII_FRAME, Look, load_plotext, multiples, round_up
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, compact

_LEAST_WIDTH = 24
_HEIGHT = 11  # lines, with the frame
_BETWEEN = 20  # points that are drawn along a line from one measured point to the next


def panel_plots(panels: Sequence[Panel], screen: Screen, *, coloured: bool = False) -> Iterator[Text]:
    """A title, the plot, and a legend for each panel."""
    names = line_names(panels)
    looks = {name: Look.of(i, screen.symbols, alone=False, coloured=coloured) for i, name in enumerate(names)}
    for panel in panels:
        if panel.points:
            yield screen.caption(panel.title, f"over {panel.x}{' (logarithmic)' if panel.log_x else ''}")
            yield from _frame(panel, looks, screen)
    if panels:
        yield _legend(looks, screen)


def _frame(panel: Panel, looks: dict[str, Look], screen: Screen) -> Iterator[Text]:
    plt = load_plotext()
    plt.clear_figure()
    plt.limit_size(False, False)
    plt.plot_size(max(screen.width, _LEAST_WIDTH), _HEIGHT)
    plt.theme("clear")
    for name, points in panel.lines:
        placed = [(_place(x, panel.log_x), panel.height(y)) for x, y in panel.drawn(points)]
        if placed:
            line = list(_joined(placed))
            plt.scatter([x for x, _ in line], [y for _, y in line], marker=looks[name].marker, color=looks[name].colour)
            plt.scatter(
                [x for x, _ in placed], [y for _, y in placed], marker=looks[name].point, color=looks[name].colour
            )
    _set_axes(plt, panel, screen.width)
    drawn: str = plt.build().rstrip("\n")
    for text in Text.from_ansi(drawn if screen.symbols is UNICODE else drawn.translate(ASCII_FRAME)).split():
        text.rstrip()
        yield text


def _place(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _joined(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The points, and others along straight lines between them."""
    for (x, y), (next_x, next_y) in pairwise(points):
        for i in range(_BETWEEN):
            yield x + (next_x - x) * i / _BETWEEN, y + (next_y - y) * i / _BETWEEN
    yield points[-1]


def _set_axes(plt: Any, panel: Panel, width: int) -> None:
    """Round numbers along x, the ends and the middle along y."""
    ticks = x_ticks(panel, max(3, width // 12))
    plt.xticks([_place(x, panel.log_x) for x in ticks], [x_label(x) for x in ticks])
    plt.ylim(*panel.ends())
    plt.yticks(*zip(*panel.marks(), strict=True))


def x_ticks(panel: Panel, most: int) -> list[float]:
    """At most about this many round numbers along the x axis: powers of two if it is logarithmic."""
    xs = [x for x, _ in panel.points]
    low, high = min(xs), max(xs)
    if not panel.log_x:
        step = round_up(max(high - low, 1e-9) / most)
        return multiples(step, low, high)
    exponents = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    every = -(-len(exponents) // most) or 1
    return [2.0**exponent for exponent in exponents[::every]]


def x_label(value: float) -> str:
    """The label of a tick on the x axis."""
    return compact(value) if value >= 10_000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _legend(looks: dict[str, Look], screen: Screen) -> Text:
    text = screen.caption(*(f"{look.line}{look.point} {name}" for name, look in looks.items()))
    for look in looks.values():
        text.highlight_words([f"{look.line}{look.point}"], f"not dim color({look.colour})")
    return text
