"""How many cells of a terminal a text takes, and where it can be cut without dividing a letter from its marks."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from unicodedata import category

from rich.cells import cell_len as rich_cell_len
from rich.console import Console
from rich.text import Text

# Characters that are letters or marks by their category, but that nobody can see: fillers, joiners and variants.
_UNSEEN = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10), 0xFFA0)
) | frozenset(range(0xE0100, 0xE01F0))


def cell_len(text: str) -> int:
    """The cells that `text` takes in a terminal.

    rich 15 counts 0 for a spacing mark, such as the vowel in कि. Terminals that go by the C library (tmux, xterm, VTE)
    and the package wcwidth 0.9 count 1.
    """
    return rich_cell_len(text) + unmeasured(text)


def unmeasured(text: str) -> int:
    """The cells that rich does not count."""
    return 0 if text.isascii() else sum(category(c) == "Mc" and not rich_cell_len(c) for c in text)


def is_unseen(character: str) -> bool:
    """Whether a letter or mark has no shape, and changes at most that of its neighbours."""
    return ord(character) in _UNSEEN


def joins(character: str, previous: str) -> bool:
    """Whether a character is drawn onto or beside the visible one before it: a mark, or a part of a Korean syllable."""
    if is_unseen(character):
        return False
    if category(character) in ("Mn", "Mc", "Me"):
        return True
    return category(character) == "Lo" and not rich_cell_len(character) and _is_korean(previous)


def _is_korean(character: str) -> bool:
    """Whether a character is a syllable, or begins one, so that a zero-width vowel or consonant may follow."""
    return any(low <= character <= high for low, high in ("\u1100\u115e", "\u1161\u11ff", "가\ud7fb", "\ua960\ua97c"))


def clusters(text: str) -> Iterator[str]:
    """`text` in parts that are drawn together: each a character with the marks and whatever has no width after it."""
    part = ""
    for character in text:
        if part and not joins(character, part[-1]) and rich_cell_len(character):
            yield part
            part = ""
        part += character
    if part:
        yield part


def resized(text: str, width: int) -> str:
    """`text` in exactly `width` cells: cut between letters, or padded with blanks."""
    if cell_len(text) > width:
        kept = ""
        for part in clusters(text):
            if cell_len(kept + part) > width:
                break
            kept += part
        text = kept
    return text + " " * (width - cell_len(text))


def end_of(text: str, width: int) -> str:
    """The end of `text` in at most `width` cells, cut between letters."""
    kept = ""
    for part in reversed(list(clusters(text))):
        if cell_len(part + kept) > width:
            break
        kept = part + kept
    return kept


def beside(left: Iterable[Text], right: Iterable[Text], cells: int) -> Iterator[Text]:
    """The lines of two tables or pictures, the right ones after `cells`."""
    for one, other in zip_longest(left, right, fillvalue=Text()):
        line = Text().append_text(one)
        if other.plain:
            line.pad_right(cells - cell_len(one.plain))
        yield line.append_text(other)


def wrapped(text: Text, width: int) -> list[Text]:
    """The lines of `text` in at most `width` cells, broken between words where that is possible."""
    room, over = width, 1
    while over > 0:
        lines = list(text.wrap(Console(width=room), room, overflow="fold"))
        over = max((cell_len(line.plain) - width for line in lines), default=0) if room > 1 else 0
        room = max(1, room - over)
    return lines
