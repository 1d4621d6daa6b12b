"""What comes next without parts of the model or of the text, beside what usually does: a table, and a section."""

import csv
import math
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any, TextIO

from rich.text import Text

from minigpt.render.candidates import PERCENT, adds_up, other_names, question
from minigpt.render.cells import cell_len
from minigpt.render.face import Face
from minigpt.render.html import Section, text_before
from minigpt.render.machine import write_rows
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols, percent, quantity, signed_bits, token_label
from minigpt.render.table import Column, Listing, bar_column
from minigpt.views import without
from minigpt.views.without import ChangedNext, ChangedToken

_SHORTEST_TOKEN = 11  # cells, so that `other 50,257` fits below
_WIDE = 60  # columns, from which ranks and bars are shown


def changed_table(record: ChangedNext, after: str, screen: Screen) -> Text:
    """A row for each of the likeliest tokens of either: its probability usually, and without. `after`: the text."""
    rows, other, most = record.candidates, record.other, _most(record)

    def label(token: ChangedToken) -> str:
        return token_label(token, screen.symbols)

    ranks = max(len(f" #{rank}") for token in rows for rank in (token.rank, token.changed_rank))
    width = max(_SHORTEST_TOKEN, min(screen.width // 4, max(cell_len(label(token)) for token in rows)))
    ranks = ranks if screen.width >= _WIDE else 0

    def numbers(heading: str, prefix: str) -> Iterator[Column[ChangedToken]]:
        share, rank = attrgetter(f"{prefix}raw_prob"), attrgetter(f"{prefix}rank")

        def text(token: ChangedToken) -> str:
            return percent(share(token)) + (f" #{rank(token)}".rjust(ranks) if ranks else "")

        if screen.width >= _WIDE:
            yield bar_column(screen, lambda token: share(token) / most)
        cells = max(PERCENT + ranks, len(heading) + 2)
        yield Column(heading, cells, text, feet=(percent(share(other)) + " " * ranks,))

    columns = [
        Column[ChangedToken]("token", 1 + width, label, left=True, gap=1, least=7),
        *numbers("unchanged", ""),
        *numbers("changed", "changed_"),
        Column[ChangedToken](
            "bits",
            max(8, *(len(signed_bits(token.change_bits)) + 2 for token in rows)),
            lambda token: signed_bits(token.change_bits),
            style=lambda token: change_style(token.change_bits),
        ),
    ]
    table = Listing(columns=columns, rows=rows, screen=screen, caption="", feet=(other_names(other.count),))
    captions = _captions(record, screen.symbols, question(after, screen))
    return Text("\n").join([*table.lines(), *(screen.caption(*parts) for parts in captions)])


def _most(record: ChangedNext) -> float:
    """The share of the longest bar."""
    return max(max(token.raw_prob, token.changed_raw_prob) for token in record.candidates)


def change_style(bits: float) -> str:
    """The colour of a change that can be seen in the numbers."""
    return "magenta" if bits <= -0.005 else "green" if bits >= 0.005 else ""


def _captions(record: ChangedNext, symbols: Symbols, asked: str) -> list[tuple[str, ...]]:
    shown = math.fsum(token.raw_prob for token in record.candidates)
    changed = math.fsum(token.changed_raw_prob for token in record.candidates)
    return [
        (asked, "raw softmax", f"changed: {_what(record, symbols)}"),
        (
            adds_up("unchanged: shown", shown, record.other.raw_prob),
            adds_up("changed: shown", changed, record.other.changed_raw_prob),
        ),
        (
            f"entropy {record.entropy_bits:.2f} and {record.changed_entropy_bits:.2f} bits",
            f"divergence {record.divergence_bits:.3f} bits of the changed from the unchanged, "
            f"{record.changed_divergence_bits:.3f} of the unchanged from the changed",
            "bits: log2(changed / unchanged)",
            f"{quantity(record.unseen, 'token')} before the model's window are not read" if record.unseen else "",
        ),
    ]


def _what(record: ChangedNext, symbols: Symbols) -> str:
    """What is switched off or left out, and how."""
    told = []
    if record.parts:
        mean = "its mean" if len(record.parts) == 1 else "their means"
        how = "zero" if record.ablation == "zero" else f"{mean} over the text"
        told.append(f"{', '.join(part.name for part in record.parts)} set to {how}")
    if record.left_out:
        tokens = ", ".join(f"{token_label(token, symbols)} at position {token.position}" for token in record.left_out)
        told.append(f"the text without {tokens}, whose followers move up")
    return "; ".join(told) or "nothing"


def changed_section(title: str, record: ChangedNext, after: str) -> Section:
    """The same table for a page. `after`: the preceding text."""
    most = _most(record)
    rows = [
        {
            "label": token_label(token),
            "rank": f"{token.rank:,}",
            "changed_rank": f"{token.changed_rank:,}",
            "share": percent(token.raw_prob),
            "changed_share": percent(token.changed_raw_prob),
            "bar": round(100 * token.raw_prob / most, 2),
            "changed_bar": round(100 * token.changed_raw_prob / most, 2),
            "bits": signed_bits(token.change_bits),
            "style": change_style(token.change_bits),
        }
        for token in record.candidates
    ]
    other = record.other
    data: dict[str, Any] = {
        "after": text_before(after),
        "rows": rows,
        "other": other_names(other.count)[0] if other.count else "",
        "other_share": percent(other.raw_prob),
        "other_changed_share": percent(other.changed_raw_prob),
        "captions": [" · ".join(filter(None, parts)) for parts in _captions(record, UNICODE, "")],
    }
    return Section("without", title, data, ())


def write_changed(record: ChangedNext, file: TextIO) -> None:
    """A header, then a row per token; `other` has a row without id."""
    write_rows(ChangedToken, record.candidates, file)
    if record.other.count:
        other = {"text": "other", "raw_prob": record.other.raw_prob, "changed_raw_prob": record.other.changed_raw_prob}
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([other.get(field.name) for field in fields(ChangedToken)])


FACES = (
    Face(
        view=without.VIEW,
        table=lambda answer, screen: (changed_table(record, answer.text, screen) for record in answer.records),
        csv=lambda answer, file: write_changed(next(iter(answer.records)), file),
        section=lambda title, answer: changed_section(title, next(iter(answer.records)), answer.text),
    ),
)
