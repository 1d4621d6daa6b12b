"""The width of a console's tables, the characters that draw them, and captions that fit."""

import re
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.style import UNICODE, Symbols, symbols_for

WIDEST = 100  # columns; longer bars say no more
_STICKY = "\u00a0"  # keeps what stands on both sides on one line


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
        joined = f"{_STICKY}{self.symbols.dot} ".join(part for part in parts if part)
        for word in re.sub(r"(?<=\d) (?=[%kMG])", _STICKY, joined).split(" "):
            if rows[-1] and cell_len(f" {rows[-1]} {word}") > self.width:
                rows.append(word)
            else:
                rows[-1] = f"{rows[-1]} {word}" if rows[-1] else word
        return Text("\n".join(f" {row}" for row in rows).replace(_STICKY, " "), "dim")
