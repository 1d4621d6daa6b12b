"""The bytes of one file in; its documents out: the text whole, a field of each JSON line, or a column of parquet."""

import codecs
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import PurePath
from typing import Any

from minigpt.errors import CorpusError
from minigpt.text.compression import decompress, inner_path, is_compressed
from minigpt.text.sources import File
from minigpt.text.wording import listed, needs_extra, shown

JSON_LINES = (".jsonl", ".ndjson")
# Codecs that Python keeps for domain names, mail and its own source; their text may hold lone surrogates.
NOT_FOR_FILES = ("idna", "punycode", "utf-7", "unicode-escape", "raw-unicode-escape")
CONTROLS = bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1b"})
ENCODINGS = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),  # before utf-16: FF FE 00 00 begins with FF FE
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ("utf-8", b""),
)
JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


class NotText(CorpusError):
    """A binary file: an error where it was named, passed over where it was found."""


def read_documents(file: File, data: bytes, *, encoding: str, field: str) -> tuple[str, ...]:
    """The documents of `file`, whose bytes as stored are `data`; blank ones are left out."""
    data = decompress(data, file.path, file.name)
    suffix = PurePath(inner_path(file.path)).suffix.lower()
    texts: Iterable[str]
    if suffix == ".parquet":
        texts = parquet_column(data, file.name, field)
    else:
        text = decode(data, file, encoding)
        texts = json_lines_field(text, file.name, field) if suffix in JSON_LINES else [text]
    return tuple(text for text in map(clean, texts) if text and not text.isspace())


def clean(text: str) -> str:
    """`text` without a byte order mark, every line ending as a newline."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


# --- text


def check_encoding(encoding: str) -> None:
    """Raises CorpusError unless `encoding` names a text encoding that Python knows."""
    try:
        "a".encode(encoding)  # codecs.lookup would also take zip and hex
        known = codecs.lookup(encoding).name not in NOT_FOR_FILES
    except (LookupError, ValueError):
        known = False
    if not known:
        raise CorpusError(f"--encoding {shown(encoding)} is not an encoding.\nTry utf-8, utf-16, latin-1 or cp1252.")


def decode(data: bytes, file: File, encoding: str) -> str:
    """`data` as text, strictly. Raises NotText for binary data, CorpusError for another encoding."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if guess_encoding(data) == "latin-1":
            check_not_binary(data, file.name)
        raise wrong_encoding(data, file, encoding, error) from error
    if "\0" in text:
        offset = len(text[: text.index("\0")].encode(encoding))  # in UTF-16, not every zero byte is a NUL
        raise binary(file.name, f"NUL byte at offset {offset:,}")
    return text


def check_not_binary(data: bytes, name: str) -> None:
    if 0 in data:
        raise binary(name, f"NUL byte at offset {data.index(0):,}")
    controls = len(data) - len(data.translate(None, CONTROLS))
    if controls > len(data) / 20:  # random bytes have 10 %; text in any encoding of bytes has almost none
        raise binary(name, f"{controls:,} of its {len(data):,} bytes are control characters")


def binary(name: str, sign: str) -> NotText:
    return NotText(
        f"{name} looks binary: {sign}.\n"
        "Give plain text, .jsonl or .parquet; each may be compressed (.gz, .bz2, .xz, .zst)."
    )


def guess_encoding(data: bytes) -> str:
    """The name for --encoding that `data` speak for; latin-1, which takes any bytes, where nothing else fits."""
    for encoding, marks in ENCODINGS:
        if data.startswith(marks) and can_decode(data, encoding):
            return encoding
    return "latin-1"


def can_decode(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def wrong_encoding(data: bytes, file: File, encoding: str, error: UnicodeDecodeError) -> CorpusError:
    before = data[: error.start]
    line = 1 + clean(before.decode(encoding, errors="ignore")).count("\n")
    what = f"byte 0x{data[error.start]:02x} at offset {error.start:,} (line {line:,})"
    name = codecs.lookup(encoding).name
    guess = guess_encoding(data)
    if is_cut(error, before) or guess == name:
        return CorpusError(f"{file.name} is not {name.upper()}: {what}.\n{cut_advice(file, name)}")
    return CorpusError(f"{file.name} is not {name.upper()}: {what}.\n{encoding_advice(file, guess)}")


def is_cut(error: UnicodeDecodeError, before: bytes) -> bool:
    """Whether a UTF-8 text was cut inside its last character, as by head -c; one in latin-1 may end alike."""
    return error.reason == "unexpected end of data" and not before.isascii()


def cut_advice(file: File, encoding: str) -> str:
    told = "The text is damaged there, or cut inside a character."
    command = f"iconv -c -f {encoding} -t utf-8 {shlex.quote(file.name)}"
    return f"{told} To leave that out: {command}" if can_convert(file) else told


def encoding_advice(file: File, guess: str) -> str:
    told = f"Try --encoding {guess}"
    command = f"iconv -f {guess.replace('-', '')} -t utf8 {shlex.quote(file.name)}"
    return f"{told}, or convert it: {command}" if can_convert(file) and guess != "utf-8" else f"{told}."


def can_convert(file: File) -> bool:
    return os.path.isfile(file.path) and not is_compressed(file.path)


# --- JSON lines


def json_lines_field(text: str, name: str, field: str) -> Iterator[str]:
    """The string under `field` of each line's object; blank lines are left out."""
    for number, line in enumerate(clean(text).split("\n"), start=1):
        if line.strip():
            where = f"{name} line {number:,}"
            yield json_field(parse_json(line, where), where, field)


def parse_json(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise CorpusError(f"{where} is not valid JSON: {reason}.\n{json_advice()}") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where} is {json_type(record)}, not a JSON object.\n{json_advice()}")
    return record


def json_advice() -> str:
    return 'Each line must hold one object, such as {"text": "Once upon a time"}'


def json_type(value: object) -> str:
    return JSON_TYPES.get(type(value), "a number")


def json_field(record: dict[str, Any], where: str, field: str) -> str:
    texts = [name for name, value in record.items() if isinstance(value, str)]
    if field not in record:
        raise no_field(f'{where} has no field "{shown(field)}"', "fields", list(record), texts)
    if field not in texts:
        told = f'{where}: field "{shown(field)}" is {json_type(record[field])}, not a string'
        raise no_field(told, "fields", list(record), texts)
    return whole_characters(record[field], where, field)


def whole_characters(text: str, where: str, field: str) -> str:
    """`text`, unless it holds half of a surrogate pair, as JSON can write it: no encoding has a place for that."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}, half of a surrogate pair"
        raise CorpusError(f'{where}: field "{shown(field)}" holds {half}.\nWrite both halves, or \\ufffd.') from error
    return text


def no_field(told: str, kind: str, names: list[str], texts: list[str]) -> CorpusError:
    """`told`, the `names` there are, and which of them (`texts`) the user may have meant."""
    there = f"It has the {kind} {listed(names)}." if names else f"It has no {kind}."
    advice = f"\nTry --field {shlex.quote(shown(texts[0]))}" if texts else ""
    return CorpusError(f"{told}. {there}{advice}")


# --- parquet


def parquet_column(data: bytes, name: str, field: str) -> list[str]:
    """The strings in the column `field`; rows without a value are left out."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise needs_extra(name, "the package pyarrow", "parquet") from error
    try:
        table = ParquetFile(BytesIO(data))
        values = table.read(columns=[field]).column(field).to_pylist() if field in table.schema_arrow.names else None
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise CorpusError(f"{name} is damaged or not a .parquet file: {shown(str(error))}.\nFetch it again.") from error
    return column_texts(values, table.schema_arrow, name, field)


def column_texts(values: list[Any] | None, schema: Any, name: str, field: str) -> list[str]:
    texts = [column.name for column in schema if "string" in str(column.type)]
    if values is None:
        raise no_field(f'{name} has no column "{shown(field)}"', "columns", schema.names, texts)
    present = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in present):
        told = f'{name}: column "{shown(field)}" is {schema.field(field).type}, not text'
        raise no_field(told, "columns", schema.names, texts)
    return present
