"""The style of tokens, probabilities and bits, and the width of what is shown, decided here once for every table."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

from rich.console import Console
from rich.text import Text

from minigpt.render.cells import cell_len, end_of, is_unseen, joins, resized
from minigpt.text.records import Token

T = TypeVar("T")


@dataclass(frozen=True)
class Symbols:
    """The characters of a screen; ASCII ones for a terminal whose encoding lacks the others."""

    space: str = "␣"
    newline: str = "⏎"
    tab: str = "⇥"
    blocks: str = " ▏▎▍▌▋▊▉█"  # 0/8 to 8/8 of a cell
    levels: str = "▁▂▃▄▅▆▇█"  # 1/8 to 8/8 of a line's height
    right_half: str = "▐"
    hollow: str = "▯"
    chosen: str = "▸"
    dot: str = "·"
    arrow: str = "→"
    ellipsis: str = "…"
    quotes: str = "“”"
    times: str = "×"
    tree: str = "├└│"  # a branch, the last one, and the line that continues beside it

    def quote(self, text: str) -> str:
        """`text` in quotes."""
        return self.quotes[0] + text + self.quotes[1]


UNICODE = Symbols()
ASCII = Symbols(
    space="_",
    newline="\\n",
    tab="\\t",
    blocks="    ----#",
    levels="_.,-=+*#",
    right_half="-",
    hollow=".",
    chosen=">",
    dot="-",
    arrow="->",
    ellipsis="~",
    quotes='""',
    times="x",
    tree="+`|",
)


def symbols_for(encoding: str) -> Symbols:
    """UNICODE if `encoding` supports all of it, otherwise ASCII."""
    try:
        "".join(astuple(UNICODE)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


# Letters that steer a terminal or reorder what stands around them; C0, C1 and these are never sent to one.
_STEERING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_NAMES = {0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0D: "CR", 0x1B: "ESC", 0x7F: "DEL"}
# Letters with no width or shape of their own: in a text they join their neighbours, in a cell they need a name.
_SHAPELESS = frozenset(("Mn", "Me", "Mc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def _name(character: str) -> str:
    code = ord(character)
    return f"<{_NAMES.get(code, f'U+{code:04X}')}>"


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _STEERING


def safe_text(text: str) -> str:
    """Running text that is safe for a terminal: newline and tab pass, other control characters get visible names."""
    return "".join(_name(c) if _steers(c) and c not in "\n\t" else c for c in text)


def visible(text: str, symbols: Symbols = UNICODE) -> str:
    """Text on one line with every character visible: spaces, newlines, control characters, marks without a letter.

    A mark on a letter of `text` is shown on it. Joiners and variation selectors have names wherever they stand.
    """
    shown = {" ": symbols.space, "\n": symbols.newline, "\t": symbols.tab}
    parts: list[str] = []
    letter = ""  # the character before, if it is shown as itself
    for c in text:
        named = not (letter and joins(c, letter)) and (c in shown or _is_invisible(c))
        parts.append((shown.get(c) or _name(c)) if named else c)
        letter = "" if named else c
    return "".join(parts)


def _is_invisible(character: str) -> bool:
    category = unicodedata.category(character)
    if _steers(character) or category in _SHAPELESS or category == "Zs":
        return True
    return cell_len(character) == 0 or is_unseen(character)


def token_label(token: Token, symbols: Symbols = UNICODE) -> str:
    """The label of a token in a cell; bytes that are not whole characters are shown as <E2 80>."""
    return _bytes_name(bytes.fromhex(token.bytes)) if token.text is None else visible(token.text, symbols)


def bytes_label(data: str, symbols: Symbols = UNICODE) -> str:
    """The label of hexadecimal bytes in a cell, as if they were a token's."""
    try:
        return visible(bytes.fromhex(data).decode(), symbols)
    except UnicodeDecodeError:
        return _bytes_name(bytes.fromhex(data))


def _bytes_name(data: bytes) -> str:
    return f"<{data.hex(' ').upper()}>"


def quoted(text: str, width: int, symbols: Symbols = UNICODE) -> str:
    """The end of `text`, on one line and in quotes, in at most `width` cells."""
    room = max(1, width - 2)
    characters = 4 * room  # most texts have fewer marks than letters
    line = visible(text[-characters:], symbols).replace(symbols.space, " ")
    if len(text) > characters or cell_len(line) > room:
        line = end_of(line, room - cell_len(symbols.ellipsis))
        word = line.find(" ")
        line = line[word:] if 0 < word < len(line) // 2 else line  # no half words, where that costs little
        line = symbols.ellipsis + line
    return symbols.quote(line)


def following(text: str, width: int, symbols: Symbols = UNICODE) -> str:
    """`after “text”`, its end in at most `width` cells; "" if no preceding text is known."""
    return f"after {quoted(text, width, symbols)}" if text else ""


def fit(text: str, width: int, symbols: Symbols = UNICODE) -> str:
    """`text` padded to `width` cells, or truncated with an ellipsis."""
    if cell_len(text) > width:
        text = resized(text, max(0, width - cell_len(symbols.ellipsis))).rstrip() + symbols.ellipsis
    return resized(text, width)


def fit_end(text: str, width: int, symbols: Symbols = UNICODE) -> str:
    """Like `fit`, but truncates the beginning, as suits a path."""
    if cell_len(text) > width:
        text = symbols.ellipsis + end_of(text, width - cell_len(symbols.ellipsis))
    return resized(text, width)


def percent(share: float, decimals: int = 2) -> str:
    """`8.82 %`. Rounding never gives 0 or 100: `<0.01 %`, `>99.99 %`."""
    least = 10.0**-decimals
    value = share * 100
    if 0 < value < least / 2:
        return f"<{least:.{decimals}f} %"
    if 100 - least / 2 < value < 100 - 1e-9:
        return f">{100 - least:.{decimals}f} %"
    return f"{value:.{decimals}f} %"


def signed_bits(bits: float) -> str:
    """`+0.25`; never `-0.00`."""
    return f"{round(bits, 2) + 0.0:+,.2f}"


def bar(share: float, width: int, symbols: Symbols = UNICODE, *, hollow: bool = False) -> str:
    """A bar of `share` (0 to 1) of `width` cells, to an eighth of a cell; hollow for a token that was cut."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    if share > 0 and width:
        eighths = max(1, eighths)
    full, part = divmod(eighths, 8)
    if hollow:
        return resized(symbols.hollow * (full + (part > 0)), width)
    return resized(symbols.blocks[8] * full + (symbols.blocks[part] if part else ""), width)


def two_sided_bar(share: float, side: int, symbols: Symbols = UNICODE) -> str:
    """A bar of `share` (-1 to 1) from the middle of 2 `side` + 1 cells, to the right if positive, else to the left.

    To the left it is precise to half a cell, because no characters fill smaller parts from the right.
    """
    if share >= 0:
        return " " * side + "|" + bar(share, side, symbols)
    halves = max(1, round(min(1.0, -share) * side * 2))
    full, part = divmod(halves, 2)
    return (symbols.right_half * part + symbols.blocks[8] * full).rjust(side) + "|" + " " * side


def sparkline(values: Sequence[float], symbols: Symbols = UNICODE) -> str:
    """A character for each of the non-negative values, as high as its share of the largest."""
    most = max(values, default=0.0)
    last = len(symbols.levels) - 1
    return "".join(symbols.levels[round(value / most * last) if most else 0] for value in values)


def signed_sparkline(values: Sequence[float], most: float, symbols: Symbols = UNICODE) -> str:
    """A character for each of the values, the lowest for -`most` and the highest for `most`."""
    last = len(symbols.levels) - 1
    return "".join(symbols.levels[round((1 + value / most) / 2 * last) if most else last // 2] for value in values)


def quantity(count: int, noun: str) -> str:
    """`1 token`, `4,090 tokens`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def or_dash(value: T | None, show: Callable[[T], str]) -> str:
    """The value as `show` writes it, or `-` if there is none."""
    return "-" if value is None else show(value)


def compact(count: float) -> str:
    """`812`, `427 k`, `4.3 M`: three digits or so."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:  # 999.6 is 1.0 k, not 1000
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f}"


def byte_count(count: int) -> str:
    """`300 B`, `374 kB`."""
    text = compact(count)
    return f"{text}B" if " " in text else f"{text} B"


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


WIDEST = 100  # columns; longer bars say no more
STICKY = "\u00a0"  # keeps what stands on both sides on one line


@dataclass(frozen=True)
class Screen:
    """The width of tables, and the characters that draw them."""

    width: int = 80
    symbols: Symbols = UNICODE
    coloured: bool = False  # whether colours are seen

    @classmethod
    def of(cls, console: Console) -> "Screen":
        coloured = console.color_system is not None and not console.no_color
        return cls(min(console.width, WIDEST), symbols_for(console.encoding), coloured)

    def caption(self, *parts: str) -> Text:
        """Parts joined by dots, a space before each line, wrapped between words."""
        rows = [""]
        joined = f"{STICKY}{self.symbols.dot} ".join(part for part in parts if part)
        for word in re.sub(r"(?<=\d) (?=[%kMG])", STICKY, joined).split(" "):
            if rows[-1] and cell_len(f" {rows[-1]} {word}") > self.width:
                rows.append(word)
            else:
                rows[-1] = f"{rows[-1]} {word}" if rows[-1] else word
        return Text("\n".join(f" {row}" for row in rows).replace(STICKY, " "), "dim")
