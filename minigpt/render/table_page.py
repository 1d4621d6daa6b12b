"""The section of a page for a view's tables and text: the same description as in a terminal, as HTML."""

from collections.abc import Iterable, Sequence
from typing import Any

from minigpt.render.html import Section, printed_parts, style_classes
from minigpt.render.table import Bar, Column, Course, Listing, Part

_ENDLESS = 10_000  # cells, for texts that are cut to the room there is
_DATA = {"tag": "td", "text": "", "classes": "", "wide": 0, "bar": None, "course": None}  # an empty cell


def tables_section(title: str, parts: Iterable[Part]) -> Section:
    """Tables as tables, captions as paragraphs, bold lines as headings, and others, with those above, as printed."""
    shown: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Listing):
            shown.append({"kind": "table", **_table(part)})
        elif part.plain:
            kind = {"dim": "caption", "bold": "heading"}.get(str(part.style), "printed")
            printed = list(printed_parts([part]))
            if kind == "printed" and shown and shown[-1]["kind"] in ("heading", "printed"):
                printed = shown.pop()["parts"] + printed
            shown.append({"kind": kind, "parts": printed})
    return Section("tables", title, {"parts": shown}, ())


def _table(listing: Listing[Any]) -> dict[str, Any]:
    """Everything that the template needs."""
    columns = [*listing.columns, *([listing.below] if listing.below else [])]
    naming = next((i for i, column in enumerate(columns) if column.left), 0)
    rows = []
    for row in listing.rows:
        if note := listing.note(row):
            rows.append(
                [_cell(columns[0], row), _DATA | {"text": note, "classes": "dim left", "wide": len(columns) - 1}]
            )
        else:
            rows.append([_cell(column, row, "th" if i == naming else "td") for i, column in enumerate(columns)])
            rows[-1][-1]["classes"] += " below" if listing.below else ""
    return {
        "caption": listing.caption,
        "columns": [{"text": column.title or column.heading, "classes": _classes(column)} for column in columns],
        "rows": rows,
        "feet": [_foot(columns, number, names[0]) for number, names in enumerate(listing.feet) if names],
    }


def _cell(column: Column[Any], row: Any, tag: str = "td") -> dict[str, Any]:
    cell = column.text(row)
    style = column.style(row) if callable(column.style) else column.style
    known = _DATA | {"tag": tag, "classes": _classes(column, style)}
    if isinstance(cell, Bar):
        return known | {"bar": _bar(cell)}
    if isinstance(cell, Course):
        return known | {"course": _course(cell)}
    text = str(cell(_ENDLESS) if callable(cell) else cell)
    return known | {"text": text.rstrip() if column.left else text.strip()}


def _classes(column: Column[Any], style: str = "") -> str:
    """Those of a cell in this style, or of the heading."""
    known = {"dim": column.style == "dim", "left": column.left}
    return " ".join(sorted(style_classes(style) | {name for name, holds in known.items() if holds}))


def _bar(bar: Bar) -> dict[str, Any]:
    """A bar from `x` on, `width` wide, in percent of the room."""
    if not bar.from_middle:
        return {"x": 0, "width": round(100 * min(1.0, max(0.0, bar.share)), 2), "hollow": bar.hollow, "middle": False}
    width = round(50 * min(1.0, abs(bar.share)), 2)
    return {"x": 50 if bar.share >= 0 else 50 - width, "width": width, "hollow": False, "middle": True}


def _course(course: Course) -> dict[str, Any]:
    """Bars beside one another in a room 100 high: the axis in the middle for signed values, otherwise at the bottom."""
    whole = 50 if course.signed else 100
    bars = []
    for value, name in zip(course.values, course.names, strict=True):
        height = round(whole * abs(value) / course.most, 1) if course.most else 0.0
        y = whole if value < 0 else round(whole - height, 1)
        bars.append({"y": y, "height": height, "down": value < 0, "name": name})
    return {"bars": bars, "axis": whole, "room": max(len(bars), course.room)}


def _foot(columns: Sequence[Column[Any]], number: int, name: str) -> dict[str, Any]:
    """The row of all others: its name across the columns that have no foot, then the feet."""
    first = next(i for i, column in enumerate(columns) if column.feet)
    cells = [
        {"text": column.feet[number].strip() if column.feet else "", "classes": _classes(column)}
        for column in columns[first:]
    ]
    return {"name": name, "across": first, "cells": cells}
