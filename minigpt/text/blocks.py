"""Blocks of a text of any length, cut only where the tokenizers' split pattern cuts anyway."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

# Before a line that follows a single newline, and before a single space between two words. GPT-2's pattern never looks
# back, and looks ahead only within white space, so a cut there changes no ids.
SAFE_CUT = re.compile(r"(?<=\S\n)(?=\S)|(?<=\S)(?= \S)")
SAFE_WITH_PREFIX_SPACE = re.compile(r"(?<=\S)(?= \S)")  # a blank is put before whatever does not begin with one
BLOCK = 1 << 18  # characters held in memory at once
_PIECE = 1 << 14  # characters that one thread encodes at a time
_WORD = 1 << 8  # characters: learning a tokenizer takes the square of a word's length, so longer ones may be cut

Progress = Callable[[int], None]  # called with the number of further units done, such as bytes or characters
Stages = Callable[..., Progress]  # called with the stage that begins, its number of units, if known, and their name


class Block(NamedTuple):
    """A part of a document; `begins` if the document starts here."""

    text: str
    begins: bool


def cut(chunks: Iterable[str], size: int, longest: int, safe: re.Pattern[str] = SAFE_CUT) -> Iterator[str]:
    """Split the text of `chunks` into parts slightly longer than `size`, at `safe` places.

    If `longest` characters contain no safe place, the text is split elsewhere, and the ids there may differ.
    """
    rest = ""
    for chunk in chunks:
        text, start = rest + chunk, 0
        while len(text) - start > size:
            place = safe.search(text, start + size, start + longest)
            if place is None and len(text) - start <= longest:
                break
            end = start + longest if place is None else place.start()
            yield text[start:end]
            start = end
        rest = text[start:]
    if rest:
        yield rest


def blocks(chunks: Iterable[str]) -> Iterator[Block]:
    """Split the document in `chunks`; only a million characters without a safe place are split elsewhere."""
    for number, text in enumerate(cut(chunks, BLOCK, 4 * BLOCK)):
        yield Block(text, begins=number == 0)


def split_at(chunks: Iterable[str], separator: str) -> Iterator[Iterator[str]]:
    """The documents between `separator`, each in chunks, which must be consumed before the next.

    One line break before and one after the separator belong to it.
    """
    for _, parts in groupby(_numbered(chunks, separator), key=itemgetter(0)):
        yield (text for _, text in parts)


def _numbered(chunks: Iterable[str], separator: str) -> Iterator[tuple[int, str]]:
    """Parts of a text, each with the number of its document."""
    pattern, number, rest = re.compile(f"\n?{re.escape(separator)}\n?"), 0, ""
    longest = len(separator) + 2
    for chunk in chunks:
        rest, start = rest + chunk, 0
        for found in pattern.finditer(rest):
            if found.end() == len(rest):  # a line break may follow
                break
            yield number, rest[start : found.start()]
            number, start = number + 1, found.end()
        end = max(start, len(rest) - longest)
        yield number, rest[start:end]
        rest = rest[end:]
    for text in pattern.split(rest):
        yield number, text
        number += 1


def pieces(text: str, safe: re.Pattern[str] = SAFE_CUT) -> list[str]:
    """Split `text` into small parts for many threads, at `safe` places only."""
    return list(cut([text], _PIECE, len(text), safe))


def whole_documents(blocks: Iterable[Block]) -> Iterator[Block]:
    """One block for each document, which is held in memory."""
    parts: list[Block] = []
    for block in blocks:
        if parts and block.begins:
            yield Block("".join(part.text for part in parts), parts[0].begins)
            parts = []
        parts.append(block)
    if parts:
        yield Block("".join(part.text for part in parts), parts[0].begins)


def short_pieces(text: str) -> Iterator[str]:
    """Split `text` into parts no longer than two words may be, at safe places as long as there are any."""
    return cut([text], _WORD, 2 * _WORD)


def utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def up_to(blocks: Iterable[Block], end: int) -> Iterator[Block]:
    """The first `end` characters."""
    for block in blocks:
        if end <= 0:
            return
        yield block._replace(text=block.text[:end])
        end -= len(block.text)


def beyond(blocks: Iterable[Block], start: int) -> Iterator[Block]:
    """Everything after the first `start` characters."""
    for block in blocks:
        if start < len(block.text):
            yield Block(block.text[max(0, start) :], block.begins or start > 0)
        start -= len(block.text)


def counted(blocks: Iterable[Block], progress: Progress) -> Iterator[Block]:
    """Pass `blocks` on, and report each to `progress` once it has been processed."""
    for block in blocks:
        yield block
        progress(len(block.text))


def no_progress(amount: int) -> None:
    """A `Progress` that reports nothing."""
