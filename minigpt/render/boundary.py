"""How the end of a prompt is tokenized: a sentence, and the two distributions side by side."""

import math
from collections.abc import Iterator
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols, bar, fit, percent, quoted, token_label
from minigpt.render.tables import next_token_table
from minigpt.sampling.records import Other, ScoredToken, StepRecord
from minigpt.text.records import Token
from minigpt.views import boundary
from minigpt.views.boundary import Boundary
from minigpt.views.view import Answer

_NARROWEST = 70  # columns for two lists beside each other
_GAP = 3
_PERCENT = 9  # cells for `100.00 %` and a gap
_SHORTEST_BAR = 4
_LONGEST_QUOTE = 24  # cells
_COUNTED = {1: "one token", 2: "two tokens", 3: "three tokens"}

# The share of its own cut below which a prompt is told of. Of the text that a model of 4 x 128 and vocabulary 1,024
# learned from, cut at a thousand random places of each kind (of the GPL, which it does not know), that is 99.7 %
# (98.9 %) of the prompts that end in a space, 74 % (59 %) of those inside a word, and 1.1 % (4.8 %) of those after a
# whole one. One half would tell of 79 % (68 %) inside a word, and of 2.6 % (10 %) after a whole one, " a" above all: it
# may become " an" or " and".
DOUBTFUL = 0.2


def boundary_note(end: Boundary, symbols: Symbols = UNICODE) -> str | None:
    """A warning about a prompt whose end the model expected to be tokenized differently; None if there is no reason."""
    if end.share >= DOUBTFUL or not end.longer:
        return None
    piece, longer, cut = _quoted(end, symbols), _quoted(end.longer[0], symbols), percent(end.share)
    is_space = end.text is not None and end.text.isspace()
    return (
        f"the prompt ends in {piece}. Of what begins so, the model expects {percent(1 - end.share)} to be a longer "
        f"token, {longer} first, and {cut} to be cut here: what follows may make no sense. "
        f"{'Leave it out' if is_space else 'Complete it, or end before it'}; --boundary shows both."
    )


def boundary_tables(record: StepRecord, end: Boundary, prompt: str, screen: Screen) -> Text:
    """What follows the prompt as given (`record`), and what was predicted before its last piece, each summing to 100 %.

    Side by side from 70 columns on, otherwise one below the other.
    """
    beside = screen.width >= _NARROWEST
    half = Screen((screen.width - _GAP) // 2, screen.symbols) if beside else screen
    given = _titled("as given", prompt, next_token_table(record, prompt, half), half)
    before = prompt.encode()[: -(len(end.bytes) // 2)].decode("utf-8", "replace")
    earlier = _titled(f"{_COUNTED[len(end.tokens)]} earlier", before, _earlier_table(end, half), half)
    if beside:
        return _beside(given, earlier, half.width)
    return Text("\n\n").join([given, earlier])


def _titled(name: str, after: str, table: Text, screen: Screen) -> Text:
    title = Text(f" {name}, after ", "bold")
    title.append(quoted(after, screen.width - title.cell_len, screen.symbols))
    return Text("\n").join([title, table])


def _earlier_table(end: Boundary, screen: Screen) -> Text:
    """The prompt's own tokenization, marked, among the longer tokens; then all others, summed."""
    symbols = screen.symbols
    own = "+".join(token_label(token, symbols) for token in end.tokens)
    rows = [(token_label(token, symbols), token.raw_prob, False) for token in end.longer]
    rows = sorted([*rows, (own, end.raw_prob, True)], key=lambda row: -row[1])
    label = max(5, min(max(cell_len(name) for name, _, _ in rows), screen.width - 3 - _PERCENT))
    room = screen.width - 5 - label - _PERCENT
    lines = [Text("   token" + "probability".rjust(screen.width - 8), "bold")]
    for name, share, mine in rows:
        line = Text().append(f" {symbols.chosen if mine else ' '} ", "bold green")
        line.append(fit(name, label, symbols), "bold green" if mine else "")
        if room >= _SHORTEST_BAR:
            line.append("  " + bar(share / (rows[0][1] or 1.0), room, symbols), "cyan")
        lines.append(line.append(percent(share).rjust(screen.width - cell_len(line.plain))))
    lines += _summed("other longer ones", end.other_longer, screen)
    lines += _summed("all others", end.others, screen)
    return Text("\n").join([*lines, _caption(end, screen)])


def _summed(name: str, other: Other, screen: Screen) -> list[Text]:
    if other.count == 0:
        return []
    label = fit(f"   {name} ({other.count:,})", screen.width - _PERCENT, screen.symbols)
    return [Text(label + percent(other.raw_prob).rjust(_PERCENT), "dim")]


def _caption(end: Boundary, screen: Screen) -> Text:
    piece = _quoted(end, screen.symbols)
    if not end.longer:
        return screen.caption(f"no token begins with {piece} and goes on", "raw softmax")
    longer = math.fsum([end.other_longer.raw_prob, *(token.raw_prob for token in end.longer)])
    total = 100 * (end.raw_prob + longer + end.others.raw_prob)
    return Text("\n").join(
        [
            screen.caption(f"of what begins with {piece}, {percent(end.share)} is cut as given"),
            screen.caption(
                f"raw softmax: as given {percent(end.raw_prob)} + longer {percent(longer)} + all others "
                f"{percent(end.others.raw_prob)} = {total:.8g} %"
            ),
        ]
    )


def _quoted(piece: Boundary | ScoredToken, symbols: Symbols) -> str:
    label = token_label(Token(id=0, text=piece.text, bytes=piece.bytes), symbols)
    shown = fit(label, _LONGEST_QUOTE, symbols).rstrip()
    return symbols.quotes[0] + shown + symbols.quotes[1]


def _beside(left: Text, right: Text, width: int) -> Text:
    """Join two tables line by line, the left one padded to `width` cells."""
    rows = []
    for a, b in zip_longest(left.split("\n"), right.split("\n"), fillvalue=Text()):
        row = a.copy()
        row.pad_right(width + _GAP - a.cell_len)
        rows.append(row.append(b) if b.plain else a)
    return Text("\n").join(rows)


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    end = answer.fields["boundary"]
    for record in answer.records:
        if end is None:
            yield next_token_table(record, answer.text, screen)
        else:
            yield boundary_tables(record, end, answer.text, screen)


FACES = (Face(view=boundary.VIEW, table=_table),)
