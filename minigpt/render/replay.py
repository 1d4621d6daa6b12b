"""How a replay went in; the sentence or the table that says it, as rich Text of a given width, out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, fit, quantity, quoted, safe_text, token_label
from minigpt.sampling.records import Candidate, Replay, RescoredToken, Rescoring

_NUMBER = 8  # cells for a surprisal or a rank, with its gap
_NUMBERS, _FEWER_NUMBERS = 4 * _NUMBER, 2 * _NUMBER  # two of each; without the ranks
_SHORTEST_TOKEN, _SHORTEST_BEFORE = 8, 10


def replay_caption(replay: Replay, screen: Screen) -> Text:
    """That the same came out: how many tokens, and how far the numbers are apart."""
    how = "drawn again, id for id" if replay.drawn else "scored again"
    parts = [f"the same {quantity(replay.tokens, 'token')}, {how}", _differences(replay)]
    return screen.caption(*parts, _changes(replay))


def replay_finding(name: str, replay: Replay, symbols: Symbols) -> str:
    """That something else came out, and where: a message of a few lines."""
    lines = [f"{name} does not come out again: {_where(replay, symbols)}"]
    before = f"The {quantity(replay.tokens, 'token')} before {'is' if replay.tokens == 1 else 'are'} the same; "
    if replay.divergence is not None:
        lines.append(f"{before}{_differences(replay)}." if replay.tokens else "It is the first one.")
    changed = _changes(replay)
    lines.append(f"Not as it was: {changed}." if changed else "Versions, machine and device are the same as then.")
    return "\n".join(lines)


def _where(replay: Replay, symbols: Symbols) -> str:
    found = replay.divergence
    if found is None:
        return f"{_differences(replay)}, more than rounding makes."
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


@dataclass(frozen=True)
class _Columns:
    """Cells of `places  before  token  numbers`; a narrow screen has no `before`, a narrower one no ranks.

    `places` are one or two columns that say where a token stands.
    """

    places: dict[str, int]
    before: int
    token: int
    ranks: bool

    @classmethod
    def fitting(cls, rescoring: Rescoring, screen: Screen) -> "_Columns":
        rows = rescoring.most_different
        places = {name: max(len(name), *(len(_place(row, name)) for row in rows)) for name in _places(rows)}
        room = screen.width - 1 - sum(places.values()) - 2 * len(places)
        ranks = room >= _SHORTEST_TOKEN + _NUMBERS
        room -= _NUMBERS if ranks else _FEWER_NUMBERS
        widest = max(5, *(cell_len(token_label(row, screen.symbols)) for row in rows))
        token = max(5, min(widest, max(_SHORTEST_TOKEN, screen.width // 5), room))
        before = room - token - 2
        return cls(places, before if ranks and before >= _SHORTEST_BEFORE else 0, token, ranks)

    @property
    def left(self) -> int:
        """What stands before the numbers."""
        return (
            1 + sum(self.places.values()) + 2 * len(self.places) + (self.before + 2 if self.before else 0) + self.token
        )


def _places(rows: Sequence[RescoredToken]) -> tuple[str, ...]:
    if any(row.node is not None for row in rows):
        return ("node", "position")
    return ("sample", "position") if any(row.sample for row in rows) else ("position",)


def _place(row: RescoredToken, name: str) -> str:
    return f"{getattr(row, name):,}"


def rescoring_table(rescoring: Rescoring, screen: Screen) -> Iterator[Text]:
    """Two heading lines, a line for each token at which A, the trace, and B, the other model, differ most, totals."""
    columns = _Columns.fitting(rescoring, screen)
    groups = ("surprisal", "rank") if columns.ranks else ("surprisal",)
    yield Text(" " * columns.left + "".join(name.rjust(2 * _NUMBER) for name in groups), "bold")
    names = "".join(f"{name:>{cells}}  " for name, cells in columns.places.items())
    names += f"{'after':<{columns.before}}  " if columns.before else ""
    yield Text(
        f" {names}{'token':<{columns.token}}" + "".join(n.rjust(_NUMBER) for n in ("A", "B") * len(groups)), "bold"
    )
    for row in rescoring.most_different:
        yield _row(row, columns, screen.symbols)
    yield _totals(rescoring, screen)


def _row(row: RescoredToken, columns: _Columns, symbols: Symbols) -> Text:
    line = Text(" " + "".join(f"{_place(row, name):>{cells}}  " for name, cells in columns.places.items()))
    if columns.before:
        before = quoted(row.before, columns.before, symbols) if row.before else "(nothing)"
        line.append(fit(before, columns.before, symbols) + "  ", "dim")
    line.append(fit(token_label(row, symbols), columns.token, symbols), "bold")
    line.append(f"{row.surprisal_bits:>{_NUMBER}.2f}{row.other_surprisal_bits:>{_NUMBER}.2f}")
    if columns.ranks:
        line.append(f"{row.rank:>{_NUMBER},}{row.other_rank:>{_NUMBER},}")
    return line


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
