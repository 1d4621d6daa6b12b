"""The table of how probable each of several continuations is."""

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.machine import write_rows
from minigpt.render.style import Screen, following, percent, visible
from minigpt.render.table import Column, Listing, Part, Table, bar_column
from minigpt.views import choices as choices_view
from minigpt.views.choices import Choice


def _share(value: float) -> str:
    """The share as text; one too small for a float is not shown as 0."""
    return percent(value or 1e-300)


def choices_table(choices: Sequence[Choice], prompt: str, screen: Screen, called: str = "choice") -> Iterator[Part]:
    """A row for each choice, in order, and what the shares refer to. `called`: what a choice is."""
    symbols, largest, most = screen.symbols, max(choice.share for choice in choices), 1 + screen.width // 4
    columns = [
        Column[Choice](called, 0, lambda c: visible(c.text, symbols), left=True, least=10, most=most, gap=1),
        bar_column(screen, lambda choice: choice.share / largest),
        Column("share", 10, lambda choice: _share(choice.share)),
        Column("by byte", 10, lambda choice: _share(choice.share_per_byte), drop=2),
        Column("nats", 10, lambda choice: f"{choice.total_nats:,.2f}", drop=4),
        Column("nats/byte", 11, lambda choice: f"{choice.nats_per_byte:,.4f}", drop=3),
        Column("tokens", 8, lambda choice: f"{len(choice.tokens):,}", drop=1),
    ]
    names = {column.heading for column in Table(columns, screen, choices).columns}
    yield Listing(columns=columns, rows=choices, screen=screen, caption=f"The {called}s and their shares")
    yield from _captions(choices, prompt, names, screen, called)


def _captions(choices: Sequence[Choice], prompt: str, columns: set[str], screen: Screen, called: str) -> Iterator[Text]:
    together = _share(math.fsum(choice.raw_prob for choice in choices))
    total = 100 * math.fsum(choice.share for choice in choices)
    yield screen.caption(following(prompt, screen.width - 8, screen.symbols))
    yield screen.caption(
        f"share: of the {together} of raw probability that the {len(choices):,} {called}s have together; shares "
        f"add up to {total:.8g} %",
        "by byte: the same of the probability per byte, where length costs nothing" * ("by byte" in columns),
        f"nats: -ln of the probability of all of a {called}" * ("nats" in columns),
    )


FACES = (
    Face(
        view=choices_view.VIEW,
        table=lambda answer, screen: choices_table(tuple(answer.records), answer.text, screen),
        csv=lambda answer, file: write_rows(Choice, answer.records, file),
    ),
    Face(
        view=choices_view.LABELS,
        table=lambda answer, screen: choices_table(tuple(answer.records), answer.text, screen, "label"),
        csv=lambda answer, file: write_rows(Choice, answer.records, file),
    ),
)
