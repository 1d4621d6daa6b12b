"""A table of runs, newest first, in as many columns as fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from rich.cells import cell_len
from rich.text import Text

from minigpt.checkpoint.records import RunSummary
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, byte_count, compact, fit, quantity, safe_text, visible
from minigpt.render.table import Column, fitting, headings, texts, width_of

T = TypeVar("T")

_GAP = 2
_SHORTEST_NAME, _LONGEST_NAME = 8, 28
_NEEDED_NAME = 20  # of a name that is so long, before a column goes
_SHORTEST_TEXT, _LONGEST_TEXT = 11, 24


def runs_table(runs: Sequence[RunSummary], folder: str, screen: Screen) -> Iterator[Text]:
    """A heading, a line for each run, and the problem of a damaged one. `runs`: one or more."""
    columns = _columns(runs, screen)
    width = min(screen.width - 1 - width_of(columns), _name_width(runs, screen.symbols))
    yield Text(f" {fit('name', width, screen.symbols)}{headings(columns)}".rstrip(), "bold")
    for run in runs:
        name = fit(visible(run.name, screen.symbols), width, screen.symbols)
        yield Text(f" {name}{texts(columns, run)}".rstrip(), "dim" if run.problem else "")
        if run.problem:
            yield _indented(screen, f"{safe_text(run.problem)}.")
    yield screen.caption(
        f"{quantity(len(runs), 'model')} in {safe_text(folder)}, {byte_count(sum(run.bytes for run in runs))}",
        "bits per byte of the model that is kept, on its own validation text",
    )


def _name_width(runs: Sequence[RunSummary], symbols: Symbols) -> int:
    return min(_LONGEST_NAME, max([_SHORTEST_NAME, *(cell_len(visible(run.name, symbols)) for run in runs)]))


def _columns(runs: Sequence[RunSummary], screen: Screen) -> list[Column[RunSummary]]:
    """The columns that fit beside the name; the text takes the remaining room, from 11 to 24 cells."""
    symbols = screen.symbols

    def column(
        name: str, text: Callable[[RunSummary], str], drop: int | None = None, *, left: bool = False
    ) -> Column[RunSummary]:
        return Column(name, _GAP + max(map(cell_len, [name, *map(text, runs)])), text, drop, left)

    def source(run: RunSummary) -> str:
        return _or_dash(run.text, lambda text: _last_part(text, symbols))

    text = column("text", source, 4, left=True)
    most, shortest = (min(text.cells, _GAP + cells) for cells in (_LONGEST_TEXT, _SHORTEST_TEXT))
    columns = [
        column("model", lambda run: _shape(run, symbols), 2),
        column("weights", lambda run: _or_dash(run.parameters, compact), 3),
        replace(text, cells=shortest),
        column("steps", lambda run: _or_dash(run.steps, lambda steps: f"{steps:,}"), 6),
        column("bits/byte", lambda run: _or_dash(run.validation_bits_per_byte, lambda bits: f"{bits:.3f}")),
        column("on disk", lambda run: byte_count(run.bytes), 1),
        column("age", lambda run: age(run.age_seconds)),
        column("status", lambda run: visible(run.status, symbols), 5, left=True),
    ]
    room = screen.width - 1 - min(_NEEDED_NAME, _name_width(runs, symbols))
    kept = fitting(columns, room)
    cells = min(most, shortest + room - width_of(kept))
    fitted = replace(text, cells=cells, text=lambda run: fit(source(run), cells - _GAP, symbols))
    return [fitted if column.name == "text" else column for column in kept]


def _indented(screen: Screen, text: str) -> Text:
    inner = Screen(screen.width - _GAP, screen.symbols).caption(text)
    return Text("\n").join(Text(" " * _GAP).append_text(line) for line in inner.split("\n"))


def _shape(run: RunSummary, symbols: Symbols) -> str:
    if run.layers is None or run.width is None:
        return "-"
    kind = "" if run.model in (None, "gpt") else f"{visible(run.model or '', symbols)} "
    return f"{kind}{run.layers} {symbols.times} {run.width}"


def _last_part(text: str, symbols: Symbols) -> str:
    """The last part of a path, which is enough to recognise a file."""
    return visible(text.rstrip("/").rsplit("/", 1)[-1], symbols).replace(symbols.space, " ")


def _or_dash(value: T | None, shown: Callable[[T], str]) -> str:
    return "-" if value is None else shown(value)


def age(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`, `5 weeks`, `14 months`, `3 years`: as precise as people remember."""
    if seconds < 60:
        return f"{max(0, seconds):.0f} s"
    for least, size, unit in ((48, 3600, "h"), (14, 86400, "days"), (9, 604800, "weeks"), (24, 2629800, "months")):
        if seconds < 3600:
            return f"{seconds / 60:.0f} min"
        if seconds < least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 31557600:.0f} years"
