"""The explorer's keys: those that work at the moment, the settings they change, and the help that explains them."""

import math
from collections.abc import Sequence

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.style import UNICODE, Screen, Symbols
from minigpt.settings import FILTERS, SampleConfig

KEYS = {  # by mode
    "browse": "↑↓: choose · enter: append · space: model draws · ←→: back, forward · tab: next branch · "
    "home end: start, tip · /: find · h: heat · g: game · s: save · e: export · ?: help · q: quit",
    "narrow": "↑↓: choose · enter: append · space: draw · ←→: move · ?: all keys · q: quit",  # browse, on few columns
    "small": "ctrl+c: quit",
    "find": "type: a part of a token · ↑↓: choose · enter: append · esc: leave",
    "save": "type: a file's name · ctrl+u: clear · enter: write · esc: leave",
    "export": "type: a file's name · ctrl+u: clear · enter: write · esc: leave",
    "game": "type: what comes next · ↑↓: how much you put on it · enter: see · esc: end the game",
    "help": "↑↓: scroll · esc: close",
}
_ARROWS = {"↑↓": "up down", "←→": "left right"}  # for a terminal without these signs
_LONGEST_NAME = 11  # letters: temperature

SETTINGS = {spec.key: spec for spec in FILTERS.values() if spec.key}  # by the small letter, which is for less

_HELP = {
    "What is shown": "The text is a path through a tree of tokens. The current token is inverted; what comes after it "
    "on this branch is dim. The list is the distribution of the token after it: raw is the model's own softmax over "
    "the whole vocabulary, then what each setting leaves of it; hollow bars were cut, and all tokens that are not "
    "listed are one row. The tree has a line for each branch, and a mark at the current token.",
    "Tokens": "up, down, page up, page down: move the mark in the list, through the whole vocabulary · enter: append "
    "the marked token · space: let the model draw one, with your settings · /: search the vocabulary; \\n is a newline",
    "Branches": "left, backspace: one token back · right: forward on this branch · with shift: ten · home, end: its "
    "first token, its tip · tab, shift+tab: the tip of the next branch, of the one before. Another token in the middle "
    "of a text makes a branch there; nothing is lost.",
    "Settings": "The small letter is for less, the capital for more: "
    + " · ".join(f"{key} {key.upper()}: {spec.words}" for key, spec in SETTINGS.items())
    + ". The logits of every token are kept, so the list changes without running the model.",
    "Colours": "h: colour the text by how probable each token was, by how open the question was before it (entropy), "
    "by its rank",
    "Guessing": "g: guess the next token and bet on it, against the model. Where the branch continues, you guess its "
    "tokens; at its tip the model draws them. The costs are explained there.",
    "Files": "s: the whole tree as a trace, a record for every token · e: the text up to the current token. Neither "
    "overwrites a file. When you leave (q, ctrl+c), that text is printed.",
}


def neighbour(values: Sequence[float], value: float, *, more: bool) -> float:
    """The next of `values`, which ascend except that a 0 at the end is the largest; the last one stays."""

    def size(number: float) -> float:
        return math.inf if number == values[-1] == 0 else number

    beyond = [v for v in values if (size(v) > size(value) if more else size(v) < size(value))]
    return value if not beyond else beyond[0 if more else -1]


def keys_picture(keys: str, width: int, symbols: Symbols = UNICODE) -> Text:
    """Keys in bold, each with what it does, on as many lines as necessary."""
    entries = []
    for entry in keys.split(" · "):
        key, what = entry.split(": ")
        name = key if symbols.dot == UNICODE.dot else _ARROWS.get(key, key)
        entries.append(Text().append(name, "bold").append(f" {what}", "dim"))
    return _flow(entries, width)


def settings_picture(config: SampleConfig, width: int) -> Text:
    """The settings that are always shown or not neutral, each with its value and its two keys."""
    entries = []
    for key, spec in SETTINGS.items():
        value = getattr(config, spec.setting)
        is_off = value == spec.neutral
        if spec.usual or not is_off:
            name = spec.name if len(spec.name) <= _LONGEST_NAME else spec.heading
            entry = Text().append(f"{name} ", "dim").append("off" if is_off else f"{value:g}", "dim" if is_off else "")
            entries.append(entry.append(f" {key} {key.upper()}", "bold"))
    return _flow(entries, width)


def legend_picture(legend: Text, screen: Screen) -> Text:
    """A legend of coloured blocks, wrapped only before a block."""
    block = screen.symbols.blocks[8]
    entries = list(legend.divide([i for i, letter in enumerate(legend.plain) if letter == block]))
    for entry in entries:
        entry.rstrip()
    return _flow([entries[0][1:], *entries[1:]], screen.width)


def _flow(entries: Sequence[Text], width: int) -> Text:
    """Entries separated by gaps, wrapped only between entries."""
    lines = [Text()]
    for entry in entries:
        if lines[-1].plain and cell_len(lines[-1].plain + "  " + entry.plain) > width:
            lines.append(Text())
        lines[-1].append("  " if lines[-1].plain else " ").append_text(entry)
    return Text("\n").join(lines)


def help_picture(screen: Screen) -> Text:
    """The help, one paragraph per subject."""
    lines = []
    for name, words in _HELP.items():
        lines += [Text(f" {name}", "bold"), screen.caption(words.replace("·", screen.symbols.dot))]
    return Text("\n").join(lines)
