"""Choices in; a table of how probable each is, alone and among them, out; also as CSV."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import bar, fit, following, percent, safe_text, visible
from minigpt.views import choices as choices_view
from minigpt.views.choices import Choice
from minigpt.views.view import Answer


def _share(value: float) -> str:
    """What is too small for a float is not nothing."""
    return percent(value or 1e-300)


_COLUMNS: tuple[tuple[str, int, Callable[[Choice], str]], ...] = (  # name, cells with a gap, number
    ("share", 10, lambda choice: _share(choice.share)),
    ("by byte", 10, lambda choice: _share(choice.share_per_byte)),
    ("nats", 10, lambda choice: f"{choice.total_nats:,.2f}"),
    ("nats/byte", 11, lambda choice: f"{choice.nats_per_byte:,.4f}"),
    ("tokens", 8, lambda choice: f"{len(choice.tokens):,}"),
)
_FIRST_TO_GO = ("tokens", "by byte", "nats/byte", "nats")  # where the screen is too narrow
_SHORTEST_LABEL = 9
_SHORTEST_BAR = 4


def choices_table(choices: Sequence[Choice], prompt: str, screen: Screen) -> Text:
    """A row for each choice, in their order, and what the shares are shares of."""
    columns = list(_COLUMNS)
    for gone in _FIRST_TO_GO:
        if screen.width - 1 - _cells(columns) < _SHORTEST_LABEL:
            columns = [column for column in columns if column[0] != gone]
    labels = [visible(choice.text, screen.symbols) for choice in choices]
    room = screen.width - 1 - _cells(columns)
    width = max(6, min(max(map(cell_len, labels)), max(screen.width // 4, _SHORTEST_LABEL), room))
    bar_width = room - width - 2
    heading = "".join(name.rjust(cells) for name, cells, _ in columns)
    lines = [Text(" choice".ljust(screen.width - cell_len(heading)) + heading, "bold")]
    for choice, label in zip(choices, labels, strict=True):
        line = Text(f" {fit(label, width, screen.symbols)}")
        if bar_width >= _SHORTEST_BAR:
            share = choice.share / max(choice.share for choice in choices)
            line.append("  " + bar(share, bar_width, screen.symbols), "cyan")
        numbers = "".join(number(choice).rjust(cells) for _, cells, number in columns)
        lines.append(line.append(numbers.rjust(screen.width - line.cell_len)))
    return Text("\n").join([*lines, _caption(choices, prompt, {name for name, _, _ in columns}, screen)])


def _caption(choices: Sequence[Choice], prompt: str, columns: set[str], screen: Screen) -> Text:
    together = _share(math.fsum(choice.raw_prob for choice in choices))
    total = 100 * math.fsum(choice.share for choice in choices)
    return Text("\n").join(
        [
            screen.caption(following(prompt, screen.width - 8, screen.symbols)),
            screen.caption(
                f"share: of the {together} of raw probability that the {len(choices):,} choices have together; shares "
                f"add up to {total:.8g} %",
                "by byte: the same of the probability per byte, where length costs nothing" * ("by byte" in columns),
                "nats: -ln of the probability of all of a choice" * ("nats" in columns),
            ),
        ]
    )


def _cells(columns: Sequence[tuple[str, int, Callable[[Choice], str]]]) -> int:
    return sum(cells for _, cells, _ in columns)


CSV_COLUMNS = (
    *("text", "tokens", "bytes", "raw_prob", "total_nats", "nats_per_byte", "bits_per_byte"),
    *("share", "share_per_byte"),
)


def write_choices_csv(choices: Sequence[Choice], file: TextIO) -> None:
    """A header, then a row for each choice; `tokens` is how many. In `text`, controls have visible names."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for choice in choices:
        own = {"text": safe_text(choice.text), "tokens": len(choice.tokens)}
        writer.writerow([own[name] if name in own else getattr(choice, name) for name in CSV_COLUMNS])


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    yield choices_table(tuple(answer.records), answer.text, screen)


def _csv(answer: Answer, file: TextIO) -> None:
    write_choices_csv(tuple(answer.records), file)


FACES = (Face(view=choices_view.VIEW, table=_table, csv=_csv),)
