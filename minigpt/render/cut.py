"""A table of the tokens of a text: their ids, bytes and merges."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, bytes_label, fit, quantity, token_label
from minigpt.views import cut
from minigpt.views.cut import CutToken, Merge
from minigpt.views.view import Answer

_POSITION, _ID = 9, 10  # cells; the second with a gap
_LONGEST_TOKEN = 24
_INDENT = 4  # before merges
_STEP = "{} + {} {arrow} {} (merge {number:,})"


def cut_table(tokens: Sequence[CutToken], sizes: tuple[int, int] | None, screen: Screen) -> Iterator[Text]:
    """A row for each token, and below it the merges that built it. `sizes`: the numbers of tokens and merges in the
    vocabulary.
    """
    symbols = screen.symbols
    labels = [token_label(token, symbols) for token in tokens]
    indent = _POSITION + _ID + 2
    width = max(5, min(max(map(cell_len, labels)), _LONGEST_TOKEN, (screen.width - indent - 2) // 2))
    yield Text(f"{'position':>{_POSITION}}{'id':>{_ID}}  {'token':<{width}}  bytes", "bold")
    for token, label in zip(tokens, labels, strict=True):
        lines = _wrapped(bytes.fromhex(token.bytes).hex(" ").split(" "), screen.width - indent - width - 2, " ")
        line = Text(f"{token.position:>{_POSITION},}", "dim").append(f"{token.id:>{_ID},}", "not dim")
        yield line.append(f"  {fit(label, width, symbols)}  {next(lines)}", "not dim")
        for more in lines:
            yield Text(" " * (indent + width + 2) + more)
        if token.merges:
            steps = [_step(merge, screen.width - _INDENT, symbols) for merge in token.merges]
            for more in _wrapped(steps, screen.width - _INDENT, f" {symbols.dot} "):
                yield Text(" " * _INDENT + more, "dim")
    total = sum(len(token.bytes) for token in tokens) // 2
    yield screen.caption(
        f"{quantity(len(tokens), 'token')}, {quantity(total, 'byte')}: {total / len(tokens):.2f} bytes a token",
        f"vocabulary {sizes[0]:,}, {quantity(sizes[1], 'merge')}" if sizes else "",
        "a merge's number is the order in which it was learned, and in which merges are tried",
    )


def _step(merge: Merge, width: int, symbols: Symbols) -> str:
    """One merge and its number, in at most `width` cells, shortening long names if necessary."""
    labels = [bytes_label(data, symbols) for data in (merge.left, merge.right, merge.left + merge.right)]
    step = _STEP.format(*labels, arrow=symbols.arrow, number=merge.number)
    if cell_len(step) > width:
        room = (width - cell_len(_STEP.format("", "", "", arrow=symbols.arrow, number=merge.number))) // 3
        short = [fit(label, min(cell_len(label), room), symbols) for label in labels]
        step = _STEP.format(*short, arrow=symbols.arrow, number=merge.number)
    return step


def _wrapped(items: Sequence[str], width: int, between: str) -> Iterator[str]:
    """Lines of whole items."""
    line = items[0]
    for item in items[1:]:
        if cell_len(f"{line}{between}{item}") > width:
            yield line
            line = item
        else:
            line = f"{line}{between}{item}"
    yield line


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return cut_table(tuple(answer.records), answer.facts.get("sizes"), screen)


FACES = (Face(view=cut.VIEW, table=_table),)
