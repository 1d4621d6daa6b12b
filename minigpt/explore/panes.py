"""The parts of the explorer's screen, as rich Text of a given width and height."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rich.text import Span, Text

from minigpt.explore.game import guess_label, rules, score_picture, verdict
from minigpt.explore.keys import KEYS, keys_picture, legend_picture
from minigpt.explore.session import Session
from minigpt.render.candidates import entropy, fewer_candidates, step_table
from minigpt.render.cells import cell_len, unmeasured, wrapped
from minigpt.render.heat import SCALES, UNKNOWN, heat_legend
from minigpt.render.style import (
    UNICODE,
    WIDEST,
    Screen,
    Symbols,
    fit,
    fit_end,
    percent,
    quantity,
    safe_text,
    token_label,
    visible,
)
from minigpt.sampling.records import StepRecord
from minigpt.sampling.tree import TokenTree
from minigpt.text.records import Token

SMALLEST = (40, 24)  # columns and lines in which everything can be read
NARROW = 64  # columns below which the tree is under the text
_FEWEST = 3  # candidates, however low the screen
_QUESTIONS = {"find": "find", "save": "save the tree as a trace, in", "export": "write the text up to here, in"}


class Panes:
    """Draws the parts of one session's screen."""

    def __init__(self, session: Session, symbols: Symbols = UNICODE) -> None:
        self._session, self._symbols = session, symbols

    def screen(self, width: int) -> Screen:
        return Screen(max(1, min(width, WIDEST)), self._symbols)

    def text(self, width: int, height: int) -> Text:
        """The branch around the current token. In the game, what follows is hidden."""
        session, branch = self._session, self._session.branch()
        here = branch.index(session.here)
        nodes = branch[: here + 1] if session.mode == "game" else branch
        return text_picture(nodes, here, session.tree.token, self._colour, width, height, self._symbols)

    def _colour(self, node: int) -> str:
        if self._session.heat is None:
            return ""
        record = self._session.tree.step(node)
        return UNKNOWN if record is None else SCALES[self._session.heat].style(record)

    def side(self, width: int, height: int) -> Text:
        """The tree; in the game, which it would give away, the score."""
        session = self._session
        if session.mode == "game":
            return score_picture(session.rounds, self.screen(width))
        return tree_picture(session.tree, session.here, session.tip, width, height, self._symbols)

    def title(self, width: int, height: int) -> Text:
        """The title of the list below."""
        session, screen = self._session, self.screen(width)
        if session.mode == "game" and not session.rounds:
            return Text(" the guessing game", "bold")
        if session.mode == "game":
            return screen.caption(verdict(session.rounds[-1], self._symbols))
        record, count = session.page(0, 1)
        if session.mode == "find":
            return screen.caption(f"{quantity(count, 'token')} with it, the most likely first")
        after = session.after(session.here)
        return screen.caption(
            f"after token {len(session.tree.path(session.here)):,} of {len(session.branch()):,}",
            "" if after is None else f"continues with {token_label(session.tree.token(after), self._symbols)}",
            entropy(record),
        )

    def table(self, width: int, height: int) -> Text:
        """The distribution after the current token; in the game, that of the last round, or the rules."""
        session, screen = self._session, self.screen(width)
        if session.mode == "game" and not session.rounds:
            paragraphs = rules(screen, continues=session.after(session.here) is not None)
            apart = Text("\n\n").join(paragraphs)
            return apart if apart.plain.count("\n") < height else Text("\n").join(paragraphs)
        if session.mode == "game":
            record = session.tree.step(session.here)
            assert record is not None, "a round has added a token"
        else:
            # Every page has as many rows as the first one.
            session.rows = _fitting(session.page(0, height)[0], screen, height)
            record, at = session.marked_page()
            record = replace(record, token=record.candidates[at]) if record.candidates else record
        # Textual pads a line by rich's count, and the end of one that is too long would be lost.
        screen = self.screen(width - max((unmeasured(c.text or "") for c in record.candidates), default=0))
        table = _table(fewer_candidates(record, _fitting(record, screen, height)), screen)
        return Text("\n").join(table.split("\n")[: max(1, height)])

    def line(self, width: int, height: int) -> Text:
        """The answer to the last key, the text being typed, or the legend of the colours."""
        session, screen = self._session, self.screen(width)
        lines = [screen.caption(safe_text(session.message))] if session.message else []
        if session.mode in _QUESTIONS:
            lines.append(self._typed_line(_QUESTIONS[session.mode], "", width))
        elif session.mode == "game":
            label = guess_label(session.typed, session.tree.first_token(session.typed), self._symbols)
            lines.append(self._typed_line(f"your guess, with {percent(session.share, 0)} on it", label, width))
        elif session.heat is not None and not lines:
            lines.append(legend_picture(heat_legend(SCALES[session.heat], screen), screen))
        return Text("\n").join(lines)

    def _typed_line(self, question: str, label: str, width: int) -> Text:
        """The question, the end of the typed text, the cursor, and a label if it fits."""
        line = Text().append(f" {question}: ", "bold")
        typed, room = visible(self._session.typed, self._symbols), max(1, width - cell_len(line.plain) - 1)
        line.append(typed if cell_len(typed) <= room else fit_end(typed, room, self._symbols)).append(" ", "reverse")
        return line.append(f"  {label}", "dim") if label and cell_len(f"{line.plain}  {label}") <= width else line

    def keys(self, width: int, *, small: bool = False) -> Text:
        """What the keys do at the moment."""
        mode = "small" if small else self._session.mode
        return keys_picture(KEYS["narrow" if mode == "browse" and width < NARROW else mode], width, self._symbols)

    def too_small(self, columns: int, lines: int) -> Text:
        return self.screen(columns).caption(
            f"This terminal has {columns} columns and {lines} lines. The explorer needs {SMALLEST[0]} and "
            f"{SMALLEST[1]}: make the window larger, or its letters smaller."
        )


def _fitting(record: StepRecord, screen: Screen, height: int) -> int:
    """The number of candidates that the table has room for, at least a few."""
    counts = range(len(record.candidates), _FEWEST, -1)
    fits = (n for n in counts if _table(fewer_candidates(record, n), screen).plain.count("\n") < height)
    return max(1, next(fits, min(_FEWEST, len(record.candidates))))


def _table(record: StepRecord, screen: Screen) -> Text:
    return step_table(record, screen, sums=False)


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
    for number, characters in enumerate(_characters(tokens, here - first, symbols), first):
        text.append(characters, str(number))
    lines = wrapped(text, width)
    at = next(i for i, line in enumerate(lines) if any(span.style == str(here) for span in line.spans))
    start = max(0, min(at - height + 2, len(lines) - height))
    visible = lines[start : start + max(1, height)]

    def look(number: int) -> str:
        return "reverse" if number == here else "dim" if number > here else style(nodes[number])

    for line in visible:
        line.spans = [Span(span.start, span.end, look(int(str(span.style)))) for span in line.spans]
    return Text("\n").join(visible)


def _characters(tokens: Sequence[Token], here: int, symbols: Symbols) -> list[str]:
    """The whole characters that each token adds, safe to show.

    Bytes of an incomplete character are named if nothing completes it, and at `here`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    added: list[str] = []
    whole = 0  # tokens up to the last whole character
    for token in tokens:
        added.append(safe_text(decoder.decode(bytes.fromhex(token.bytes))).replace("\t", symbols.tab + "   "))
        whole = len(added) if not decoder.getstate()[0] else whole
    added[whole:] = [token_label(token, symbols) for token in tokens[whole:]]
    added[here] = (added[here] or token_label(tokens[here], symbols)).replace("\n", symbols.newline + "\n")
    return added


def _stretches(tree: TokenTree) -> Iterator[tuple[list[int], str]]:
    """The nodes of each part of the tree without a fork, from the top down, each before its children, and its stem.

    A stem has a letter a level: B for a branch, L for the last one, | for one that continues further down, or a space.
    """
    waiting = [(0, "")]
    while waiting:
        first, stem = waiting.pop()
        nodes = [first]
        while len(children := tree.children(nodes[-1])) == 1:
            nodes.append(children[0])
        yield nodes, stem
        around = stem.replace("B", "|").replace("L", " ")
        for child in reversed(children):
            waiting.append((child, around + ("L" if child == children[-1] else "B")))


def tree_picture(tree: TokenTree, here: int, tip: int, width: int, height: int, symbols: Symbols) -> Text:
    """The branches around `here`; the one that ends in `tip` is bright, and `here` is marked."""
    current = set(tree.path(tip))
    stretches = list(_stretches(tree))
    at = next(i for i, (nodes, _) in enumerate(stretches) if here in nodes)
    first = max(0, min(at - height // 2, len(stretches) - height))
    lines = []
    for nodes, stem in stretches[first : first + height]:
        marked, bright = here in nodes, nodes[0] in current
        mark = symbols.chosen if marked else " "
        drawn = _drawn(stem, width // 2, symbols)
        label = _label(tree, nodes, width - cell_len(mark + drawn), symbols, from_end=not stem)
        line = Text().append(mark, "bold green").append(drawn, "dim")
        lines.append(line.append(label, "bold green" if marked else "" if bright else "dim"))
    return Text("\n").join(lines)


def _drawn(stem: str, room: int, symbols: Symbols) -> str:
    """The lines before a branch; of very many levels, the last ones."""
    signs = dict(zip("BL|", symbols.tree, strict=True))
    drawn = "".join(signs.get(letter, " ") for letter in stem)
    return drawn if len(drawn) <= room else symbols.ellipsis + drawn[len(drawn) - room + 1 :]


def _label(tree: TokenTree, nodes: Sequence[int], room: int, symbols: Symbols, *, from_end: bool) -> str:
    """As many whole tokens as fit: the last ones of what all branches share, the first ones of a branch."""
    nodes = nodes[::-1] if from_end else nodes
    fitting: list[str] = []
    for i, node in enumerate(nodes):
        label = token_label(tree.token(node), symbols)
        rest = 0 if i == len(nodes) - 1 else cell_len(symbols.ellipsis)
        if cell_len("".join(fitting) + label) + rest > room:
            break
        fitting.append(label)
    if not fitting:
        return fit(token_label(tree.token(nodes[0]), symbols), room, symbols)
    text = "".join(fitting[::-1] if from_end else fitting)
    if len(fitting) == len(nodes):
        return text
    return symbols.ellipsis + text if from_end else text + symbols.ellipsis
