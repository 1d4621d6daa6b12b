"""A corpus from files, directories, globs, URLs and -: a text to iterate over, and a record of its sources."""

import hashlib
import math
import re
import time
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, groupby, islice

from minigpt.errors import CorpusError
from minigpt.text import blocks, builtin_text
from minigpt.text.blocks import Block, Progress, unheard
from minigpt.text.formats import NotText, check_encoding, read_blocks
from minigpt.text.sources import File, Place, Stored, find


@dataclass(frozen=True)
class Source:
    """One file that was read: its name for people, and the hash and size of its bytes as stored."""

    name: str
    sha256: str
    size: int
    documents: int


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from: not blank, with newlines as line ends, no byte order mark. `name` suits a folder.

    Corpora are streamed and never loaded whole: `blocks` reads them again, and raises CorpusError if a source has
    changed. `sha256` is the hash of the text in UTF-8, so encodings and fields matter; `skipped` names files in
    directories and globs that are not text. If it is not `whole`, there was no time to read the rest.
    """

    name: str
    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()
    characters: int = 0
    utf8_bytes: int = 0
    sha256: str = ""
    whole: bool = True
    blocks: Callable[[], Iterator[Block]] = field(default=lambda: iter(()), compare=False, repr=False)

    @property
    def documents(self) -> int:
        return sum(source.documents for source in self.sources)

    @property
    def called(self) -> str:
        """The names of its sources, for a sentence."""
        return names_told([source.name for source in self.sources])

    def by_source(self) -> Iterator[tuple[Source, Iterator[Block]]]:
        """Each source and its blocks, which must be consumed before the next."""
        ends, begun = list(accumulate(source.documents for source in self.sources)), 0

        def place(block: Block) -> int:
            nonlocal begun
            begun += block.begins
            return min(bisect_left(ends, begun), len(ends) - 1)  # a source that has grown is told when it ends

        for number, group in groupby(self.blocks(), place):
            yield self.sources[number], group


class _Clock:
    """Starts with the first block: downloading, or waiting for typed input, does not count as reading."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._end = seconds, math.inf
        self.left_out = False  # whether there was more to read

    def look(self) -> None:
        if self._seconds is not None and math.isinf(self._end):
            self._end = time.perf_counter() + self._seconds

    def is_over(self) -> bool:
        return time.perf_counter() > self._end


class _Tally:
    """The totals over the blocks of one file."""

    def __init__(self) -> None:
        self.blocks = self.documents = self.characters = self.utf8_bytes = 0
        self.first, self.is_varied = "", False
        self._hash = hashlib.sha256()

    def add(self, block: Block) -> None:
        data = block.text.encode()
        self.blocks += 1
        self.documents += block.begins
        self.characters += len(block.text)
        self.utf8_bytes += len(data)
        self.first = self.first or block.text[0]
        self.is_varied = self.is_varied or bool(block.text.strip(self.first))
        if block.begins:
            self._hash.update(b"\xff")  # which is in no UTF-8
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True)
class _Result:
    """The result for one file: no documents if it is blank or not text."""

    source: Source
    tally: _Tally
    blocks: Callable[[], Iterator[Block]]
    is_text: bool = True


def read_corpus(
    specs: Sequence[str],
    *,
    encoding: str = "utf-8",
    field: str = "text",
    progress: Progress = unheard,
    to_learn: bool = True,
    seconds: float | None = None,
) -> Corpus:
    """The corpus that `specs` name (files, directories, globs, URLs, -), by default Python's own reference.

    Everything, or as much as can be read in `seconds`, is read once to be hashed, counted and checked. A file reached
    twice is read once. `field` holds the text in .jsonl and .parquet; `progress` receives bytes as stored. Raises
    CorpusError for files that are missing, unreadable, damaged, not text, in another encoding, or empty; and, with
    `to_learn`, for a text of a single character.
    """
    check_encoding(encoding)
    if not specs:
        return builtin_corpus()
    places = [find(spec) for spec in specs]
    results: dict[str, _Result] = {}
    clock = _Clock(seconds)
    for place in places:
        for file in place.files:
            if file.key in results:
                continue
            clock.left_out = clock.left_out or clock.is_over()
            if not clock.left_out:
                read = partial(read_blocks, file, encoding=encoding, field=field)
                results[file.key] = read_file(file, read, progress, clock, named=place.named)
        if not clock.left_out:
            check_any_text(place, results)
    skipped = [result.source.name for result in results.values() if not result.is_text]
    skipped += [name for place in places for name in place.passed_over]
    return assemble(places[0].label, results.values(), skipped, to_learn=to_learn, whole=not clock.left_out)


def builtin_corpus() -> Corpus:
    stored, documents = builtin_text.python_reference()
    return corpus_of("python-reference", documents, builtin_text.NAME, stored)


def corpus_of(name: str, documents: Sequence[str], source: str = "", stored: bytes = b"") -> Corpus:
    """A corpus of texts in memory; `stored` is hashed for `source`."""
    tally = _Tally()

    def in_blocks() -> Iterator[Block]:
        return (block for document in documents for block in blocks.blocks([document]))

    for block in in_blocks():
        tally.add(block)
    found = Source(source or name, hashlib.sha256(stored).hexdigest(), len(stored), tally.documents)
    return assemble(name, [_Result(found, tally, in_blocks)], [])


def read_file(
    file: File, read: Callable[[Iterable[bytes]], Iterator[Block]], progress: Progress, clock: _Clock, *, named: bool
) -> _Result:
    """Read `file` once, while there is time. Only a file that was `named` must contain text."""
    stored, tally, is_text = Stored(file, progress), _Tally(), True
    try:
        for block in read(stored):
            if clock.is_over():
                clock.left_out = True
                break
            tally.add(block)
            clock.look()
    except NotText:
        if named:
            raise
        tally, is_text = _Tally(), False
    if named and not tally.documents and not clock.left_out:
        what = "holds nothing but blanks" if stored.size else "is empty"
        raise CorpusError(f"{file.name} {what}.\nGive a file with text.")
    source = Source(file.name, stored.sha256, stored.size, tally.documents)
    count = tally.blocks if clock.left_out else None
    return _Result(source, tally, partial(read_again, file, read, source, count), is_text)


def read_again(
    file: File, read: Callable[[Iterable[bytes]], Iterator[Block]], source: Source, count: int | None
) -> Iterator[Block]:
    """All blocks, or as many as were read before time ran out."""
    stored = Stored(file)
    found = read(stored)
    yield from islice(found, count)
    if count is not None:
        next(found, None)  # which was looked at too
    if stored.sha256 != source.sha256:
        raise CorpusError(f"{file.name} has changed while it was being read.\nStart again when it no longer changes.")


def check_any_text(place: Place, results: dict[str, _Result]) -> None:
    if any(results[file.key].source.documents for file in place.files):
        return
    count = len(place.files) + len(place.passed_over)
    message = f"{place.name} holds no text; files looked at, hidden ones aside: {count:,}."
    raise CorpusError(f"{message}\nGive a directory or file with text in it.")


def assemble(
    label: str, results: Iterable[_Result], skipped: list[str], *, to_learn: bool = True, whole: bool = True
) -> Corpus:
    """The corpus of `results`. Raises CorpusError if there is nothing `to_learn`."""
    filled = [result for result in results if result.source.documents]
    tallies = [result.tally for result in filled]
    if to_learn and len({tally.first for tally in tallies}) == 1 and not any(tally.is_varied for tally in tallies):
        names = names_told([result.source.name for result in filled])
        message = (
            f"{names} {'hold' if len(filled) > 1 else 'holds'} one character, {tallies[0].first!r}, and no other: "
        )
        message += "there is nothing to learn."
        raise CorpusError(f"{message}\nGive a text with more in it.")
    return Corpus(
        name=folder_name(label),
        sources=tuple(result.source for result in filled),
        skipped=tuple(dict.fromkeys(skipped)),
        characters=sum(tally.characters for tally in tallies),
        utf8_bytes=sum(tally.utf8_bytes for tally in tallies),
        sha256=hashlib.sha256("".join(tally.sha256 for tally in tallies).encode()).hexdigest(),
        whole=whole,
        blocks=lambda: (block for result in filled for block in result.blocks()),
    )


def names_told(names: Sequence[str]) -> str:
    """One or two names, or the first of more."""
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1:,} others"


def folder_name(label: str) -> str:
    """`label`, a file or directory name, turned into a folder name: neither hidden nor an option nor too long."""
    whole = unicodedata.normalize("NFC", label)
    return re.sub(r"[^\w.-]+", "-", whole)[:60].strip(".-") or "corpus"
