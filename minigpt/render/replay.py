"""The result of a replay, as a sentence or a table."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, fit, quantity, quoted, safe_text, token_label
from minigpt.render.table import Column, fitting, headings, texts, width_of
from minigpt.sampling.records import Candidate, Replay, RescoredToken, Rescoring

_SHORTEST_TOKEN, _SHORTEST_BEFORE = 8, 10


def replay_caption(replay: Replay, screen: Screen) -> Text:
    """The message of a replay that gives the same text: how many tokens, and how far the numbers differ."""
    how = "drawn again, id for id" if replay.drawn else "scored again"
    parts = [f"the same {quantity(replay.tokens, 'token')}, {how}", _differences(replay)]
    return screen.caption(*parts, _changes(replay))


def replay_finding(name: str, replay: Replay, symbols: Symbols) -> str:
    """The message of a replay that gives another text, with the first token that differs."""
    lines = [f"{name} is not reproduced: {_where(replay, symbols)}"]
    before = f"The {quantity(replay.tokens, 'token')} before {'is' if replay.tokens == 1 else 'are'} the same; "
    if replay.divergence is not None:
        lines.append(f"{before}{_differences(replay)}." if replay.tokens else "It is the first one.")
    changed = _changes(replay)
    lines.append(f"Changed since then: {changed}." if changed else "Versions, machine and device are unchanged.")
    return "\n".join(lines)


def _where(replay: Replay, symbols: Symbols) -> str:
    found = replay.divergence
    if found is None:
        return f"{_differences(replay)}, more than rounding explains."
    return (
        f"step {found.step:,} of sample {found.sample} was {_named(found.expected, symbols)}, "
        f"and now it is {_named(found.drawn, symbols)}."
    )


def _named(token: Candidate | None, symbols: Symbols) -> str:
    if token is None:
        return "the end"
    return f"{symbols.quotes[0]}{token_label(token, symbols)}{symbols.quotes[1]} ({token.id})"


def _differences(replay: Replay) -> str:
    if replay.same_numbers:
        return "the largest difference in a probability is 0"
    prob, bits = replay.largest_difference, replay.largest_difference_bits
    return f"the largest difference in a probability is {prob:.2g}, in a surprisal or entropy {bits:.2g} bits"


def _changes(replay: Replay) -> str:
    return ", ".join(f"{change.name} {change.then} then and {change.now} now" for change in replay.changes)


_NUMBERS = (  # A, the trace, and B, the other model
    Column[RescoredToken]("A", 8, lambda row: f"{row.surprisal_bits:.2f}"),
    Column[RescoredToken]("B", 8, lambda row: f"{row.other_surprisal_bits:.2f}"),
    Column[RescoredToken]("A", 8, lambda row: f"{row.rank:,}", drop=1),
    Column[RescoredToken]("B", 8, lambda row: f"{row.other_rank:,}", drop=1),
)


def rescoring_table(rescoring: Rescoring, screen: Screen) -> Iterator[Text]:
    """Two heading lines, a line for each token whose surprisals in A (the trace) and B (the other model) differ most,
    and totals.

    A narrow screen omits the text before the token, and a narrower one the ranks too.
    """
    rows, symbols = rescoring.most_different, screen.symbols
    places = [_place(name, rows) for name in _places(rows)]
    room = screen.width - 1 - width_of(places)
    numbers = fitting(_NUMBERS, room - _SHORTEST_TOKEN)
    room -= width_of(numbers)
    widest = max(5, *(cell_len(token_label(row, symbols)) for row in rows))
    token = max(5, min(widest, max(_SHORTEST_TOKEN, screen.width // 5), room))
    before = room - token - 2
    if len(numbers) < len(_NUMBERS) or before < _SHORTEST_BEFORE:
        before = 0
    names = f" {headings(places)[2:]}  " + (f"{'after':<{before}}  " if before else "") + f"{'token':<{token}}"
    groups = ("surprisal", "rank")[: len(numbers) // 2]
    yield Text(" " * cell_len(names) + "".join(name.rjust(16) for name in groups), "bold")
    yield Text(names + headings(numbers), "bold")
    for row in rows:
        line = Text(f" {texts(places, row)[2:]}  ")
        if before:
            after = quoted(row.before, before, symbols) if row.before else "(nothing)"
            line.append(fit(after, before, symbols) + "  ", "dim")
        yield line.append(fit(token_label(row, symbols), token, symbols), "bold").append(texts(numbers, row))
    yield _totals(rescoring, screen)


def _places(rows: Sequence[RescoredToken]) -> tuple[str, ...]:
    """The one or two columns that locate a token."""
    if any(row.node is not None for row in rows):
        return ("node", "position")
    return ("sample", "position") if any(row.sample for row in rows) else ("position",)


def _place(name: str, rows: Sequence[RescoredToken]) -> Column[RescoredToken]:
    def text(row: RescoredToken) -> str:
        return f"{getattr(row, name):,}"

    return Column(name, 2 + max(len(name), *(len(text(row)) for row in rows)), text)


def _totals(rescoring: Rescoring, screen: Screen) -> Text:
    a, b = safe_text(rescoring.checkpoint), safe_text(rescoring.other_checkpoint)
    shown = len(rescoring.most_different)
    if all(row.surprisal_bits == row.other_surprisal_bits for row in rescoring.most_different):
        which = "A and B differ at no token"
    elif shown == rescoring.tokens:
        which = "all tokens, those first at which A and B differ most"
    else:
        which = f"the {shown:,} of {quantity(rescoring.tokens, 'token')} at which A and B differ most"
    return Text("\n").join(
        [
            screen.caption(f"A {a}, from the trace", f"B {b}, on the same tokens"),
            screen.caption(
                quantity(rescoring.tokens, "token"),
                f"A {rescoring.bits_per_token:.2f} bits per token",
                f"B {rescoring.other_bits_per_token:.2f} bits per token",
            ),
            screen.caption(which, "surprisal in bits, of the raw softmax"),
        ]
    )
