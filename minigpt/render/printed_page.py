"""A section of a page that shows what a terminal shows, for views without a section of their own."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from rich.text import Text

from minigpt.render.html import Section

_CLASSES = {"bold", "dim", "cyan", "green", "yellow", "magenta", "red", "reverse"}  # those that page.css knows


def printed_section(title: str, lines: Iterable[Text]) -> Section:
    """The lines in a monospaced font, with their colours as classes."""
    return Section("printed", title, {"parts": list(printed_parts(lines))}, ())


def printed_parts(lines: Iterable[Text]) -> Iterator[tuple[str, str]]:
    """The lines as runs of one style each, with the names of their classes."""
    for line in lines:
        yield from _parts(line)
        yield "\n", ""


def _parts(text: Text) -> Iterator[tuple[str, str]]:
    """Runs of one style each, with the names of their classes."""
    ends = sorted({0, len(text), *(end for span in text.spans for end in (span.start, span.end))})
    for start, end in pairwise(ends):
        styles = [text.style, *(span.style for span in text.spans if span.start <= start and end <= span.end)]
        yield text.plain[start:end], " ".join(sorted(_classes(" ".join(map(str, styles)))))


def _classes(styles: str) -> set[str]:
    classes: set[str] = set()
    words = iter(styles.split())
    for word in words:
        if word == "not":
            classes.discard(next(words, ""))
        else:
            classes.add(word)
    return classes & _CLASSES
