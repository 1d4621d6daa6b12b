"""What all records have in common, and how they are written as JSON, read again and validated.

They are frozen, plain Python and JSON-safe; their field names are the JSON names, and the annotations say what is read,
so that a new field needs no line here. A probability is a share of 1, never a percentage; bits are log2, nats are the
natural logarithm.
"""

import json
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import repeat
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from minigpt.errors import CheckpointError, ConfigError, brief
from minigpt.settings import Settings

T = TypeVar("T")
_Reader = Callable[[Any], Any]
_MOST_INT = 2**63  # whole numbers are 64 bits wide wherever they go


@dataclass(frozen=True, slots=True)
class Within:
    """The range of a number read from a file, as the second part of an `Annotated`: both ends included."""

    least: float
    most: float
    words: str


# Any of these can be summed and squared without an overflow.
_MOST = 1e60  # far beyond what float32 holds, and so any loss
Count = Annotated[int, Within(0, math.inf, "0 or more")]
Several = Annotated[int, Within(1, math.inf, "1 or more")]
Amount = Annotated[float, Within(0, _MOST, "a number of 0 or more that is not too large")]
Positive = Annotated[float, Within(1e-60, _MOST, "a number above 0 that is neither too small nor too large")]
Share = Annotated[float, Within(0, 1, "a number from 0 to 1")]


class Record:
    """A record that a notebook shows as its table."""

    __slots__ = ()

    as_html: ClassVar[Callable[[Any], str | None]] = lambda record: None  # until minigpt.render.notebook is imported

    def _repr_html_(self) -> str | None:
        return Record.as_html(self)


def records_of(kind: type[T], **columns: Sequence[Any]) -> tuple[T, ...]:
    """Frozen records with slots, from a column of values for each field.

    This takes half the time of calling `kind` for each: the __init__ of a frozen dataclass sets every field by
    object.__setattr__.
    """
    setters = _setters(cast(Hashable, kind))
    assert columns.keys() == setters.keys(), "a column for each field"
    rows = tuple(map(object.__new__, repeat(kind, len(next(iter(columns.values()))))))
    for name, column in columns.items():
        deque(map(setters[name], rows, column), maxlen=0)
    return rows


@cache
def _setters(kind: Any) -> Mapping[str, Callable[[Any, Any], None]]:
    return {name: getattr(kind, name).__set__ for name in _names(kind)}


def to_plain(value: Any) -> Any:
    """A record as JSON: objects, lists, and null for NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [to_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: to_plain(inner) for name, inner in value.items()}
    names = _names(value.__class__)
    return {name: to_plain(getattr(value, name)) for name in names} if names else value


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The JSON names of a record's fields; none for anything else."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


# --- from JSON


class Misfit(ValueError):
    """A value that does not validate: where it is, what it is, and what is allowed."""

    def of(self, path: Path) -> str:
        """The sentence about the file that contains it."""
        text = str(self)
        if text.startswith("it "):
            return f"{path} {text[3:]}."
        what = text[1:] if text[0] == "." else f"it {text}"
        return f"{path} is damaged, or is not of this version of minigpt: {what}."

    def inside(self, place: str) -> "Misfit":
        """The same, of the value that contains it; `place` is its name or number there."""
        text = str(self)
        return Misfit(f"{place}{text}" if text[0] in ".[" else f"{place} {text}")


def read_object(path: Path, constant: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """The JSON object in a file, as `from_line` reads it. Raises CheckpointError, which names the file."""
    try:
        return from_line(path.read_bytes(), constant)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except Misfit as error:
        raise CheckpointError(error.of(path)) from error


def record_of(kind: type[T], value: Any, path: Path) -> T:
    """`from_plain`, not exactly, for the contents of a file. Raises CheckpointError, which names the file."""
    try:
        return from_plain(kind, value, exact=False)
    except Misfit as error:
        raise CheckpointError(error.of(path)) from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error.message}") from error


def from_line(line: bytes, constant: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """The JSON object in UTF-8. Raises Misfit; duplicate names are rejected.

    NaN and infinity are rejected too, unless `constant` says what they stand for.
    """
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=constant or _refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Misfit(f"it is not UTF-8: byte {error.object[error.start]:#04x} at {error.start:,}") from error
    except json.JSONDecodeError as error:
        raise Misfit(f"it is not JSON: {error.msg}, at {error.pos:,}") from error
    except RecursionError as error:
        raise Misfit("it is not JSON that can be read: it is nested too deeply") from error
    except Misfit:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise Misfit("it contains a number of too many digits") from error
    if not isinstance(value, dict):
        raise Misfit("it does not contain a JSON object")
    return value


def from_plain(kind: type[T], value: Any, *, exact: bool = True) -> T:
    """The record of `kind` (a dataclass) in `value`, with exactly its fields, each of its type.

    Unless `exact`, fields with a default may be missing, since older versions did not write them, and unknown names,
    from newer versions, are ignored, except for settings, without which a run would differ. Raises Misfit, also for a
    null in place of a required number, and for text that is not Unicode. Errors raised by the record itself pass
    through.
    """
    record: T = _reader(cast(Hashable, kind), exact)(value)
    return record


def _refuse_constant(name: str) -> None:
    raise Misfit(f"it contains {name}, which is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for i, name in enumerate(names) if name in names[:i])
        raise Misfit(f"it gives {_shown(repeated)} twice")
    return values


@cache
def _reader(kind: Any, exact: bool) -> _Reader:
    """The function that reads a value of a type."""
    if is_dataclass(kind):
        return _object_reader(kind, exact)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _range_reader(_reader(parts[0], exact), parts[1])
    if origin is tuple and parts[-1] is Ellipsis:
        return _list_reader(repeat(_reader(parts[0], exact)))
    if origin is tuple:
        return _list_reader([_reader(part, exact) for part in parts], len(parts))
    if origin is Mapping:
        return _mapping_reader(_reader(parts[1], exact))
    if origin in (Union, UnionType):
        return _union_reader([_reader(part, exact) for part in parts if part is not NoneType], NoneType in parts)
    return _SCALARS[kind]


def _object_reader(kind: Any, exact: bool) -> _Reader:
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: _reader(hints[field.name], exact) for field in fields(kind)}
    optional = {f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING}
    needed = [name for name in readers if exact or name not in optional]
    takes_any = not exact and not issubclass(kind, Settings)

    def read(value: Any) -> Any:
        _check_type(value, "an object", dict)
        if value.keys() != readers.keys():
            if missing := next((name for name in needed if name not in value), None):
                raise Misfit(f"has no {missing}")
            unknown = next((name for name in value if name not in readers), None)
            if unknown is not None and not takes_any:
                raise Misfit(f"has an unknown name, {_shown(unknown)}")
        found = {}
        for name, read_field in readers.items():
            if name in value:
                try:
                    found[name] = read_field(value[name])
                except Misfit as error:
                    raise error.inside(f".{name}") from None
        return kind(**found)

    return read


def _list_reader(items: Iterable[_Reader], count: int | None = None) -> _Reader:
    """A reader of lists, or of lists of exactly `count` values."""

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or count not in (None, len(value)):
            raise _wrong(value, "a list" if count is None else f"a list of {count}")
        found: list[Any] = []
        try:
            for read_item, item in zip(items, value, strict=False):
                found.append(read_item(item))
        except Misfit as error:
            raise error.inside(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _mapping_reader(read_item: _Reader) -> _Reader:
    def read(value: Any) -> Any:
        _check_type(value, "an object", dict)
        found = {}
        for name, item in value.items():
            try:
                found[_read_text(name)] = read_item(item)
            except Misfit as error:
                raise error.inside(f"[{_shown(name)}]") from None
        return found

    return read


def _union_reader(readers: list[_Reader], may_be_null: bool) -> _Reader:
    """A reader of the first type that fits; if none fits, the error is that of the first."""
    usual, *others = readers

    def read(value: Any) -> Any:
        if value is None and may_be_null:
            return None
        try:
            return usual(value)
        except Misfit:
            for reader in others:
                with suppress(Misfit):
                    return reader(value)
            raise

    return read


def _range_reader(read_number: _Reader, within: Within) -> _Reader:
    def read(value: Any) -> Any:
        number = read_number(value)
        if not within.least <= number <= within.most:
            raise _wrong(number, within.words)
        return number

    return read


def _scalar_reader(words: str, kind: type) -> _Reader:
    def read(value: Any) -> Any:
        _check_type(value, words, kind)
        return value

    return read


def _read_int(value: Any) -> Any:
    _check_type(value, "a whole number", int)
    if not -_MOST_INT <= value < _MOST_INT:
        raise Misfit("is a number too large")
    return value


def _read_float(value: Any) -> float:
    _check_type(value, "a number", int, float)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(value, "a finite number") if math.isnan(number) else Misfit("is a number too large")
    return number


def _read_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise _wrong(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Misfit("is a text with half a character in it") from error
    return value


def _read_date(value: Any) -> datetime:
    """A date without a time zone is in UTC."""
    try:
        date = datetime.fromisoformat(_read_text(value))
    except ValueError as error:
        raise _wrong(value, "a date") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


_SCALARS: dict[Any, _Reader] = {
    int: _read_int,
    float: _read_float,
    str: _read_text,
    bool: _scalar_reader("true or false", bool),
    NoneType: _scalar_reader("null", NoneType),
    datetime: _read_date,
    Any: lambda value: value,
}


def _check_type(value: Any, words: str, *kinds: type) -> None:
    if type(value) not in kinds:
        raise _wrong(value, words)


def _wrong(value: Any, wanted: str) -> Misfit:
    is_what = (
        "a list" if isinstance(value, (list, tuple)) else "an object" if isinstance(value, dict) else _shown(value)
    )
    return Misfit(f"is {is_what}, where {wanted} must be")


def _shown(value: Any) -> str:
    return brief(json.dumps(value, default=repr))
