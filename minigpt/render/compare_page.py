"""A comparison as a page: its table, and its panels drawn as lines."""

from collections.abc import Sequence
from itertools import chain
from math import log2
from pathlib import Path
from typing import Any

from minigpt.contest.records import Comparison
from minigpt.render.compare import comparison_caption, comparison_table
from minigpt.render.html import Section, page
from minigpt.render.panel_plot import x_label, x_ticks
from minigpt.render.panels import Panel, apart, line_names, panels
from minigpt.render.printed_page import printed_section
from minigpt.render.screen import WIDEST, Screen

_WIDTH, _HEIGHT = 360, 200  # of the frame, in the units of the drawing
_X_TICKS = 7


def comparison_page(comparison: Comparison, folder: Path) -> str:
    """The whole page."""
    title = f"minigpt: what came before, and a GPT, on {comparison.name}"
    return page(title, comparison_sections(comparison), caption=f"minigpt · {folder}")


def comparison_sections(comparison: Comparison) -> list[Section]:
    """The numbers, and the drawings, if there is something to draw."""
    screen = Screen(WIDEST)
    lines = chain(comparison_table(comparison, screen), comparison_caption(comparison, screen))
    known = [panel for panel in panels(comparison) if panel.points]
    names = line_names(known)
    numbers = printed_section("Equal parameters, equal text", lines)
    if not known:
        return [numbers]
    drawn = [_drawn(panel, names) for panel in known]
    data = {"names": names, "panels": drawn, "width": _WIDTH, "height": _HEIGHT}
    return [numbers, Section("panels", "What each claim looks like", data, ())]


def _drawn(panel: Panel, names: Sequence[str]) -> dict[str, Any]:
    """Everything that the template needs: points and ticks, in the units of the drawing."""
    places = _Places(panel)
    return {
        "title": panel.title,
        "x": panel.x,
        "lines": [
            {
                "name": name,
                "series": names.index(name) + 1,
                "points": [(places.x(x), places.y(panel.height(y))) for x, y in panel.drawn(points)],
            }
            for name, points in panel.lines
        ],
        "x_ticks": [(places.x(x), x_label(x)) for x in x_ticks(panel, _X_TICKS)],
        "y_ticks": [(places.y(height), label) for height, label in panel.marks()],
    }


class _Places:
    """The place of a point: x from the left, y from the top."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._left, self._right = apart([log2(x) if panel.log_x else x for x, _ in panel.points])
        self._low, self._high = panel.ends()

    def x(self, value: float) -> float:
        at = log2(value) if self._panel.log_x else value
        return round(_WIDTH * (at - self._left) / (self._right - self._left), 1)

    def y(self, height: float) -> float:
        return round(_HEIGHT * (self._high - height) / (self._high - self._low), 1)
