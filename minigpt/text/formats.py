"""Reads the documents of a file in blocks: the whole text, a field of each JSON line, or a parquet column."""

import codecs
import json
import os
import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import IncrementalNewlineDecoder
from itertools import chain, islice
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from minigpt.errors import ConfigError, CorpusError, brief, escaped, named, needs_extra
from minigpt.text.blocks import Block, blocks
from minigpt.text.compression import decompress, inner_path, is_compressed
from minigpt.text.sources import File, Stored, find, find_local

_ROWS = 64  # of parquet at once: each may be a book
_IN_MEMORY = 1 << 24  # bytes: a larger parquet file that is compressed once more is unpacked to a temporary file
_LONGEST_LINE = 1 << 26  # characters of JSON, which is read whole
_BLANKS = 1 << 20  # characters: a file that begins with more of them is taken for text
JSON_LINES = (".jsonl", ".ndjson")
# Codecs that Python keeps for domain names, mail and its own source; their text may hold lone surrogates.
NOT_FOR_FILES = ("idna", "punycode", "utf-7", "unicode-escape", "raw-unicode-escape")
CONTROLS = bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1b"})
ENCODINGS = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),  # before utf-16: FF FE 00 00 begins with FF FE
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ("utf-8", b""),
)
_LISTED = 20  # names in a message, at most
_JSON_ADVICE = 'Each line must contain one object, such as {"text": "Once upon a time"}'
JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


class NotText(CorpusError):
    """A binary file: an error if the user named it, skipped if it was found."""


def read_blocks(file: File, stored: Iterable[bytes], *, encoding: str, field: str) -> Iterator[Block]:
    """The documents of `file`, with the bytes `stored`, in blocks; blank documents are dropped."""
    chunks = decompress(stored, file.path, file.name)
    suffix = PurePath(inner_path(file.path)).suffix.lower()
    if suffix == ".parquet":
        documents: Iterable[str] = parquet_column(chunks, file, field)
    elif suffix in JSON_LINES:
        documents = json_lines_field(decode(chunks, file, encoding), file.name, field)
    else:
        yield from blocks(not_blank(decode(chunks, file, encoding)))
        return
    for document in map(clean, documents):
        if document and not document.isspace():
            yield from blocks([document])


def clean(text: str) -> str:
    """`text` without a byte order mark, every line ending as a newline."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def not_blank(chunks: Iterator[str]) -> Iterator[str]:
    """All of `chunks`, or nothing if all are blank, as long as blank ones can be buffered."""
    beginning = ""
    for chunk in chunks:
        beginning += chunk
        if (chunk and not chunk.isspace()) or len(beginning) > _BLANKS:
            yield beginning
            yield from chunks


# --- text


def check_encoding(encoding: str) -> None:
    """Raise ConfigError unless `encoding` names a text encoding that Python knows."""
    try:
        "a".encode(encoding)  # codecs.lookup would also take zip and hex
        known = codecs.lookup(encoding).name not in NOT_FOR_FILES
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ConfigError(
            f"{named('encoding', brief(escaped(encoding)))} is not an encoding.\nTry utf-8, utf-16, latin-1 or cp1252."
        )


def decode(chunks: Iterable[bytes], file: File, encoding: str) -> Iterator[str]:
    """Decode `chunks` strictly into clean text. Raises NotText for binary data, CorpusError for another encoding."""
    decoder = _Decoder(file, encoding)
    mark = "\ufeff"
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.removeprefix(mark)
            mark = ""
    yield decoder.decode(b"", final=True).removeprefix(mark)


class _Decoder:
    """Decodes a file chunk by chunk, and knows the position of invalid bytes."""

    def __init__(self, file: File, encoding: str) -> None:
        self.file, self.encoding = file, encoding
        self._characters = codecs.getincrementaldecoder(encoding)()
        self._newlines = IncrementalNewlineDecoder(None, translate=True)
        self._bytes, self._lines, self._is_ascii = 0, 0, True

    def decode(self, chunk: bytes, final: bool = False) -> str:
        start = self._bytes - len(self._characters.getstate()[0])  # where the characters begin that come out now
        self._bytes += len(chunk)
        try:
            text = self._characters.decode(chunk, final)
        except UnicodeError as error:
            # A missing mark is a UnicodeError up to Python 3.12, a UnicodeDecodeError from 3.13 on.
            if isinstance(error, UnicodeDecodeError) and has_its_mark(self.file, self.encoding):
                raise self._wrong(error) from error
            raise without_mark(self.file, self.encoding) from error
        if "\0" in text:
            # In UTF-16, not every zero byte is a NUL; there, encoding writes a mark first.
            before = len(text[: text.index("\0")].encode(self.encoding)) - (len("".encode(self.encoding)) * bool(start))
            raise binary(self.file.name, f"NUL byte at offset {start + before:,}")
        text = self._newlines.decode(text, final)
        self._lines += text.count("\n")
        self._is_ascii = self._is_ascii and text.isascii()
        return text

    def _wrong(self, error: UnicodeDecodeError) -> CorpusError:
        guess = guess_encoding(self.file)
        if guess == "latin-1":
            check_not_binary(self.file)
        before = error.object[: error.start]
        line = 1 + self._lines + self._newlines.decode(before.decode(self.encoding, "ignore"), True).count("\n")
        offset = self._bytes - len(error.object) + error.start
        what = f"byte 0x{error.object[error.start]:02x} at offset {offset:,} (line {line:,})"
        name = codecs.lookup(self.encoding).name
        # A UTF-8 text cut inside its last character, as by head -c; one in latin-1 may end alike.
        is_cut = error.reason == "unexpected end of data" and not (self._is_ascii and before.isascii())
        advice = cut_advice(self.file, name) if is_cut or guess == name else encoding_advice(self.file, guess)
        return CorpusError(f"{self.file.name} is not {name.upper()}: {what}.\n{advice}")


def has_its_mark(file: File, encoding: str) -> bool:
    """Whether the file begins with the byte order mark that the encoding needs, if it needs one."""
    marks = dict(ENCODINGS[:2]).get(codecs.lookup(encoding).name)
    return marks is None or beginning(file).startswith(marks)


def without_mark(file: File, encoding: str) -> CorpusError:
    name, start = codecs.lookup(encoding).name, beginning(file)
    ordered = f"{name}-be" if start[:1] == b"\0" else f"{name}-le"
    guess = ordered if 0 in start and can_decode(file, ordered) else guess_encoding(file)
    message = f"{file.name} does not begin with the byte order mark of {name.upper()}."
    return CorpusError(f"{message}\n{encoding_advice(file, guess)}")


def beginning(file: File) -> bytes:
    return b"".join(islice(contents(file), 1))


def contents(file: File) -> Iterator[bytes]:
    """The bytes inside `file`, read again."""
    return decompress(Stored(file), file.path, file.name)


def check_not_binary(file: File) -> None:
    size = controls = 0
    for chunk in contents(file):
        if 0 in chunk:
            raise binary(file.name, f"NUL byte at offset {size + chunk.index(0):,}")
        size += len(chunk)
        controls += len(chunk) - len(chunk.translate(None, CONTROLS))
    if controls > size / 20:  # random bytes have 10 %; text in any encoding of bytes has almost none
        raise binary(file.name, f"{controls:,} of its {size:,} bytes are control characters")


def binary(name: str, sign: str) -> NotText:
    return NotText(
        f"{name} looks binary: {sign}.\n"
        "Give plain text, .jsonl or .parquet; each may be compressed (.gz, .bz2, .xz, .zst)."
    )


def guess_encoding(file: File) -> str:
    """The --encoding that `file` seems to have; latin-1, which accepts any bytes, if nothing else fits."""
    start = bytes(islice(chain.from_iterable(contents(file)), 4))
    for encoding, marks in ENCODINGS:
        if start.startswith(marks) and can_decode(file, encoding):
            return encoding
    return "latin-1"


def can_decode(file: File, encoding: str) -> bool:
    try:
        for _ in codecs.iterdecode(contents(file), encoding):
            pass
    except UnicodeError:
        return False
    return True


def cut_advice(file: File, encoding: str) -> str:
    message = "The text is damaged there, or cut inside a character."
    command = f"iconv -c -f {encoding} -t utf-8 {shlex.quote(file.name)}"
    return f"{message} To leave that out: {command}" if can_convert(file) else message


def encoding_advice(file: File, guess: str) -> str:
    message = f"Try {named('encoding', guess)}"
    command = f"iconv -f {guess.replace('-', '')} -t utf8 {shlex.quote(file.name)}"
    return f"{message}, or convert it: {command}" if can_convert(file) and guess != "utf-8" else f"{message}."


def can_convert(file: File) -> bool:
    return os.path.isfile(file.path) and not is_compressed(file.path)


# --- JSON lines


def json_lines_field(chunks: Iterable[str], name: str, field: str) -> Iterator[str]:
    """The string under `field` in each line's object; blank lines, and those with null there, are skipped."""
    for number, line in enumerate(split_lines(chunks, name), start=1):
        text = json_field(line, f"{name} line {number:,}", field) if line.strip() else None
        if text is not None:
            yield text


def split_lines(chunks: Iterable[str], name: str) -> Iterator[str]:
    """Split at newlines only: JSON may contain the other characters at which Python splits lines.

    Raises CorpusError for a line of the file `name` that is too long to hold in memory.
    """
    parts: list[str] = []  # of the incomplete line
    size = number = 0
    for chunk in chunks:
        first, *others = chunk.split("\n")
        parts.append(first)
        size += len(first)
        if others:
            yield "".join(parts)
            yield from others[:-1]
            parts = others[-1:]
            size = len(parts[0])
            number += len(others)
        if size > _LONGEST_LINE:
            what = f"{name} line {number + 1:,} has more than {_LONGEST_LINE:,} characters, which are held in memory."
            raise CorpusError(f"{what}\n{_JSON_ADVICE}; a longer text can be given as .txt.")
    yield "".join(parts)


def json_field(line: str, where: str, field: str) -> str | None:
    """The string under `field` in the JSON object `line`, or None for null. Raises CorpusError, which names the place
    `where` it is.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise CorpusError(f"{where} is not valid JSON: {reason}.\n{_JSON_ADVICE}") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where} is {json_type(record)}, not a JSON object.\n{_JSON_ADVICE}")
    quoted, text = f'"{brief(escaped(field))}"', record.get(field)
    if text is None and field in record:
        return None
    if not isinstance(text, str):
        what = f"{where} has no field {quoted}"
        if field in record:
            what = f"{where}: field {quoted} is {json_type(text)}, not a string"
        raise no_field(what, "fields", list(record), [name for name, value in record.items() if isinstance(value, str)])
    try:
        text.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can express and no encoding can represent
        half = f"\\u{ord(text[error.start]):04x}, half of a surrogate pair"
        raise CorpusError(f"{where}: field {quoted} contains {half}.\nWrite both halves, or \\ufffd.") from error
    return text


def json_type(value: object) -> str:
    return JSON_TYPES.get(type(value), "a number")


def no_field(message: str, kind: str, names: list[str], texts: list[str]) -> CorpusError:
    """The error `message`, with the `names` that exist, and those of them (`texts`) that the user may have meant."""
    listed = ", ".join(f'"{brief(escaped(name))}"' for name in names[:_LISTED])
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    there = f"It has the {kind} {listed}{more}." if names else f"It has no {kind}."
    advice = f"\nTry {named('field', shlex.quote(escaped(texts[0])))}" if texts else ""
    return CorpusError(f"{message}. {there}{advice}")


# --- parquet


def parquet_column(chunks: Iterable[bytes], file: File, field: str) -> Iterator[str]:
    """The strings in the column `field`; rows without a value are skipped."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise needs_extra(file.name, "the package pyarrow", "parquet") from error
    try:
        with seekable(chunks, file) as stream:
            table = ParquetFile(stream, pre_buffer=False)
            schema, quoted = table.schema_arrow, f'"{brief(escaped(field))}"'
            columns = schema.names, [column.name for column in schema if _is_text(column.type)]
            if field not in schema.names:
                raise no_field(f"{file.name} has no column {quoted}", "columns", *columns)
            if not _is_text(schema.field(field).type):
                raise no_field(
                    f"{file.name}: column {quoted} is {schema.field(field).type}, not text", "columns", *columns
                )
            for batch in table.iter_batches(_ROWS, columns=[field]):
                for value in batch.column(0).to_pylist():
                    if value is not None:
                        yield value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file.name}: column {quoted} contains bytes that are not UTF-8 text.") from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        message = f"{file.name} is damaged or not a .parquet file: {escaped(str(error))}."
        raise CorpusError(f"{message}\nFetch it again.") from error


def _is_text(column_type: Any) -> bool:
    """Whether a column holds strings, or bytes, which may be UTF-8; either may be a dictionary's."""
    kind = str(getattr(column_type, "value_type", column_type) if "dictionary" in str(column_type) else column_type)
    return kind in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")


@contextmanager
def seekable(chunks: Iterable[bytes], file: File) -> Iterator[IO[bytes]]:
    """A seekable stream of all `chunks`."""
    if is_compressed(file.path):
        with SpooledTemporaryFile(_IN_MEMORY) as copy:
            copy.writelines(chunks)
            copy.seek(0)
            yield copy
    else:
        deque(chunks, maxlen=0)
        with file.open() as stream:
            yield stream


# --- one text to continue or to inspect


def read_text(path: str) -> str:
    """The text of one UTF-8 file, without a byte order mark, with newlines as line ends."""
    place = find_local(path)
    if not place.named:
        raise CorpusError(f"{escaped(path)} is not one file.\nGive one file of text.")
    return clean(_decode(place.files[0].read(), place.name))


def read_prompt() -> str:
    """The text of standard input, without a single final newline, which the shell adds."""
    return clean(_decode(find("-").files[0].read(), "standard input")).removesuffix("\n")


def check_argument(text: str) -> str:
    """`text` from the command line, whose bytes are UTF-8 whatever the locale. Raises ConfigError otherwise."""
    try:
        return _decode(text.encode("utf-8", "surrogateescape"), "the text on the command line")
    except CorpusError as error:
        raise ConfigError(error.message) from error


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{data[error.start]:02x} at offset {error.start:,}"
        marked = next(encoding for encoding, marks in ENCODINGS if data.startswith(marks))
        source = "latin1" if marked == "utf-8" else marked.replace("-", "")
        raise CorpusError(f"{name} is not UTF-8: {byte}.\nConvert it: iconv -f {source} -t utf8") from error
