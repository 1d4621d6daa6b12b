"""Reads the documents of a file in blocks: the whole text, the texts of JSON, or a parquet column."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from minigpt.errors import ConfigError, CorpusError, escaped, needs_extra, quoted
from minigpt.settings import TextFormat
from minigpt.text.blocks import Block, blocks, split_at
from minigpt.text.compression import decompress, inner_path, is_compressed
from minigpt.text.decoding import decode, decode_value, errors_advice, single_text_advice, value_advice
from minigpt.text.findings import Findings
from minigpt.text.json_texts import array_texts, json_form, json_lines_field, no_field
from minigpt.text.sources import File, find, find_local

_ROWS = 64  # of parquet at once: each may be a book
_IN_MEMORY = 1 << 24  # bytes: a larger parquet file that is compressed once more is unpacked to a temporary file
_BLANKS = 1 << 20  # characters: a file that begins with more of them is taken for text
JSON_LINES = (".jsonl", ".ndjson")
JSON, PARQUET = ".json", ".parquet"


def read_blocks(file: File, stored: Iterable[bytes], how: TextFormat, found: Findings) -> Iterator[Block]:
    """The documents of `file`, with the bytes `stored`, in blocks; blank documents are dropped."""
    for document in _documents(file, decompress(stored, file.path, file.name, found), how, found):
        parts = (document,) if how.split_on is None else split_at(document, with_newlines(how.split_on))
        for number, part in enumerate(parts):
            found.splits += number > 0
            yield from blocks(not_blank(part))


def _documents(file: File, chunks: Iterable[bytes], how: TextFormat, found: Findings) -> Iterator[Iterator[str]]:
    """The documents of a file, each in chunks, which must be consumed before the next."""
    suffix = suffix_of(file)
    if suffix == PARQUET:
        texts: Iterable[str | None] = (text for (text,) in parquet_rows(chunks, file, ("field",), how, found))
    else:
        decoded = decode(chunks, file, how, found)
        form = "other"
        if suffix in (JSON, *JSON_LINES):
            form, decoded = json_form(decoded, how.field)
            found.is_plain_json = suffix == JSON and form == "other"
        if suffix in JSON_LINES and form == "other":
            form = "lines"
        if form == "other":
            yield decoded
            return
        texts = (json_lines_field if form == "lines" else array_texts)(decoded, file.name, how.field)
    for text in texts:
        if text is None:
            found.nulls += 1
        else:
            yield iter((clean(text),))


def is_plain_text(file: File) -> bool:
    """Whether the whole of a file is its text, by its name."""
    return suffix_of(file) not in (*JSON_LINES, JSON, PARQUET)


def suffix_of(file: File) -> str:
    """The suffix of what is inside a file that may be compressed, in lower case."""
    return PurePath(inner_path(file.path)).suffix.lower()


def clean(text: str) -> str:
    """`text` without a byte order mark, every line ending as a newline."""
    return with_newlines(text.removeprefix("\ufeff"))


def with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def not_blank(chunks: Iterator[str]) -> Iterator[str]:
    """All of `chunks`, or nothing if all are blank, as long as blank ones can be buffered."""
    beginning = ""
    for chunk in chunks:
        beginning += chunk
        if (chunk and not chunk.isspace()) or len(beginning) > _BLANKS:
            yield beginning
            yield from chunks


# --- parquet


def parquet_rows(
    chunks: Iterable[bytes], file: File, settings: Sequence[str], how: TextFormat, found: Findings
) -> Iterator[tuple[str | None, ...]]:
    """The values of the columns that these `settings` name, strings or bytes, row by row."""
    fields = [getattr(how, setting) for setting in settings]
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise needs_extra(f"{file.name} cannot be opened without the package pyarrow", "parquet") from error
    try:
        with seekable(chunks, file) as stream:
            table = ParquetFile(stream, pre_buffer=False)
            for field, setting in zip(fields, settings, strict=True):
                _check_column(table.schema_arrow, file.name, field, setting)
            kinds = ["binary" in str(table.schema_arrow.field(field).type) for field in fields]
            for batch in table.iter_batches(_ROWS, columns=list(fields)):
                columns = (
                    _column_texts(batch.column(field), file.name, field, how, found, in_bytes=in_bytes)
                    for field, in_bytes in zip(fields, kinds, strict=True)
                )
                yield from zip(*columns, strict=True)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        message = f"{file.name} is damaged or not a .parquet file: {escaped(str(error))}."
        raise CorpusError(f"{message}\nFetch it again.") from error


def _column_texts(
    column: Any, name: str, field: str, how: TextFormat, found: Findings, *, in_bytes: bool
) -> Iterator[str | None]:
    encoding = how.encoding if in_bytes else "utf-8"
    try:
        for value in _as_bytes(column).to_pylist():
            yield None if value is None else decode_value(value, encoding, how, found)
    except UnicodeError as error:
        what = f"contains bytes that are not {encoding.upper()} text"
        advice = value_advice(getattr(error, "object", b""), encoding) if in_bytes else errors_advice()
        raise CorpusError(f"{name}: column {quoted(field)} {what}.\n{advice}") from error


def _check_column(schema: Any, name: str, field: str, setting: str) -> None:
    columns = schema.names, [column.name for column in schema if _is_text(column.type)]
    if field not in schema.names:
        raise no_field(f"{name} has no column {quoted(field)}", "columns", *columns, setting)
    if not _is_text(schema.field(field).type):
        what = f"column {quoted(field)} is {schema.field(field).type}, not text"
        raise no_field(f"{name}: {what}", "columns", *columns, setting)


def _is_text(column_type: Any) -> bool:
    """Whether a column holds strings, or bytes, which may be UTF-8; either may be a dictionary's."""
    kind = str(getattr(column_type, "value_type", column_type) if "dictionary" in str(column_type) else column_type)
    return kind in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")


def _as_bytes(column: Any) -> Any:
    """A column of texts as bytes."""
    import pyarrow

    plain = column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
    return plain.cast(pyarrow.large_binary())


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
    """The text of one UTF-8 file, or of standard input (-), without a byte order mark, with newlines as line ends."""
    place = find("-") if path == "-" else find_local(path)
    if not place.named:
        raise CorpusError(f"{escaped(path)} is not one file.\nGive one file of text.")
    return clean(_decode(place.files[0].read(), place.name))


def read_prompt() -> str:
    """The text of standard input, without a single final newline, which the shell adds."""
    return read_text("-").removesuffix("\n")


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
        raise CorpusError(f"{name} is not UTF-8: {byte}.\n{single_text_advice(data)}") from error
