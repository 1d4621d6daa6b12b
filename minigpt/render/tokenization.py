"""How a text is tokenized: its tokens and their merges, and the end of a prompt beside other ways to cut it."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.text import Text

from minigpt.render.candidates import PERCENT, next_token_table
from minigpt.render.cells import cell_len
from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols, bytes_label, fit, percent, quantity, quoted, token_label
from minigpt.render.table import Column, Table, bar_column, token_column
from minigpt.sampling.records import ScoredToken, StepRecord
from minigpt.text.records import Token
from minigpt.views import boundary, cut
from minigpt.views.boundary import Boundary
from minigpt.views.cut import CutToken, Merge
from minigpt.views.view import Answer

_LONGEST_TOKEN, _LONGEST_QUOTE = 24, 24  # cells
_INDENT = 4  # before merges
_STEP = "{} + {} {arrow} {} (merge {number:,})"
_NARROWEST = 70  # columns for two lists beside each other
_GAP = 3
_COUNTED = {1: "one token", 2: "two tokens", 3: "three tokens"}

# A prompt whose own tokenization has less than this share gets a note: nearly all that end in a space, most that end
# inside a word, and few that end after a whole one (docs/log.md has the measurements).
DOUBTFUL = 0.2


def cut_table(
    tokens: Sequence[CutToken], sizes: tuple[int, int] | None, screen: Screen, byte_count: int | None = None
) -> Iterator[Text]:
    """A row for each token, and below it the merges that built it. `sizes`: the numbers of tokens and merges in the
    vocabulary. `byte_count`: the size of the text, by default that of the tokens.
    """
    symbols = screen.symbols

    def hexadecimal(token: CutToken, room: int) -> list[str]:
        return list(_wrapped(bytes.fromhex(token.bytes).hex(" ").split(" "), room, " "))

    columns = [
        Column[CutToken]("position", 9, lambda token: f"{token.position:,}", style="dim"),
        Column("id", 10, lambda token: f"{token.id:,}"),
        token_column(screen, most=2 + max(5, min(_LONGEST_TOKEN, (screen.width - 23) // 2))),
        Column("bytes", 4, lambda token: lambda room: hexadecimal(token, room)[0], left=True, fills=True),
    ]
    table = Table(columns, screen, tokens)
    room = table.columns[-1].cells - 2
    yield table.heading()
    for token in tokens:
        yield table.line(token)
        for more in hexadecimal(token, room)[1:]:
            yield Text(" " * (screen.width - room) + more)
        if token.merges:
            steps = [_step(merge, screen.width - _INDENT, symbols) for merge in token.merges]
            for more in _wrapped(steps, screen.width - _INDENT, f" {symbols.dot} "):
                yield Text(" " * _INDENT + more, "dim")
    total = sum(len(token.bytes) for token in tokens) // 2 if byte_count is None else byte_count
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


def boundary_note(end: Boundary, symbols: Symbols = UNICODE) -> str | None:
    """A warning about a prompt whose end the model expected to be tokenized differently; None if there is no reason."""
    if end.share >= DOUBTFUL or not end.longer:
        return None
    piece, longer, cut = _quoted(end, symbols), _quoted(end.longer[0], symbols), percent(end.share)
    is_space = end.text is not None and end.text.isspace()
    return (
        f"the prompt ends in {piece}. Of what begins with it, the model expects {percent(1 - end.share)} to be a "
        f"longer token, most likely {longer}, and only {cut} to end here, so what follows may make no sense. "
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
    title.append(quoted(after, screen.width - cell_len(title.plain), screen.symbols))
    return Text("\n").join([title, table])


def _earlier_table(end: Boundary, screen: Screen) -> Text:
    """The prompt's own tokenization, marked, among the longer tokens; then all others, summed."""
    symbols = screen.symbols
    own = "+".join(token_label(token, symbols) for token in end.tokens)
    rows = [(token_label(token, symbols), token.raw_prob, False) for token in end.longer]
    rows = sorted([*rows, (own, end.raw_prob, True)], key=lambda row: -row[1])
    most = rows[0][1] or 1.0

    def style(row: tuple[str, float, bool]) -> str:
        return "bold green" if row[2] else ""

    columns = [
        Column[tuple[str, float, bool]]("", 2, lambda row: symbols.chosen if row[2] else " ", style=style),
        Column("token", 0, lambda row: row[0], left=True, style=style, least=6, gap=1),
        bar_column(screen, lambda row: row[1] / most),
        Column(
            "probability",
            PERCENT,
            lambda row: percent(row[1]),
            feet=(percent(end.other_longer.raw_prob), percent(end.others.raw_prob)),
        ),
    ]
    table = Table(columns, screen, rows)
    summed = (("other longer ones", end.other_longer.count), ("all others", end.others.count))
    feet = [table.foot(i, f"{name} ({count:,})") for i, (name, count) in enumerate(summed) if count]
    return Text("\n").join([*table.lines(rows), *feet, _caption(end, screen)])


def _caption(end: Boundary, screen: Screen) -> Text:
    piece = _quoted(end, screen.symbols)
    if not end.longer:
        return screen.caption(f"no longer token begins with {piece}", "raw softmax")
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
        row.pad_right(width + _GAP - cell_len(a.plain))
        rows.append(row.append(b) if b.plain else a)
    return Text("\n").join(rows)


def _boundary_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    end = answer.fields["boundary"]
    for record in answer.records:
        if end is None:
            yield next_token_table(record, answer.text, screen)
        else:
            yield boundary_tables(record, end, answer.text, screen)


FACES = (
    Face(view=boundary.VIEW, table=_boundary_table),
    Face(
        view=cut.VIEW,
        table=lambda answer, screen: cut_table(
            tuple(answer.records), answer.facts.get("sizes"), screen, answer.facts.get("bytes")
        ),
    ),
)
