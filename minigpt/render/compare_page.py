"""A comparison as a page: its table, and its panels drawn as lines."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from minigpt.contest.records import Comparison
from minigpt.render.compare import comparison_caption, comparison_table
from minigpt.render.html import Section, page, printed_section
from minigpt.render.panels import Panel, line_names, panels, x_label
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
    (left, right), (low, high) = panel.sides(), panel.ends()

    def across(x: float) -> float:
        return round(_WIDTH * (panel.place(x) - left) / (right - left), 1)

    def down(height: float) -> float:
        return round(_HEIGHT * (high - height) / (high - low), 1)

    return {
        "title": panel.title,
        "x": panel.x,
        "lines": [
            {
                "name": name,
                "series": names.index(name) + 1,
                "points": [(across(x), down(panel.height(y))) for x, y in panel.drawn(points)],
            }
            for name, points in panel.lines
        ],
        "x_ticks": [(across(x), x_label(x)) for x in panel.x_ticks(_X_TICKS)],
        "y_ticks": [(down(height), label) for height, label in panel.marks()],
    }
