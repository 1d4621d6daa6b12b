"""Plain values, as JSON has them, in; the frozen records that they stand for out, strictly: the way back of `to_plain`.

The annotations of a record's fields say what is read, so that a new field needs no line here.
"""

import json
import math
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from minigpt.errors import brief
from minigpt.records import Candidate, Token

T = TypeVar("T")
_Reader = Callable[[Any], Any]


class Misfit(ValueError):
    """A value that is not what it should be: where it stands, what it is, what must be there."""


def from_line(line: bytes) -> dict[str, Any]:
    """The JSON object in one line of UTF-8. Raises Misfit; NaN, infinity and a name given twice are no JSON here."""
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Misfit(f"it is not UTF-8: byte {error.object[error.start]:#04x} at {error.start:,}") from error
    except json.JSONDecodeError as error:
        raise Misfit(f"it is not JSON: {error.msg}, at {error.pos:,}") from error
    except RecursionError as error:
        raise Misfit("it is nested too deeply") from error
    except Misfit:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise Misfit("it holds a number of too many digits") from error
    if not isinstance(value, dict):
        raise Misfit("it is no JSON object")
    return value


def from_plain(kind: type[T], value: Any) -> T:
    """The record of `kind` (a dataclass) that `value` stands for: every field there, no other, each of its type.

    Raises Misfit, also for a null that stands for no finite number where a number must be, and for text that is not
    Unicode. What a record itself refuses comes as it raises it.
    """
    record: T = _reader(cast(Hashable, kind))(value)
    return record


def _refuse_constant(name: str) -> None:
    raise Misfit(f"it holds {name}, which is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise Misfit(f"it gives {brief(json.dumps(twice))} twice")
    return values


@cache
def _reader(kind: Any) -> _Reader:
    """What reads a value of a type."""
    if kind is Token:
        return _read_token
    if is_dataclass(kind):
        return _object_reader(kind)
    if get_origin(kind) is tuple:
        return _list_reader(_reader(get_args(kind)[0]))
    if get_origin(kind) in (Union, UnionType):
        (inner,) = (part for part in get_args(kind) if part is not NoneType)
        read = _reader(inner)
        return lambda value: None if value is None else read(value)
    scalar: _Reader = _SCALARS[kind]
    return scalar


def _object_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, "an object")
        if value.keys() != readers.keys():
            missing = next((name for name in readers if name not in value), None)
            unknown = next((name for name in value if name not in readers), None)
            raise Misfit(f"has no {missing}" if missing else f"has an unknown name, {brief(json.dumps(unknown))}")
        name, found = "", {}
        try:
            for name, reader in readers.items():
                found[name] = reader(value[name])
        except Misfit as error:
            raise _inside(f".{name}", error) from None
        return kind(**found)

    return read


def _list_reader(item: _Reader) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _wrong(value, "a list")
        found: list[Any] = []
        try:
            for inner in value:
                found.append(item(inner))
        except Misfit as error:
            raise _inside(f"[{len(found)}]", error) from None
        return tuple(found)

    return read


def _read_token(value: Any) -> Token:
    """A candidate, or a bare token where the numbers of one are null."""
    if isinstance(value, dict) and value.get("rank", 0) is None:
        bare: Token = _object_reader(Token)({name: value.get(name) for name in ("id", "text", "bytes")})
        return bare
    candidate: Token = _reader(Candidate)(value)
    return candidate


def _read_int(value: Any) -> int:
    if type(value) is not int:
        raise _wrong(value, "a whole number")
    return value


def _read_float(value: Any) -> float:
    if type(value) not in (int, float):
        raise _wrong(value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Misfit("is a number too large")
    return number


def _read_text(value: Any) -> str:
    if type(value) is not str:
        raise _wrong(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Misfit("is a text with half a character in it") from error
    return value


def _read_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(value, "true or false")
    return value


_SCALARS: dict[type, _Reader] = {int: _read_int, float: _read_float, str: _read_text, bool: _read_bool}


def _inside(where: str, error: Misfit) -> Misfit:
    """The same error, seen from outside."""
    inner = str(error)
    return Misfit(where + (inner if inner[0] in ".[" else f" {inner}"))


def _wrong(value: Any, wanted: str) -> Misfit:
    if isinstance(value, (list, dict)):
        return Misfit(f"is {'a list' if isinstance(value, list) else 'an object'}, where {wanted} must be")
    return Misfit(f"is {brief(json.dumps(value))}, where {wanted} must be")
