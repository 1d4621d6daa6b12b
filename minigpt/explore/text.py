"""Draws a text in the colours of its tokens and scrolls to the current one."""

import codecs
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Span, Text

from minigpt.render.style import Symbols, safe_text, token_label
from minigpt.text.records import Token

_HERE = "reverse"


def text_picture(
    nodes: Sequence[int],
    here: int,
    token: Callable[[int], Token],
    style: Callable[[int], str],
    width: int,
    height: int,
    symbols: Symbols,
) -> Text:
    """The lines around node number `here` of `nodes`, which is shown inverted; what follows it is dim.

    `token` and `style` give the token and the colour of a node, and are called only for those in sight.
    """
    most = width * height  # characters, and so tokens, that may be in sight on each side
    first = max(0, here - most)
    tokens = [token(node) for node in nodes[first : here + 1 + most]]
    text = Text()
    for number, piece in enumerate(_pieces(tokens, here - first, symbols), first):
        text.append(piece, str(number))
    lines = text.wrap(Console(width=width), width, overflow="fold")
    at = next(i for i, line in enumerate(lines) if any(span.style == str(here) for span in line.spans))
    start = max(0, min(at - height + 2, len(lines) - height))
    visible = lines[start : start + max(1, height)]

    def colour(span: Span) -> Span:
        number = int(str(span.style))
        return Span(span.start, span.end, _HERE if number == here else "dim" if number > here else style(nodes[number]))

    for line in visible:
        line.spans = [colour(span) for span in line.spans]
    return Text("\n").join(visible)


def _pieces(tokens: Sequence[Token], here: int, symbols: Symbols) -> list[str]:
    """The whole characters that each token adds, safe to show.

    Bytes of an incomplete character are named if nothing completes it, and at `here`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces: list[str] = []
    whole = 0  # pieces up to the last whole character
    for token in tokens:
        pieces.append(safe_text(decoder.decode(bytes.fromhex(token.bytes))).replace("\t", symbols.tab + "   "))
        whole = len(pieces) if not decoder.getstate()[0] else whole
    for number in range(whole, len(tokens)):
        pieces[number] = token_label(tokens[number], symbols)
    pieces[here] = (pieces[here] or token_label(tokens[here], symbols)).replace("\n", symbols.newline + "\n")
    return pieces
