"""The colour of a token: by its probability, its rank, or the entropy before it."""

import codecs
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from minigpt.render.style import Screen
from minigpt.sampling.records import StepRecord

COLOURS = ("green", "cyan", "yellow", "magenta", "red")  # from expected to surprising
UNKNOWN = "dim"  # the first token of a text


@dataclass(frozen=True)
class Scale:
    """A number of each record, and the four limits between its five colours."""

    name: str
    number: Callable[[StepRecord], float | None]
    limits: tuple[float, float, float, float]  # a number below the first is green
    labels: tuple[str, str, str, str, str]

    def style(self, record: StepRecord) -> str:
        """The colour of the record's token."""
        number = self.number(record)
        if number is None:
            return UNKNOWN
        return COLOURS[sum(number >= limit for limit in self.limits)]


SCALES = {
    # 50 %, 12.5 %, 1.6 % and 0.2 % are 1, 3, 6 and 9 bits.
    "probability": Scale(
        "probability of the token",
        lambda record: record.surprisal_bits,
        (1.0, 3.0, 6.0, 9.0),
        ("over 50 %", "over 12.5 %", "over 1.6 %", "over 0.2 %", "less"),
    ),
    "entropy": Scale(
        "entropy before the token",
        lambda record: record.entropy_bits,
        (1.0, 3.0, 5.0, 7.0),
        ("below 1 bit", "below 3", "below 5", "below 7", "more"),
    ),
    "rank": Scale(
        "rank of the token",
        lambda record: record.chosen.rank if record.chosen else None,
        (2, 4, 11, 101),
        ("1", "2 to 3", "4 to 10", "11 to 100", "later"),
    ),
}


def heat_legend(scale: Scale, screen: Screen) -> Text:
    """The meaning of each colour."""
    legend = Text(f" {scale.name}:", "dim")
    for colour, label in zip(COLOURS, scale.labels, strict=True):
        legend.append(f" {screen.symbols.blocks[8]} {label}", f"not dim {colour}")
    return legend


class HeatedText:
    """Tracks which token each character of a streamed text came from, for its colour."""

    def __init__(self, scale: Scale | None) -> None:
        self._scale = scale
        self._tokens: deque[tuple[int, str]] = deque()  # bytes that are still to be shown, and their style
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, record: StepRecord) -> None:
        """Add a token whose bytes will be shown, now or later."""
        if self._scale is not None and record.token is not None:
            self._tokens.append((len(record.token.bytes) // 2, self._scale.style(record)))

    def released(self, data: bytes) -> list[tuple[str, str]]:
        """(text, style) of what is shown now. A character takes the style of the token that completes it."""
        if self._scale is None:
            return [(data.decode("utf-8", "replace"), "")]
        parts = []
        while data and self._tokens:
            count, style = self._tokens.popleft()
            mine, data = data[:count], data[count:]
            if len(mine) < count:
                self._tokens.appendleft((count - len(mine), style))
            parts.append((self._decoder.decode(mine, final=not data), style))
        return [*parts, (data.decode("utf-8", "replace"), "")] if data else parts
