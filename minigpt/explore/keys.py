"""The line of keys that work in the explorer at the moment, wrapped between entries to any width."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols
from minigpt.settings import FILTERS, SampleConfig

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

_LONGEST_NAME = 11  # letters: temperature

SETTINGS = {spec.key: spec for spec in FILTERS.values() if spec.key}  # by the small letter, which is for less


def neighbour(values: Sequence[float], value: float, *, more: bool) -> float:
    """The next of `values`, which ascend except that a 0 at the end is the largest; the last one stays."""
    end = float("inf") if values[-1] == 0 else values[-1]
    place = [*values[:-1], end]
    at = end if value == values[-1] else value
    if more:
        return next((v for v, p in zip(values, place, strict=True) if p > at), value)
    return next((v for v, p in zip(reversed(values), reversed(place), strict=True) if p < at), value)


def keys_picture(keys: Sequence[tuple[str, str]], width: int, symbols: Symbols = UNICODE) -> Text:
    """Keys in bold, each with what it does, on as many lines as necessary."""
    names = {} if symbols.dot == UNICODE.dot else _ARROWS
    return _flow([Text().append(names.get(key, key), "bold").append(f" {what}", "dim") for key, what in keys], width)


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
