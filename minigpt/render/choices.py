"""The table and the CSV of how probable each of several continuations is."""

import csv
import math
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import bar, fit, following, percent, safe_text, visible
from minigpt.render.table import Column, fitting, headings, texts, width_of
from minigpt.views import choices as choices_view
from minigpt.views.choices import Choice
from minigpt.views.view import Answer


def _share(value: float) -> str:
    """The share as text; one too small for a float is not shown as 0."""
    return percent(value or 1e-300)


_COLUMNS = (
    Column[Choice]("share", 10, lambda choice: _share(choice.share)),
    Column[Choice]("by byte", 10, lambda choice: _share(choice.share_per_byte), drop=2),
    Column[Choice]("nats", 10, lambda choice: f"{choice.total_nats:,.2f}", drop=4),
    Column[Choice]("nats/byte", 11, lambda choice: f"{choice.nats_per_byte:,.4f}", drop=3),
    Column[Choice]("tokens", 8, lambda choice: f"{len(choice.tokens):,}", drop=1),
)
_SHORTEST_LABEL = 9
_SHORTEST_BAR = 4


def choices_table(choices: Sequence[Choice], prompt: str, screen: Screen) -> Text:
    """A row for each choice, in order, and what the shares refer to."""
    columns = fitting(_COLUMNS, screen.width - 1 - _SHORTEST_LABEL)
    labels = [visible(choice.text, screen.symbols) for choice in choices]
    room = screen.width - 1 - width_of(columns)
    width = max(6, min(max(map(cell_len, labels)), max(screen.width // 4, _SHORTEST_LABEL), room))
    bar_width = room - width - 2
    lines = [Text(" choice".ljust(screen.width - width_of(columns)) + headings(columns), "bold")]
    for choice, label in zip(choices, labels, strict=True):
        line = Text(f" {fit(label, width, screen.symbols)}")
        if bar_width >= _SHORTEST_BAR:
            share = choice.share / max(choice.share for choice in choices)
            line.append("  " + bar(share, bar_width, screen.symbols), "cyan")
        lines.append(line.append(texts(columns, choice).rjust(screen.width - line.cell_len)))
    return Text("\n").join([*lines, _caption(choices, prompt, {column.name for column in columns}, screen)])


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


CSV_COLUMNS = (
    *("text", "tokens", "bytes", "raw_prob", "total_nats", "nats_per_byte", "bits_per_byte"),
    *("share", "share_per_byte"),
)


def write_choices_csv(choices: Sequence[Choice], file: TextIO) -> None:
    """A header, then a row for each choice; `tokens` is how many. Control characters in `text` have visible names."""
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
