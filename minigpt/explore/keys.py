"""What the explorer can do at the moment in; the keys for it, wrapped between entries to any width, out."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols
from minigpt.settings import SampleConfig

BROWSE = (
    ("↑↓", "choose"),
    ("enter", "append"),
    ("space", "model draws"),
    ("←→", "back, forward"),
    ("tab", "next branch"),
    ("home end", "start, tip"),
    ("/", "find"),
    ("h", "heat"),
    ("g", "game"),
    ("s", "save"),
    ("e", "export"),
    ("?", "help"),
    ("q", "quit"),
)
BROWSE_NARROW = (
    ("↑↓", "choose"),
    ("enter", "append"),
    ("space", "draw"),
    ("←→", "move"),
    ("?", "all keys"),
    ("q", "quit"),
)
FIND = (("type", "a part of a token"), ("↑↓", "choose"), ("enter", "append"), ("esc", "leave"))
FILE = (("type", "a file's name"), ("ctrl+u", "clear"), ("enter", "write"), ("esc", "leave"))
GAME = (("type", "what comes next"), ("↑↓", "how much you put on it"), ("enter", "see"), ("esc", "end the game"))
HELP = (("↑↓", "scroll"), ("esc", "close"))

_ARROWS = {"↑↓": "up down", "←→": "left right"}  # for a terminal without these signs

_TEMPERATURES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.75, 2.0, 3.0, 5.0, 10.0)
_TOP_KS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 100, 200, 500, 1000, 0)  # 0 is all
_TOP_PS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
_MIN_PS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
_PENALTIES = (0.8, 0.9, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0)

# The key, small for less and capital for more; the setting; its name; the values; the one that switches it off.
SETTINGS: tuple[tuple[str, str, str, tuple[float, ...], float], ...] = (
    ("r", "repetition_penalty", "rep.", _PENALTIES, 1.0),
    ("t", "temperature", "temperature", _TEMPERATURES, 1.0),
    ("k", "top_k", "top-k", _TOP_KS, 0),
    ("p", "top_p", "top-p", _TOP_PS, 1.0),
    ("m", "min_p", "min-p", _MIN_PS, 0.0),
)


def neighbour(values: Sequence[float], value: float, *, more: bool) -> float:
    """The next of `values`, which ascend save for a 0 at their end that is more than all; the last one stays."""
    place = [float("inf") if i and v == 0 else v for i, v in enumerate(values)]
    at = float("inf") if values[-1] == 0 == value else value
    if more:
        return next((v for v, p in zip(values, place, strict=True) if p > at), value)
    return next((v for v, p in zip(reversed(values), reversed(place), strict=True) if p < at), value)


def keys_picture(keys: Sequence[tuple[str, str]], width: int, symbols: Symbols = UNICODE) -> Text:
    """Keys in bold, each beside what it does; as many lines as that takes."""
    names = {} if symbols.dot == UNICODE.dot else _ARROWS
    return _flow([Text().append(names.get(key, key), "bold").append(f" {what}", "dim") for key, what in keys], width)


def settings_picture(config: SampleConfig, width: int) -> Text:
    """Every setting with its value and its two keys."""
    entries = []
    for key, field, name, _, off in SETTINGS:
        value = getattr(config, field)
        entry = (
            Text()
            .append(f"{name} ", "dim")
            .append(f"{value:g}" if value != off else "off", "" if value != off else "dim")
        )
        entries.append(entry.append(f" {key} {key.upper()}", "bold"))
    return _flow(entries, width)


def legend_picture(legend: Text, screen: Screen) -> Text:
    """A legend of coloured blocks, broken only before a block."""
    block = screen.symbols.blocks[8]
    entries = list(legend.divide([i for i, letter in enumerate(legend.plain) if letter == block]))
    for entry in entries:
        entry.rstrip()
    return _flow([entries[0][1:], *entries[1:]], screen.width)


def _flow(entries: Sequence[Text], width: int) -> Text:
    """Entries with a gap between them, broken only there."""
    lines = [Text()]
    for entry in entries:
        if lines[-1].plain and cell_len(lines[-1].plain + "  " + entry.plain) > width:
            lines.append(Text())
        lines[-1].append("  " if lines[-1].plain else " ").append_text(entry)
    return Text("\n").join(lines)
