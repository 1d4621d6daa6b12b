"""A corpus from files, directories, globs, URLs and -: a text to iterate over, and a record of its sources."""

import hashlib
import math
import re
import time
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import accumulate, groupby, islice
from typing import ClassVar

from minigpt.errors import CorpusError
from minigpt.settings import TextFormat, check_ranges
from minigpt.text.blocks import Block, Progress, beyond, blocks, cut, no_progress, up_to, utf8_length
from minigpt.text.decoding import NotText
from minigpt.text.encodings import check_encoding
from minigpt.text.findings import Findings, reading_notes, separator_note
from minigpt.text.formats import check_argument, is_plain_text, read_blocks
from minigpt.text.records import TextSource
from minigpt.text.sources import File, Place, Stored, find

LARGE = 1 << 24  # characters: a tokenizer learns from no more, and the ids of a longer text are kept on disk
_SAMPLED = 1 << 16  # characters of each place that a sample is taken from
_GOLDEN = 0x9E3779B1  # 2**32 divided by the golden ratio: its multiples are spread evenly, without a rhythm
# Gives the documents of a file, of which the bytes are passed on as they are read.
Reader = Callable[[File, Iterable[bytes], TextFormat, Findings], Iterator[Block]]
PYTHON_REFERENCE = "Python's language reference (pydoc_data.topics)"


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from: not blank, with newlines as line ends, no byte order mark. `name` suits a folder.

    Corpora are streamed and never loaded whole: `blocks` reads them again, and raises CorpusError if a source has
    changed. `sha256` is the hash of the text in UTF-8, so encodings and fields matter; `skipped` names files in
    directories and globs that are not text. `notes` are sentences about what was left out or changed in reading, and
    `separator_note` is one about marks at which the text could be split. If it is not `whole`, there was no time to
    read the rest.
    """

    name: str
    sources: tuple[TextSource, ...]
    skipped: tuple[str, ...] = ()
    characters: int = 0
    utf8_bytes: int = 0
    sha256: str = ""
    whole: bool = True
    notes: tuple[str, ...] = ()
    separator_note: str = ""
    blocks: Callable[[], Iterator[Block]] = field(default=lambda: iter(()), compare=False, repr=False)

    @property
    def documents(self) -> int:
        return sum(source.documents for source in self.sources)

    @property
    def called(self) -> str:
        """The names of its sources, for a sentence."""
        return first_names([source.name for source in self.sources])

    @property
    def skipped_note(self) -> str:
        """A sentence about the files that are not text, if there are any."""
        count = len(self.skipped)
        files = f"{count:,} file{'s' if count > 1 else ''}"
        return f"skipped what is not text: {files}, such as {self.skipped[0]}." if count else ""

    def by_source(self) -> Iterator[tuple[TextSource, Iterator[Block]]]:
        """Each source and its blocks, which must be consumed before the next."""
        ends, begun = list(accumulate(source.documents for source in self.sources)), 0

        def place(block: Block) -> int:
            nonlocal begun
            begun += block.begins
            return min(bisect_left(ends, begun), len(ends) - 1)  # a source that has grown raises at its end

        for number, group in groupby(self.blocks(), place):
            yield self.sources[number], group


class _Clock:
    """Starts with the first block: downloading, or waiting for typed input, does not count as reading."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._end = seconds, math.inf
        self.left_out = False  # whether there was more to read

    def start(self) -> None:
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

    source: TextSource
    tally: _Tally
    blocks: Callable[[], Iterator[Block]]
    found: Findings = field(default_factory=Findings)
    is_text: bool = True


def read_corpus(
    specs: Sequence[str],
    how: TextFormat = TextFormat(),
    *,
    progress: Progress = no_progress,
    to_learn: bool = True,
    seconds: float | None = None,
    reader: Reader = read_blocks,
) -> Corpus:
    """The corpus that `specs` name (files, directories, globs, URLs, -), by default Python's own reference.

    Everything, or as much as can be read in `seconds`, is read once, as `how` says, to be hashed, counted and checked.
    A file reached twice is read once. `reader` gives the documents of a file; `progress` receives bytes as stored.
    Raises ConfigError; CorpusError for files that are missing, unreadable, damaged, not text, in another encoding, or
    empty; and, with `to_learn`, for a text of a single character.
    """
    check_encoding(how.encoding)
    check_argument(how.split_on or "")
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
                results[file.key] = read_file(file, how, progress, clock, named=place.named, reader=reader)
        if not clock.left_out:
            check_any_text(place, results)
    skipped = [result.source.name for result in results.values() if not result.is_text]
    skipped += [name for place in places for name in place.skipped]
    found = {result.source.name: result.found for result in results.values() if result.source.documents}
    corpus = assemble(places[0].label, results.values(), skipped, to_learn=to_learn, whole=not clock.left_out)
    return replace(corpus, notes=reading_notes(found, how), separator_note=separator_note(found))


def builtin_corpus() -> Corpus:
    stored, documents = python_reference()
    return corpus_of("python-reference", documents, PYTHON_REFERENCE, stored)


def corpus_of(name: str, documents: Sequence[str], source: str = "", stored: bytes = b"") -> Corpus:
    """A corpus of texts in memory; `stored` is hashed for `source`."""
    tally = _Tally()

    def in_blocks() -> Iterator[Block]:
        return (block for document in documents for block in blocks([document]))

    for block in in_blocks():
        tally.add(block)
    found = TextSource(
        name=source or name, sha256=hashlib.sha256(stored).hexdigest(), size=len(stored), documents=tally.documents
    )
    return assemble(name, [_Result(found, tally, in_blocks)], [])


def read_file(
    file: File, how: TextFormat, progress: Progress, clock: _Clock, *, named: bool, reader: Reader
) -> _Result:
    """Read `file` once, while there is time. Only a file that was `named` must contain text."""
    tally, found, is_text = _Tally(), Findings(), True
    try:
        with Stored(file, progress) as stored:
            for block in reader(file, stored, how, found):
                if clock.is_over():
                    clock.left_out = True
                    break
                tally.add(block)
                if how.split_on is None:
                    found.count_ends(block.text)
                clock.start()
    except NotText:
        if named:
            raise
        tally, is_text = _Tally(), False
    if named and not tally.documents and not clock.left_out:
        blank = "contains only white space" if is_plain_text(file) else "contains no text"
        blank = "has only pairs with an empty side" if found.empty_sides else blank
        raise CorpusError(f"{file.name} {blank if stored.size else 'is empty'}.\nGive a file with text.")
    source = TextSource(name=file.name, sha256=stored.sha256, size=stored.size, documents=tally.documents)
    count = tally.blocks if clock.left_out else None
    return _Result(source, tally, partial(read_again, file, how, source, count, reader), found, is_text)


def read_again(file: File, how: TextFormat, source: TextSource, count: int | None, reader: Reader) -> Iterator[Block]:
    """All blocks, or as many as were read before time ran out."""
    with Stored(file) as stored:
        blocks = reader(file, stored, how, Findings())
        yield from islice(blocks, count)
        if count is not None:
            next(blocks, None)  # which was read too
    if stored.sha256 != source.sha256:
        raise CorpusError(f"{file.name} has changed while it was being read.\nStart again when it no longer changes.")


def check_any_text(place: Place, results: dict[str, _Result]) -> None:
    if any(results[file.key].source.documents for file in place.files):
        return
    count = len(place.files) + len(place.skipped)
    message = f"{place.name} contains no text. Files read, hidden ones aside: {count:,}."
    raise CorpusError(f"{message}\nGive a directory or file with text in it.")


def assemble(
    label: str, results: Iterable[_Result], skipped: list[str], *, to_learn: bool = True, whole: bool = True
) -> Corpus:
    """The corpus of `results`. Raises CorpusError if there is nothing `to_learn`."""
    filled = [result for result in results if result.source.documents]
    tallies = [result.tally for result in filled]
    if to_learn and len({tally.first for tally in tallies}) == 1 and not any(tally.is_varied for tally in tallies):
        names = first_names([result.source.name for result in filled])
        contain = f"contain{'s' if len(filled) == 1 else ''} only one character, {tallies[0].first!r}"
        raise CorpusError(f"{names} {contain}: there is nothing to learn.\nGive a text with more in it.")
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


def first_names(names: Sequence[str]) -> str:
    """One or two names, or the first of more."""
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1:,} others"


def folder_name(label: str) -> str:
    """`label`, a file or directory name, turned into a folder name: neither hidden nor an option nor too long."""
    whole = unicodedata.normalize("NFC", label)
    return re.sub(r"[^\w.-]+", "-", whole)[:60].strip(".-") or "corpus"


# --- the text that comes with every Python


def python_reference() -> tuple[bytes, tuple[str, ...]]:
    """The topics as stored, for their hash (it differs between versions of Python), and one document per topic."""
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise CorpusError(
            "This Python comes without pydoc_data.topics, the text to train on when none is given.\n"
            "Give a text of your own: minigpt train notes.txt"
        ) from error
    return "\n\n".join(topics.values()).encode(), without_repeats(topics.values())


def without_repeats(texts: Iterable[str]) -> tuple[str, ...]:
    """`texts` without repeated paragraphs: a fifth are repeats, which would leak into validation."""
    documents, seen = list[str](), set[str]()
    for text in texts:
        new = []
        for paragraph in text.split("\n\n"):
            if (words := paragraph.strip()) and words not in seen:
                seen.add(words)
                new.append(paragraph.strip("\n"))
        if new:
            documents.append("\n\n".join(new) + "\n")
    return tuple(documents)


# --- training and validation text


@dataclass(frozen=True)
class Split:
    """A corpus of which the last `fraction` validates, or which all trains if another text is `held_out`.

    A document may be divided. About a `part` of both texts is used, in pieces of 65,536 characters spread over them, at
    least one. Raises ConfigError for an invalid fraction or part.
    """

    corpus: Corpus
    held_out: Corpus | None = None
    fraction: float = 0.0
    part: float = 1.0
    pairs: ClassVar[bool] = False  # whether sources and targets alternate

    def __post_init__(self) -> None:
        check_ranges({"val_fraction": self.fraction, "part": self.part})

    @property
    def _train_end(self) -> int:
        """The number of characters before the validation text, whether used or not."""
        return self.corpus.characters if self.held_out else int(self.corpus.characters * (1 - self.fraction))

    @property
    def train_characters(self) -> int:
        return self._train_size[0] if self.part < 1 else self._train_end

    @property
    def train_bytes(self) -> int:
        """The size of the training text in UTF-8."""
        whole = self.part == 1 and self._train_end == self.corpus.characters
        return self.corpus.utf8_bytes if whole else self._train_size[1]

    @cached_property
    def _train_size(self) -> tuple[int, int]:
        """Characters and bytes of the training text, counted in one pass."""
        sizes = [(len(block.text), utf8_length(block.text)) for block in self.train()]
        return sum(size[0] for size in sizes), sum(size[1] for size in sizes)

    @property
    def characters(self) -> int:
        """The number of characters to tokenize; approximate if only a part is used."""
        return int(self.part * (self.corpus.characters + (self.held_out.characters if self.held_out else 0)))

    @property
    def is_large(self) -> bool:
        return self.characters > LARGE

    def train(self) -> Iterator[Block]:
        return self._used(up_to(self.corpus.blocks(), self._train_end))

    def validation(self) -> Iterator[Block]:
        if self.held_out is not None:
            return self._used(self.held_out.blocks())
        return self._used(beyond(self.corpus.blocks(), self._train_end))

    def _used(self, blocks: Iterator[Block]) -> Iterator[Block]:
        return blocks if self.part == 1 else _spread(blocks, self.part)

    @property
    def sampled_characters(self) -> int:
        """The number of characters that a tokenizer learns from."""
        return min(LARGE, self.train_characters)

    def sample(self, characters: int) -> Iterator[Block]:
        """About so many characters of the training text, spread over it, or all of it if that is shorter."""
        if characters >= self.train_characters:
            return self.train()
        return _spread(self.train(), characters / self.train_characters)


def _spread(blocks: Iterator[Block], share: float) -> Iterator[Block]:
    """About a `share` of the text, in pieces spread over it, each a document."""
    pieces = (piece for block in blocks for piece in cut([block.text], _SAMPLED, 2 * _SAMPLED))
    for number, piece in enumerate(pieces):
        if number * _GOLDEN % 2**32 < int(2**32 * share):
            yield Block(piece, begins=True)
