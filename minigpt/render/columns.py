"""The rows of a list of candidates: mark, rank, token, bar, and numbers that other files choose."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, bar, fit, percent, quantity
from minigpt.sampling.records import Candidate, StepRecord

RANK = 7  # cells for the mark, the rank and a gap
PERCENT = 9  # cells for `100.00 %` and a gap
_SHORTEST_BAR = 4


@dataclass(frozen=True)
class Columns:
    """The widths of `mark rank  token  bar  numbers`. The bar takes the rest, and is dropped below 4 cells."""

    token: int
    bar: int

    @classmethod
    def fitting(cls, labels: Iterable[str], screen: Screen, numbers: int) -> "Columns":
        room = screen.width - RANK - numbers
        token = max(5, min(max(map(cell_len, labels), default=5), max(screen.width // 4, 8), room))
        rest = room - token - 2
        return cls(token, rest) if rest >= _SHORTEST_BAR else cls(max(5, room), 0)

    @property
    def both(self) -> int:
        """The width of token and bar together, for the words of the `other` row."""
        return self.token + (self.bar + 2 if self.bar else 0)


def heading(columns: Columns, *numbers: tuple[str, int], bar: str = "") -> Text:
    """The names of the numbers, right-aligned over their columns; a name may extend into the bar's. Each: (name,
    cells).

    `bar` says what the bars show, if there are any and there is room.
    """
    line, width = " rank  token", RANK + columns.both + sum(cells for _, cells in numbers)
    right = "".join(name.rjust(cells) for name, cells in numbers).lstrip()
    named = f"{line:<{RANK + columns.token}}  {bar}"
    if bar and columns.bar and len(named) < width - len(right):
        line = named
    return Text(line + right.rjust(max(width - len(line), len(right) + 1)), "bold")


def row(
    record: StepRecord, candidate: Candidate, label: str, columns: Columns, symbols: Symbols, longest: float = 0.0
) -> Text:
    """Mark, rank, token and bar of one candidate; the `longest` bar stands for this share, by default the top row's."""
    chosen = record.token is not None and candidate.id == record.token.id
    cut = candidate.cut_by is not None
    rank = f"{candidate.rank:>4,}" if candidate.rank < 10_000 else f"{candidate.rank}"
    line = Text().append(symbols.chosen if chosen else " ", "bold green")  # not the style of the whole line
    line.append(f"{rank:<{RANK - 1}}", "dim" if cut else "")
    line.append(fit(label, columns.token, symbols), "bold green" if chosen else "dim" if cut else "")
    if columns.bar:
        share = candidate.raw_prob / (longest or record.candidates[0].raw_prob)
        line.append("  " + bar(share, columns.bar, symbols, hollow=cut), "dim" if cut else "cyan")
    return line


def other_row(record: StepRecord, columns: Columns, symbols: Symbols, numbers: str) -> list[Text]:
    """The row for everything that is not listed; omitted only if everything is."""
    if record.other is None or record.other.count == 0:
        return []
    label = f"other ({quantity(record.other.count, 'token')})"
    if len(label) > columns.both:
        label = f"other {record.other.count:,}"
    return [foot(label, columns, symbols, numbers)]


def foot(label: str, columns: Columns, symbols: Symbols, numbers: str) -> Text:
    """A row without a rank, which may start in the rank's column."""
    indent = RANK if len(label) <= columns.both else 2
    return Text(" " * indent + fit(label, RANK - indent + columns.both, symbols) + numbers, "dim")


def counted(record: StepRecord) -> int:
    return len(record.candidates) + (record.other.count if record.other else 0)


def entropy(record: StepRecord) -> str:
    return "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits"


def raw_shown(record: StepRecord) -> float:
    return math.fsum(candidate.raw_prob for candidate in record.candidates)


def adds_up(name: str, shown: float, other: float) -> str:
    """`shown` is summed over the printed rows, so the total is a result rather than a promise."""
    return f"{name} {percent(shown)} + other {percent(other)} = {100 * (shown + other):.8g} %"
