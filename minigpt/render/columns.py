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
    """Cells of `mark rank  token  bar  numbers`. The bar takes what is left, and goes where that is under 4."""

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
        """Token and bar together, the room of the `other` row's words."""
        return self.token + (self.bar + 2 if self.bar else 0)


def heading(columns: Columns, *numbers: tuple[str, int], bar: str = "") -> Text:
    """The numbers' names stand over their right edge; a name may reach into the bar's room. Each: (name, cells).
    `bar` says what the bars show, where there are any and it has room above them.
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
    """Mark, rank, token and bar of one candidate; the `longest` bar is of so much, by default of the top row's."""
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
    """The row of everything that is not listed; left out only where everything is."""
    if record.other is None or record.other.count == 0:
        return []
    label = f"other ({quantity(record.other.count, 'token')})"
    if len(label) > columns.both:
        label = f"other {record.other.count:,}"
    return [foot(label, columns, symbols, numbers)]


def foot(label: str, columns: Columns, symbols: Symbols, numbers: str) -> Text:
    """A row without rank, which may begin where a rank would."""
    indent = RANK if len(label) <= columns.both else 2
    return Text(" " * indent + fit(label, RANK - indent + columns.both, symbols) + numbers, "dim")


def counted(record: StepRecord) -> int:
    return len(record.candidates) + (record.other.count if record.other else 0)


def entropy(record: StepRecord) -> str:
    return "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits"


def raw_shown(record: StepRecord) -> float:
    return math.fsum(candidate.raw_prob for candidate in record.candidates)


def adds_up(name: str, shown: float, other: float) -> str:
    """`shown` is added up from the rows, so that the total is a result and not a promise."""
    return f"{name} {percent(shown)} + other {percent(other)} = {100 * (shown + other):.8g} %"
