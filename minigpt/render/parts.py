"""What each part of a model contributes to the next token: a table with bars to both sides, and a page's section."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.text import Text

from minigpt.render.candidates import explained, question
from minigpt.render.face import Face
from minigpt.render.machine import write_rows
from minigpt.render.style import WIDEST, Screen, or_dash, quantity, signed_bits
from minigpt.render.table import Bar, Column, Listing, Part
from minigpt.render.table_page import tables_section
from minigpt.views import parts
from minigpt.views.parts import PartsWorth, PartWorth
from minigpt.views.view import Answer

_NAME = 20  # cells for `position embedding` and gaps
_NUMBER = 9  # cells, for most numbers
_WIDE = 60  # columns, from which bars are shown


@dataclass(frozen=True)
class _Row:
    """A line of the table: some parts together, and what they add; and how the token changes without a single one."""

    name: str
    adds: float
    bits: float | None = None


def _rows(record: PartsWorth, top: int | None = None) -> list[_Row]:
    """The `top` parts that can be switched off, the rest of them together, and the others by their kind; or all parts,
    each in a row.
    """
    if top is None:
        return [_Row(part.part.name, part.contribution, part.change_bits) for part in record.parts]
    movable = [part for part in record.parts if part.change_bits is not None]
    rows = [_Row(part.part.name, part.contribution, part.change_bits) for part in movable[:top]]
    if rest := movable[top:]:
        rows.append(_Row(f"other ({quantity(len(rest), 'part')})", _sum(rest)))
    for kind, name in _FIXED.items():
        rows.append(_Row(name, _sum([part for part in record.parts if part.kind == kind])))
    return rows


_FIXED = {
    "token_embedding": "token embedding",
    "position_embedding": "position embedding",
    "attention_bias": "attention biases",
    "final_norm_bias": "final norm bias",
}


def _sum(some: list[PartWorth]) -> float:
    return math.fsum(part.contribution for part in some)


def parts_table(record: PartsWorth, after: str, screen: Screen, top: int | None = 10) -> Iterator[Part]:
    """A row for each of the `top` parts, or of all, with bars to both sides; then the others, and the sum. `after`: the
    text.
    """
    rows = _rows(record, top)
    total = _Row("the logit", record.contribution_sum)
    shown = [*rows, total]
    adds = max(_NUMBER, *(len(signed_bits(row.adds)) + 2 for row in shown))
    bits = max(_NUMBER, *(len(signed_bits(row.bits or 0.0)) + 2 for row in rows))
    side = (screen.width - _NAME - adds - bits) // 4 - 2 if screen.width >= _WIDE else 0

    def bold(row: _Row) -> str:
        return "bold" if row is total else ""

    def bars(number: Callable[[_Row], float | None]) -> Iterator[Column[_Row]]:
        most = max(abs(number(row) or 0.0) for row in rows) or 1.0

        def bar(row: _Row) -> str | Bar:
            share = None if row is total else number(row)
            return "" if share is None else Bar(share / most, screen.symbols, from_middle=True)

        if side > 0:
            yield Column(
                "", 2 * side + 3, bar, left=True, style=lambda row: "cyan" if (number(row) or 0) > 0 else "magenta"
            )

    columns = [
        Column[_Row]("part", _NAME, lambda row: row.name, left=True, style=bold, gap=1),
        Column("adds", adds, lambda row: signed_bits(row.adds), style=bold),
        *bars(lambda row: row.adds),
        Column("bits", bits, lambda row: "" if row is total else or_dash(row.bits, signed_bits)),
        *bars(lambda row: row.bits),
    ]
    yield Listing(columns=columns, rows=shown, screen=screen, caption="Each part, and what changes without it")
    yield from _captions(record, after, screen)
    if top is not None and sum(part.kind == "attention_bias" for part in record.parts) > 1:
        yield screen.caption(f"{_FIXED['attention_bias']}: the attention bias of every layer, together")


def _captions(record: PartsWorth, after: str, screen: Screen) -> Iterator[Text]:
    how = "zero" if record.ablation == "zero" else "its mean over the text"
    yield screen.caption(
        question(after, screen),
        explained(record.token, screen.symbols),
        f"{quantity(record.unseen, 'token')} before the model's window are not read" if record.unseen else "",
    )
    yield screen.caption(
        "adds: to its logit, directly, through the final norm with its mean and scale frozen",
        f"all parts add up to {record.contribution_sum:.4f}, and the model's logit is {record.token.logit:.4f}",
        "a logit counts only in comparison with those of other tokens",
    )
    yield screen.caption(
        f"bits: log2 of its probability with the part set to {how}, less that of now",
        "the bits do not add up, because parts act together",
    )


def _tables(answer: Answer, screen: Screen, top: int | None) -> Iterator[Part]:
    for record in answer.records:
        yield from parts_table(record, answer.text, screen, top)


FACES = (
    Face(
        view=parts.VIEW,
        table=lambda answer, screen: _tables(answer, screen, answer.facts.get("top", parts.VIEW.usual_top)),
        csv=lambda answer, file: write_rows(PartWorth, next(iter(answer.records)).parts, file),
        section=lambda title, answer: tables_section(title, _tables(answer, Screen(WIDEST), None)),
    ),
)
