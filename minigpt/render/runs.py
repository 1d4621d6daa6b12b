"""Runs in, the newest first; a table of them, in as many columns as fit, out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.cells import cell_len
from rich.text import Text

from minigpt.checkpoint.records import RunSummary
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, byte_count, compact, fit, quantity, safe_text, visible

T = TypeVar("T")

_GAP = 2
_SHORTEST_NAME, _LONGEST_NAME = 8, 28
_NEEDED_NAME = 20  # of a name that is so long, before a column goes
_SHORTEST_TEXT, _LONGEST_TEXT = 11, 24


@dataclass(frozen=True)
class _Column:
    """A heading, what stands below it, and whether that is a number, at the right."""

    name: str
    value: Callable[[RunSummary, Symbols], str]
    right: bool = True

    def widest(self, runs: Sequence[RunSummary], symbols: Symbols) -> int:
        return max(cell_len(self.name), *(cell_len(self.value(run, symbols)) for run in runs))


_COLUMNS = (
    _Column("model", lambda run, symbols: _shape(run, symbols)),
    _Column("weights", lambda run, symbols: _or_dash(run.parameters, compact)),
    _Column("text", lambda run, symbols: _or_dash(run.text, lambda text: _last_part(text, symbols)), right=False),
    _Column("steps", lambda run, symbols: _or_dash(run.steps, lambda steps: f"{steps:,}")),
    _Column("bits/byte", lambda run, symbols: _or_dash(run.validation_bits_per_byte, lambda bits: f"{bits:.3f}")),
    _Column("on disk", lambda run, symbols: byte_count(run.bytes)),
    _Column("age", lambda run, symbols: age(run.age_seconds)),
    _Column("status", lambda run, symbols: visible(run.status, symbols), right=False),
)
_FIRST_TO_GO = ("on disk", "model", "weights", "text", "status", "steps")  # where the screen is too narrow


def runs_table(runs: Sequence[RunSummary], folder: str, screen: Screen) -> Iterator[Text]:
    """A heading, a line for each run, and what is wrong with a damaged one. `runs`: one or more."""
    columns = _fitting(runs, screen)
    room = screen.width - 1 - sum(_GAP + cells for _, cells in columns)
    width = min(room, _name_width(runs, screen.symbols))
    head = "".join(_cell(column.name, column, cells, screen) for column, cells in columns)
    yield Text(f" {fit('name', width, screen.symbols)}{head}".rstrip(), "bold")
    for run in runs:
        values = "".join(_cell(column.value(run, screen.symbols), column, cells, screen) for column, cells in columns)
        yield Text(
            f" {fit(visible(run.name, screen.symbols), width, screen.symbols)}{values}".rstrip(),
            "dim" if run.problem else "",
        )
        if run.problem:
            yield _indented(screen, f"{safe_text(run.problem)}.")
    yield screen.caption(
        f"{quantity(len(runs), 'model')} in {safe_text(folder)}, {byte_count(sum(run.bytes for run in runs))}",
        "bits per byte of the model that is kept, on its own validation text",
    )


def _name_width(runs: Sequence[RunSummary], symbols: Symbols) -> int:
    return min(_LONGEST_NAME, max([_SHORTEST_NAME, *(cell_len(visible(run.name, symbols)) for run in runs)]))


def _fitting(runs: Sequence[RunSummary], screen: Screen) -> list[tuple[_Column, int]]:
    """The columns and their cells; the text has what the others leave, from 11 to 24."""
    cells = {column: column.widest(runs, screen.symbols) for column in _COLUMNS}
    text = next(column for column in _COLUMNS if column.name == "text")
    name = min(_NEEDED_NAME, _name_width(runs, screen.symbols))
    most, cells[text] = min(cells[text], _LONGEST_TEXT), min(cells[text], _SHORTEST_TEXT)

    def left() -> int:
        return screen.width - 1 - name - sum(_GAP + width for width in cells.values())

    for gone in _FIRST_TO_GO:
        if left() < 0:
            cells = {column: width for column, width in cells.items() if column.name != gone}
    if text in cells:
        cells[text] = min(most, cells[text] + left())
    return list(cells.items())


def _cell(text: str, column: _Column, cells: int, screen: Screen) -> str:
    fitted = fit(text, cells, screen.symbols)
    return " " * _GAP + (" " * (cells - cell_len(fitted.rstrip())) + fitted.rstrip() if column.right else fitted)


def _indented(screen: Screen, text: str) -> Text:
    inner = Screen(screen.width - _GAP, screen.symbols).caption(text)
    return Text("\n").join(Text(" " * _GAP).append_text(line) for line in inner.split("\n"))


def _shape(run: RunSummary, symbols: Symbols) -> str:
    if run.layers is None or run.width is None:
        return "-"
    kind = "" if run.model in (None, "gpt") else f"{visible(run.model or '', symbols)} "
    return f"{kind}{run.layers} {symbols.times} {run.width}"


def _last_part(text: str, symbols: Symbols) -> str:
    """A file's name is enough to know it by."""
    return visible(text.rstrip("/").rsplit("/", 1)[-1], symbols).replace(symbols.space, " ")


def _or_dash(value: T | None, shown: Callable[[T], str]) -> str:
    return "-" if value is None else shown(value)


def age(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`, `5 weeks`, `14 months`, `3 years`: as much as one remembers."""
    if seconds < 60:
        return f"{max(0, seconds):.0f} s"
    for least, size, unit in ((48, 3600, "h"), (14, 86400, "days"), (9, 604800, "weeks"), (24, 2629800, "months")):
        if seconds < 3600:
            return f"{seconds / 60:.0f} min"
        if seconds < least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 31557600:.0f} years"
