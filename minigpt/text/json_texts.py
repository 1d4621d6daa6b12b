"""Reads texts from JSON: a field of the object on each line, or the items of one array."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from minigpt.errors import CorpusError, escaped, named, quoted
from minigpt.text.decoding import NotText

_LONGEST = 1 << 26  # characters of a line or an item, which is read whole
_FIRST_LINE = 1 << 22  # characters by which the form of a .json file is known
_LISTED = 20  # names in a message, at most
LINE_ADVICE = 'Each line must contain one object, such as {"text": "Once upon a time"}'
ITEM_ADVICE = 'Each item must be an object, such as {"text": "Once upon a time"}, or a text'
TYPES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
_BLANKS = re.compile(r"[ \t\n\r]*")
_KNOWN = re.compile(r"\s*(\[\s*\S|\{[^\n]*\n|[^\s\[{])")  # a beginning that shows the form
_ARRAY = re.compile(r'\s*\[\s*["{n\]]')  # of texts, objects or null


def json_form(chunks: Iterable[str], field: str) -> tuple[str, Iterator[str]]:
    """Whether a .json file is an `array` of texts or objects, `lines` as in .jsonl, or `other` JSON; and its chunks."""
    rest, start = iter(chunks), ""
    for chunk in rest:
        start += chunk
        if _KNOWN.match(start) or len(start) > _FIRST_LINE:
            break
    whole = chain((start,), rest)
    if _ARRAY.match(start):
        return "array", whole
    try:
        first = json.loads(start.lstrip().split("\n", 1)[0])
    except (ValueError, RecursionError):
        first = None
    return "lines" if isinstance(first, dict) and isinstance(first.get(field, 0), str | None) else "other", whole


# --- an array


def array_texts(chunks: Iterable[str], name: str, field: str) -> Iterator[str | None]:
    """The texts of an array: its strings, and the string under `field` in its objects; None for null.

    Raises CorpusError; NotText if the first item has no such field, so that among found files the file is skipped.
    """
    for number, item in enumerate(array_items(chunks, name), start=1):
        try:
            text = item if isinstance(item, str | None) else text_of(item, where(name, number), field, ITEM_ADVICE)
        except CorpusError as error:
            raise NotText(error.message) if number == 1 else error from error
        yield whole_characters(text, where(name, number))


def where(name: str, number: int) -> str:
    return f"{name} item {number:,}"


def array_items(chunks: Iterable[str], name: str) -> Iterator[Any]:
    """The items of the one array in `chunks`, of which only one at a time, of limited size, is in memory.

    What cannot be parsed may be incomplete, so it is tried again when twice as much has been read.
    """
    parts = iter(chunks)
    rest, number, is_closed = next(parts).lstrip()[1:], 1, False
    while not is_closed:
        place, problem = 0, ""
        while not (is_closed or problem):
            try:
                items, place, is_closed = _next_item(rest, place, is_first=number == 1)
            except json.JSONDecodeError as error:
                problem = error.msg
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{where(name, number)} is not valid JSON: {error}.") from error
            else:
                yield from items
                number += len(items)
        rest = rest[place:]
        if problem:
            rest = _longer(rest, parts, f"{where(name, number)} is not valid JSON: {problem}.")
    if any(part.strip() for part in chain((rest,), parts)):
        raise CorpusError(f"{name} goes on after the end of its array.\nGive one array, or lines of JSON as .jsonl.")


def _next_item(text: str, place: int, *, is_first: bool) -> tuple[list[Any], int, bool]:
    """The item at `place`, the place after the sign that follows it, and whether that is the bracket at the end.

    Raises ValueError, also where the text ends too early.
    """
    start = _after_blanks(text, place)
    if is_first and text.startswith("]", start):
        return [], start + 1, True
    item, end = json.JSONDecoder().raw_decode(text, start)
    end = _after_blanks(text, end)
    if not text.startswith((",", "]"), end):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
    return [item], end + 1, text[end] == "]"


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return place if found is None else found.end()


def _longer(text: str, more: Iterator[str], problem: str) -> str:
    """About twice as much of an item that cannot be parsed yet. Raises CorpusError, for `problem`, if no more comes."""
    parts, size = [text], len(text)
    while size <= 2 * len(text) and (part := next(more, None)) is not None:
        parts.append(part)
        size += len(part)
    if size == len(text) or size > _LONGEST:
        long = f" Longer than {_LONGEST:,} characters, it is not read further." if size > _LONGEST else ""
        raise CorpusError(f"{problem}{long}\n{ITEM_ADVICE}.")
    return "".join(parts)


# --- lines


def json_lines_field(chunks: Iterable[str], name: str, field: str) -> Iterator[str | None]:
    """The string under `field` in each line's object, None for null; blank lines are skipped."""
    for place, value in json_lines(chunks, name):
        yield whole_characters(text_of(value, place, field, LINE_ADVICE), f"{place}: field {quoted(field)}")


def json_lines(chunks: Iterable[str], name: str) -> Iterator[tuple[str, Any]]:
    """The value on each line that is not blank, with its place, for messages."""
    for number, line in enumerate(split_lines(chunks, name), start=1):
        if line.strip():
            place = f"{name} line {number:,}"
            yield place, _parsed(line, place)


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
        if size > _LONGEST:
            what = f"{name} line {number + 1:,} has more than {_LONGEST:,} characters, which are held in memory."
            raise CorpusError(f"{what}\n{LINE_ADVICE}; a longer text can be given as .txt.")
    yield "".join(parts)


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise CorpusError(f"{where} is not valid JSON: {reason}.\n{LINE_ADVICE}") from error


# --- both


def text_of(record: Any, where: str, field: str, advice: str, setting: str = "field") -> str | None:
    """The string under `field` in an object, or None for null, in either's place. Raises CorpusError, which names the
    place `where` it is, and the `setting` that names the field.
    """
    if not isinstance(record, dict):
        raise CorpusError(f"{where} is {json_type(record)}, not a JSON object.\n{advice}")
    text = record.get(field)
    if isinstance(text, str) or (text is None and field in record):
        return text
    what = f"{where} has no field {quoted(field)}"
    if field in record:
        what = f"{where}: field {quoted(field)} is {json_type(text)}, not a string"
    texts = [name for name, value in record.items() if isinstance(value, str)]
    raise no_field(what, "fields", list(record), texts, setting)


def whole_characters(text: str | None, where: str) -> str | None:
    """`text`, unless it contains a lone surrogate, which JSON can express and no encoding can represent."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}, half of a surrogate pair"
        raise CorpusError(f"{where} contains {half}.\nWrite both halves, or \\ufffd.") from error
    return text


def json_type(value: object) -> str:
    return TYPES.get(type(value), "a number")


def no_field(message: str, kind: str, names: list[str], texts: list[str], setting: str) -> CorpusError:
    """The error `message`, with the `names` that exist, and one of those (`texts`) that may have been meant by the
    `setting`.
    """
    listed = ", ".join(map(quoted, names[:_LISTED]))
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    there = f"It has the {kind} {listed}{more}." if names else f"It has no {kind}."
    advice = f"\nTry {named(setting, shlex.quote(escaped(texts[0])))}" if texts else ""
    if setting != "field":  # of two, of which the other may well be what is there
        advice = f"\nName the two with {named('source_field')} and {named('target_field')}."
    return CorpusError(f"{message}. {there}{advice}")
