"""What all records have in common. They are frozen, plain Python and JSON-safe; their field names are the JSON names.

A probability is a share of 1, never a percentage; bits are log2, nats are the natural logarithm.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar


@dataclass(frozen=True, slots=True)
class Within:
    """The range of a number read from a file, as the second part of an `Annotated`: both ends included."""

    least: float
    most: float
    words: str

    def holds(self, number: float) -> bool:
        return self.least <= number <= self.most


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
