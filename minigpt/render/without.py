"""What comes next without parts of the model or of the text, beside what usually does."""

import csv
import math
from collections.abc import Iterator
from dataclasses import fields
from typing import TextIO

from rich.text import Text

from minigpt.render.candidates import Side, adds_up, question, side_by_side
from minigpt.render.face import Face, each
from minigpt.render.machine import write_rows
from minigpt.render.style import Screen, Symbols, quantity, signed_bits, token_label
from minigpt.render.table import Column, Part
from minigpt.views import without
from minigpt.views.without import ChangedNext, ChangedToken


def changed_table(record: ChangedNext, after: str, screen: Screen) -> Iterator[Part]:
    """A row for each of the likeliest tokens of either: its probability usually, and without. `after`: the text."""
    bits = Column[ChangedToken](
        "bits",
        max([8, *(len(signed_bits(token.change_bits)) + 2 for token in record.candidates)]),
        lambda token: signed_bits(token.change_bits),
        style=lambda token: _change_style(token.change_bits),
    )
    other = record.other
    sides = Side("unchanged", "", other.raw_prob), Side("changed", "changed_", other.changed_raw_prob)
    caption = "The likeliest next tokens, without and with the change"
    yield side_by_side(record.candidates, sides, other.count, screen, caption=caption, more=[bits])
    yield from _captions(record, after, screen)


def _change_style(bits: float) -> str:
    """The colour of a change that can be seen in the numbers."""
    return "magenta" if bits <= -0.005 else "green" if bits >= 0.005 else ""


def _captions(record: ChangedNext, after: str, screen: Screen) -> Iterator[Text]:
    shown = math.fsum(token.raw_prob for token in record.candidates)
    changed = math.fsum(token.changed_raw_prob for token in record.candidates)
    yield screen.caption(question(after, screen), "raw softmax", f"changed: {_what(record, screen.symbols)}")
    yield screen.caption(
        adds_up("unchanged: shown", shown, record.other.raw_prob),
        adds_up("changed: shown", changed, record.other.changed_raw_prob),
    )
    yield screen.caption(
        f"entropy {record.entropy_bits:.2f} and {record.changed_entropy_bits:.2f} bits",
        f"divergence {record.divergence_bits:.3f} bits of the changed from the unchanged, "
        f"{record.changed_divergence_bits:.3f} of the unchanged from the changed",
        "bits: log2(changed / unchanged)",
        f"{quantity(record.unseen, 'token')} before the model's window are not read" if record.unseen else "",
    )


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
        table=each(lambda record, answer, screen: changed_table(record, answer.text, screen)),
        csv=lambda answer, file: write_changed(next(iter(answer.records)), file),
    ),
)
