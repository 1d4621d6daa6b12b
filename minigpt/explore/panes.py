"""The parts of the explorer's screen, as rich Text of a given width and height."""

from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.text import Text

from minigpt.explore.game import guess_label, rules, score_picture, verdict
from minigpt.explore.keys import BROWSE, BROWSE_NARROW, FILE, FIND, GAME, HELP, keys_picture, legend_picture
from minigpt.explore.session import Session
from minigpt.explore.text import text_picture
from minigpt.explore.tree import tree_picture
from minigpt.render.candidates import fewer_candidates, step_table
from minigpt.render.heat import SCALES, UNKNOWN, heat_legend
from minigpt.render.screen import WIDEST, Screen
from minigpt.render.style import UNICODE, Symbols, fit_end, percent, quantity, safe_text, token_label, visible
from minigpt.sampling.records import StepRecord

SMALLEST = (40, 24)  # columns and lines in which everything can be read
NARROW = 64  # columns below which the tree stands under the text
_FEWEST = 3  # candidates, however low the screen
_QUESTIONS = {
    "find": "find",
    "save": "save the tree as a trace, in",
    "export": "write the text up to here, in",
}


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
        if session.mode == "game":
            return (
                screen.caption(verdict(session.rounds[-1], self._symbols))
                if session.rounds
                else Text(" the guessing game", "bold")
            )
        record, count = session.page(0, 1)
        if session.mode == "find":
            return screen.caption(f"{quantity(count, 'token')} with it, the most likely first")
        after = session.after(session.here)
        return screen.caption(
            f"after token {len(session.tree.path(session.here)):,} of {len(session.branch()):,}",
            "" if after is None else f"goes on with {token_label(session.tree.token(after), self._symbols)}",
            "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits",
        )

    def table(self, width: int, height: int) -> Text:
        """The distribution after the current token; in the game, that of the last round, or the rules."""
        session, screen = self._session, self.screen(width)
        if session.mode == "game" and not session.rounds:
            paragraphs = rules(screen, goes_on=session.after(session.here) is not None)
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
        rows = _fitting(record, screen, height)
        return _first_lines(_table(fewer_candidates(record, rows), screen), height)

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
        keys: dict[str, Sequence[tuple[str, str]]] = {
            "browse": BROWSE_NARROW if width < NARROW else BROWSE,
            "find": FIND,
            "save": FILE,
            "export": FILE,
            "game": GAME,
            "help": HELP,
        }
        return keys_picture((("ctrl+c", "quit"),) if small else keys[self._session.mode], width, self._symbols)

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


def _first_lines(text: Text, height: int) -> Text:
    return Text("\n").join(text.split("\n")[: max(1, height)])
