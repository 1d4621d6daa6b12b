"""A comparison as a page: its table, and its panels drawn as lines."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minigpt.contest.records import Comparison
from minigpt.render.claims import claim_of
from minigpt.render.compare import comparison_caption, comparison_listing
from minigpt.render.html import Section, page
from minigpt.render.panels import Panel, line_names, panels, x_label
from minigpt.render.screen import WIDEST, Screen
from minigpt.render.table import Part
from minigpt.render.table_page import tables_section

_WIDTH, _HEIGHT = 360, 200  # of the frame, in the units of the drawing
_X_TICKS = 7
_APART = 24  # of the marked points of a line, at least: more would hide it
# The shapes around (0, 0) that mark the points of each line, so that lines are told apart without colours.
SHAPES = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M0 -4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 -4.5L4 3.5L-4 3.5z",
    "M-3.2 -3.2H3.2V3.2H-3.2z",
    "M0 4.5L4 -3.5L-4 -3.5z",
)


def comparison_page(comparison: Comparison, folder: Path) -> str:
    """The whole page."""
    last = "Transformer" if comparison.pairs else "GPT"
    title = f"minigpt: what came before, and a {last}, on {comparison.name}"
    return page(title, comparison_sections(comparison), caption=f"minigpt · {folder}")


def comparison_sections(comparison: Comparison) -> list[Section]:
    """The numbers, and the drawings, if there is something to draw."""
    screen = Screen(WIDEST)
    known = [panel for panel in panels(comparison) if panel.points]
    names = line_names(known)
    parts: list[Part] = [comparison_listing(comparison, screen), *comparison_caption(comparison, screen)]
    numbers = tables_section(f"Equal parameters, equal {'time' if comparison.pairs else 'text'}", parts)
    if not known:
        return [numbers]
    drawn = [{**_drawn(panel, names), **asdict(claim_of(panel.name, comparison))} for panel in known]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(names))]
    data = {"names": names, "shapes": shapes, "panels": drawn, "width": _WIDTH, "height": _HEIGHT}
    return [numbers, Section("panels", "What each claim looks like", data, ())]


def _drawn(panel: Panel, names: Sequence[str]) -> dict[str, Any]:
    """Everything that the template needs: points and ticks, in the units of the drawing."""
    (left, right), (low, high) = panel.sides(), panel.ends()

    def across(x: float) -> float:
        return round(_WIDTH * (panel.place(x) - left) / (right - left), 1)

    def down(height: float) -> float:
        return round(_HEIGHT * (high - height) / (high - low), 1)

    lines = []
    for name, points in panel.lines:
        placed = [(across(x), down(panel.height(y))) for x, y in panel.drawn(points)]
        lines.append({"name": name, "number": names.index(name), "points": placed, "marked": _apart(placed)})
    return {
        "title": panel.title,
        "x": panel.x,
        "lines": lines,
        "x_ticks": [(across(x), x_label(x)) for x in panel.x_ticks(_X_TICKS)],
        "y_ticks": [(down(height), label) for height, label in panel.marks()],
    }


def _apart(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points without those that are near the one before."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or math.dist(point, kept[-1]) >= _APART:
            kept.append(point)
    return kept
