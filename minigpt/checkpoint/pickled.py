"""Reads the plain values of a pickle without unpickling it: nothing that the file names is imported or called.

A pickle is a program for a small stack machine. pickletools, of Python's library, lists its instructions without
carrying them out. Those that make plain values are carried out here; classes and functions stay names.
"""

import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from minigpt.errors import CheckpointError, brief, escaped

LARGEST = 1 << 22  # bytes; the pickle in nanoGPT's checkpoint of a GPT-2 XL has some 400 thousand
DICT = "collections.OrderedDict"

_MAKE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_VALUES = ("INT", "LONG", "FLOAT", "STRING", "UNICODE", "BYTES")  # also BININT1, SHORT_BINUNICODE, BINBYTES8 ...


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function, of which nothing but the name is known."""

    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """What unpickling would have made by a call."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Outside:
    """What lies outside the pickle, by its key."""

    key: Any


def read_pickle(data: bytes, where: str, allowed: Collection[str] = ()) -> Any:
    """The value of a pickle: None, bool, int, float, str, bytes, list, tuple, dict, and Name, Call and Outside.

    It may use the names in `allowed`; an OrderedDict becomes a dict. Raises CheckpointError, whose message begins with
    `where`, for other names and values, and for what is damaged or is no pickle.
    """
    if len(data) > LARGEST:
        raise CheckpointError(f"{where}: its pickle has {len(data):,} bytes; more than {LARGEST:,} are not read.")
    machine = _Machine(where, allowed)
    try:
        for instruction, argument, _ in pickletools.genops(data):
            machine.step(instruction.name, argument)
        (value,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where} is damaged, or is not a pickle.") from error
    return value


def shown(value: Any) -> str:
    """A value for a message. A list is not written out: of a few that hold one another, it could have no end."""
    return brief(ascii(value)) if is_plain(value) else f"a {type(value).__name__.lower()}"


def is_plain(value: Any) -> bool:
    """Whether a value holds no others."""
    return value is None or isinstance(value, bool | int | float | str | bytes)


class _Machine:
    """The stack since the last mark, the `outer` ones before it, and the values that are used again, by number."""

    def __init__(self, where: str, allowed: Collection[str]) -> None:
        self.where, self.allowed = where, allowed
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _MAKE:
            self.stack.append(_MAKE[name]())
        elif name.rstrip("0123456789").removeprefix("SHORT_").removeprefix("BIN") in _VALUES:
            if isinstance(argument, int) and argument.bit_length() > 64:
                raise ValueError("a number of more than 64 bits")
            self.stack.append(argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise CheckpointError(f"{self.where}: its pickle has the instruction {name}, which is not read.")
            method(argument)

    def _mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.outer.pop()
        return values

    def _last(self, count: int) -> tuple[Any, ...]:
        values = tuple(self.stack[-count:])
        if len(values) < count:
            raise IndexError("the stack is too short")
        del self.stack[-count:]
        return values

    def _pop(self, _: None) -> None:
        self.stack.pop()

    def _pop_mark(self, _: None) -> None:
        self._since_mark()

    def _dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _tuple(self, _: None) -> None:
        values = tuple(self._since_mark())
        self.stack.append(values)

    def _tuple1(self, _: None) -> None:
        self.stack.append(self._last(1))

    def _tuple2(self, _: None) -> None:
        self.stack.append(self._last(2))

    def _tuple3(self, _: None) -> None:
        self.stack.append(self._last(3))

    def _list(self, _: None) -> None:
        values = self._since_mark()
        self.stack.append(values)

    def _append(self, _: None) -> None:
        self._extend(self._last(1))

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: Any) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("not a list")
        target.extend(values)

    def _dict(self, _: None) -> None:
        values = self._since_mark()
        self.stack.append({})
        self._set(values)

    def _setitem(self, _: None) -> None:
        self._set(self._last(2))

    def _setitems(self, _: None) -> None:
        self._set(self._since_mark())

    def _set(self, values: Any) -> None:
        target = self.stack[-1]
        keys = values[::2]
        if type(target) is not dict or not all(isinstance(key, str | int) for key in keys):
            raise TypeError("not a table with names or numbers")
        target.update(zip(keys, values[1::2], strict=True))

    def _put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    _binget = _long_binget = _get

    def _global(self, name: str) -> None:
        self._name(name.replace(" ", "."))

    def _stack_global(self, _: None) -> None:
        self._name(".".join(self._last(2)))

    def _name(self, name: str) -> None:
        if name not in self.allowed:
            raise CheckpointError(
                f"{self.where} would call {brief(escaped(name))} if it were unpickled, and is not read."
            )
        self.stack.append(Name(name))

    def _reduce(self, _: None) -> None:
        function, arguments = self._last(2)
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise TypeError("not a call")
        if function.name == DICT and not arguments:
            self.stack.append({})
        else:
            self.stack.append(Call(function.name, arguments))

    _newobj = _reduce

    def _build(self, _: None) -> None:
        self._last(1)  # attributes of a value, such as the versions in a state dict

    def _binpersid(self, _: None) -> None:
        self.stack.append(Outside(*self._last(1)))
