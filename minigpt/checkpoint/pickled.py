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
            self._push(_MAKE[name]())
        elif name.rstrip("0123456789").removeprefix("SHORT_").removeprefix("BIN") in _VALUES:
            if isinstance(argument, int) and argument.bit_length() > 64:
                raise ValueError("a number of more than 64 bits")
            self._push(argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._work(name, argument)

    def _work(self, name: str, argument: Any) -> None:
        """Carry out an instruction that works with what is there."""
        match name:
            case "MARK":
                self.outer.append(self.stack)
                self.stack = []
            case "POP":
                self.stack.pop()
            case "POP_MARK":
                self._since_mark()
            case "DUP":
                self._push(self.stack[-1])
            case "TUPLE":
                self._push(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._push(self._last(int(name[-1])))
            case "LIST":
                self._push(self._since_mark())
            case "APPEND":
                self._extend(self._last(1))
            case "APPENDS":
                self._extend(self._since_mark())
            case "DICT":
                values = self._since_mark()
                self._push({})
                self._set(values)
            case "SETITEM":
                self._set(self._last(2))
            case "SETITEMS":
                self._set(self._since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._push(self.memo[argument])
            case "GLOBAL":
                self._name(argument.replace(" ", "."))
            case "STACK_GLOBAL":
                self._name(".".join(self._last(2)))
            case "REDUCE" | "NEWOBJ":
                self._call(*self._last(2))
            case "BUILD":
                self._last(1)  # attributes of a value, such as the versions in a state dict
            case "BINPERSID":
                self._push(Outside(*self._last(1)))
            case _:
                raise CheckpointError(f"{self.where}: its pickle has the instruction {name}, which is not read.")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.outer.pop()
        return values

    def _last(self, count: int) -> tuple[Any, ...]:
        values = tuple(self.stack[-count:])
        if len(values) < count:
            raise IndexError("the stack is too short")
        del self.stack[-count:]
        return values

    def _extend(self, values: Any) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("not a list")
        target.extend(values)

    def _set(self, values: Any) -> None:
        target = self.stack[-1]
        keys = values[::2]
        if type(target) is not dict or not all(isinstance(key, str | int) for key in keys):
            raise TypeError("not a table with names or numbers")
        target.update(zip(keys, values[1::2], strict=True))

    def _name(self, name: str) -> None:
        if name not in self.allowed:
            raise CheckpointError(
                f"{self.where} would call {brief(escaped(name))} if it were unpickled, and is not read."
            )
        self._push(Name(name))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise TypeError("not a call")
        self._push({} if function.name == DICT and not arguments else Call(function.name, arguments))
