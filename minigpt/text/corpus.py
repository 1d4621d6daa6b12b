"""Files, directories, globs, URLs and - in; a Corpus out: documents, and a record of where they came from."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minigpt.errors import CorpusError
from minigpt.text import builtin_text
from minigpt.text.formats import NotText, check_encoding, read_documents
from minigpt.text.sources import File, Place, find


@dataclass(frozen=True)
class Source:
    """One thing that was read: its name as shown to a person, and hash and size of its bytes as stored."""

    name: str
    sha256: str
    size: int
    documents: int


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from: not blank, lines ending in newlines, no byte order mark. `name` suits a folder.

    `skipped` names what was found in directories and by globs and is not text.
    """

    name: str
    documents: tuple[str, ...]
    sources: tuple[Source, ...]
    skipped: tuple[str, ...]

    @property
    def characters(self) -> int:
        return sum(map(len, self.documents))

    @property
    def utf8_bytes(self) -> int:
        return sum(len(document.encode()) for document in self.documents)


@dataclass(frozen=True)
class _Result:
    """What became of one file: no documents where it is blank, or not text."""

    source: Source
    documents: tuple[str, ...] = ()
    is_text: bool = True


def read_corpus(specs: Sequence[str], *, encoding: str = "utf-8", field: str = "text") -> Corpus:
    """The corpus that `specs` stand for: files, directories, globs, URLs, -; without any, Python's own reference.

    A file reached twice is read once. `field` is what holds the text in .jsonl and .parquet.
    Raises CorpusError for what is missing, unreadable, damaged, not text, in another encoding, or empty.
    """
    check_encoding(encoding)
    if not specs:
        return builtin_corpus()
    places = [find(spec) for spec in specs]
    results: dict[str, _Result] = {}
    for place in places:
        for file in place.files:
            if file.key not in results:
                results[file.key] = read_file(file, encoding, field, named=place.named)
        check_any_text(place, results)
    skipped = [result.source.name for result in results.values() if not result.is_text]
    return assemble(
        places[0].label, results.values(), skipped + [name for place in places for name in place.passed_over]
    )


def builtin_corpus() -> Corpus:
    stored, documents = builtin_text.python_reference()
    result = _Result(source_of(builtin_text.NAME, stored, documents), documents)
    return assemble("python-reference", [result], [])


def read_file(file: File, encoding: str, field: str, *, named: bool) -> _Result:
    """Reads `file`. Only one that was `named` must hold text."""
    data = file.read()
    try:
        documents = read_documents(file, data, encoding=encoding, field=field)
    except NotText:
        if named:
            raise
        return _Result(source_of(file.name, data, ()), is_text=False)
    if named and not documents:
        raise CorpusError(f"{file.name} {'holds nothing but blanks' if data else 'is empty'}.\nGive a file with text.")
    return _Result(source_of(file.name, data, documents), documents)


def source_of(name: str, stored: bytes, documents: tuple[str, ...]) -> Source:
    return Source(name, hashlib.sha256(stored).hexdigest(), len(stored), len(documents))


def check_any_text(place: Place, results: dict[str, _Result]) -> None:
    if any(results[file.key].documents for file in place.files):
        return
    count = len(place.files) + len(place.passed_over)
    told = f"{place.name} holds no text; files looked at, hidden ones aside: {count:,}."
    raise CorpusError(f"{told}\nGive a directory or file with text in it.")


def assemble(label: str, results: Iterable[_Result], skipped: list[str]) -> Corpus:
    """The corpus made of `results`. Raises CorpusError where there is nothing to learn."""
    filled = [result for result in results if result.documents]
    documents = tuple(document for result in filled for document in result.documents)
    first = documents[0][0]
    if not any(document.strip(first) for document in documents):
        raise CorpusError(
            f"This is a corpus of one character, {first!r}: there is nothing to learn.\nGive a text with more in it."
        )
    return Corpus(
        folder_name(label), documents, tuple(result.source for result in filled), tuple(dict.fromkeys(skipped))
    )


def folder_name(label: str) -> str:
    """`label`, a file or directory name, as a name for a folder: neither hidden nor an option nor too long."""
    whole = unicodedata.normalize("NFC", label)
    return re.sub(r"[^\w.-]+", "-", whole)[:60].strip(".-") or "corpus"
