"""How a text is tokenized: its tokens and their merges, and the end of a prompt beside other ways to cut it."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from rich.text import Text

from minigpt.render.candidates import PERCENT, next_token_table
from minigpt.render.cells import beside, cell_len
from minigpt.render.face import Face
from minigpt.render.style import (
    UNICODE,
    WIDEST,
    Screen,
    Symbols,
    bytes_label,
    fit,
    percent,
    quantity,
    quoted,
    token_label,
)
from minigpt.render.table import Column, Listing, Part, bar_column, lines, token_column
from minigpt.render.table_page import tables_section
from minigpt.sampling.records import ScoredToken, StepRecord
from minigpt.text.records import Token
from minigpt.views import tokenization
from minigpt.views.tokenization import Boundary, CutToken, Merge
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
) -> Iterator[Part]:
    """A row for each token, and below it the merges that built it. `sizes`: the numbers of tokens and merges in the
    vocabulary. `byte_count`: the size of the text, by default that of the tokens.
    """
    symbols = screen.symbols

    def hexadecimal(token: CutToken) -> Callable[[int], str]:
        return lambda room: _wrapped(bytes.fromhex(token.bytes).hex(" ").split(" "), room, " ")

    def merges(token: CutToken) -> Callable[[int], str]:
        between = f" {symbols.dot} "
        return lambda room: _wrapped([_step(merge, room, symbols) for merge in token.merges] or [""], room, between)

    columns = [
        Column[CutToken]("position", 9, lambda token: f"{token.position:,}", style="dim"),
        Column("id", 10, lambda token: f"{token.id:,}"),
        token_column(screen, most=2 + max(5, min(_LONGEST_TOKEN, (screen.width - 23) // 2))),
        Column("bytes", 4, hexadecimal, left=True, fills=True),
    ]
    yield Listing(
        columns=columns,
        rows=tokens,
        screen=screen,
        caption="The tokens of the text",
        below=Column("", 5, merges, left=True, style="dim", fills=True, gap=_INDENT, title="merges"),
    )
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


def _wrapped(items: Sequence[str], width: int, between: str) -> str:
    """Lines of whole items."""
    lines = [items[0]]
    for item in items[1:]:
        if cell_len(f"{lines[-1]}{between}{item}") > width:
            lines.append(item)
        else:
            lines[-1] += between + item
    return "\n".join(lines)


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
    wide = screen.width >= _NARROWEST
    half = Screen((screen.width - _GAP) // 2, screen.symbols) if wide else screen
    given, earlier = (Text("\n").join(lines(parts)) for parts in _both(record, end, prompt, half))
    if wide:
        return Text("\n").join(beside(given.split("\n"), earlier.split("\n"), half.width + _GAP))
    return Text("\n\n").join([given, earlier])


def _both(record: StepRecord, end: Boundary, prompt: str, screen: Screen) -> tuple[list[Part], list[Part]]:
    given = [_title("as given", prompt, screen), *next_token_table(record, prompt, screen)]
    before = prompt.encode()[: -(len(end.bytes) // 2)].decode("utf-8", "replace")
    earlier = [_title(f"{_COUNTED[len(end.tokens)]} earlier", before, screen), *_earlier_table(end, screen)]
    return given, earlier


def _title(name: str, after: str, screen: Screen) -> Text:
    title = Text(f" {name}, after ", "bold")
    return title.append(quoted(after, screen.width - cell_len(title.plain), screen.symbols))


def _earlier_table(end: Boundary, screen: Screen) -> Iterator[Part]:
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
    summed = (("other longer ones", end.other_longer.count), ("all others", end.others.count))
    feet = [(f"{name} ({count:,})",) if count else () for name, count in summed]
    caption = "What was predicted in place of the last piece"
    yield Listing(columns=columns, rows=rows, screen=screen, caption=caption, feet=feet)
    yield from _captions(end, screen)


def _captions(end: Boundary, screen: Screen) -> Iterator[Text]:
    piece = _quoted(end, screen.symbols)
    if not end.longer:
        yield screen.caption(f"no longer token begins with {piece}", "raw softmax")
        return
    longer = math.fsum([end.other_longer.raw_prob, *(token.raw_prob for token in end.longer)])
    total = 100 * (end.raw_prob + longer + end.others.raw_prob)
    yield screen.caption(f"of what begins with {piece}, {percent(end.share)} is cut as given")
    yield screen.caption(
        f"raw softmax: as given {percent(end.raw_prob)} + longer {percent(longer)} + all others "
        f"{percent(end.others.raw_prob)} = {total:.8g} %"
    )


def _quoted(piece: Boundary | ScoredToken, symbols: Symbols) -> str:
    label = token_label(Token(id=0, text=piece.text, bytes=piece.bytes), symbols)
    return symbols.quote(fit(label, _LONGEST_QUOTE, symbols).rstrip())


def _boundary_table(answer: Answer, screen: Screen, *, on_page: bool = False) -> Iterator[Part]:
    """The two lists; one below the other on a page, which has no lines in which both could stand."""
    end = answer.fields["boundary"]
    for record in answer.records:
        if end is None:
            yield from next_token_table(record, answer.text, screen)
        elif on_page:
            yield from chain(*_both(record, end, answer.text, screen))
        else:
            yield boundary_tables(record, end, answer.text, screen)


FACES = (
    Face(
        view=tokenization.BOUNDARY,
        table=_boundary_table,
        section=lambda title, answer: tables_section(title, _boundary_table(answer, Screen(WIDEST), on_page=True)),
    ),
    Face(
        view=tokenization.VIEW,
        table=lambda answer, screen: cut_table(
            tuple(answer.records), answer.facts.get("sizes"), screen, answer.facts.get("bytes")
        ),
    ),
)
