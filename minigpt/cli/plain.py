"""Converts the plain values of flags: for any other, typer imports pydantic, which takes longer than an answer."""

import os
import re
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from typer.models import ParameterInfo

_NOT_PLAIN = object()
_NUMBERS = {int: r"\d{1,15}", float: r"\d{1,15}(\.\d{1,15})?"}


def converting_plainly(parameters: list[Any], callback: Callable[..., Any] | None) -> list[Any]:
    """The same `parameters` of typer, which now convert plain values by themselves, to what typer makes of them.

    Plain are a value that is missing or has its type already, a text, the path of a file that can be read or is not
    there, a number in digits, and several of these. Typer converts the others, and refuses what is wrong. `callback`:
    of their command, whose annotations are those of its parameters. The flags that typer adds, such as --help, are
    switches.
    """
    annotations = unwrap(callback).__annotations__ if callback else {}
    for parameter in parameters:
        if "process_value" not in vars(parameter):
            annotation = annotations.get(parameter.name, Annotated[bool, ParameterInfo()])
            kind, about = get_args(annotation)[:2] if get_origin(annotation) is Annotated else (Any, ParameterInfo())
            kinds = {*get_args(kind | None)} - {type(None)}
            parameter.process_value = partial(_processed, parameter, parameter.process_value, kinds, about)
    return parameters


def _processed(parameter: Any, by_typer: Any, kinds: set[Any], about: ParameterInfo, ctx: Any, value: Any) -> Any:
    many = parameter.multiple or parameter.nargs == -1
    plain: Any = _NOT_PLAIN
    if value is None and not parameter.required:
        plain = () if many else None
    elif about.parser is None and len(kinds) == 1:
        (kind,) = kinds
        if not many:
            plain = _plain(value, kind, about)
        elif isinstance(value, list | tuple) and value:
            (inner,) = get_args(kind)
            items = [_plain(item, inner, about) for item in value]
            plain = _NOT_PLAIN if any(item is _NOT_PLAIN for item in items) else items
    if plain is _NOT_PLAIN:
        return by_typer(ctx, value)
    return plain if parameter.callback is None else parameter.callback(ctx, parameter, plain)


def _plain(value: Any, kind: Any, about: ParameterInfo) -> Any:
    """The value as one of this kind, or _NOT_PLAIN."""
    if type(value) is kind:
        return value
    asks_more = about.exists or about.writable or about.resolve_path or not (about.file_okay and about.dir_okay)
    if isinstance(value, str | Path) and kind is Path and not asks_more:
        if "\0" not in str(value) and (os.access(value, os.R_OK) or not os.path.exists(value)):
            return Path(value)
    elif type(value) is str and kind in _NUMBERS and re.fullmatch(_NUMBERS[kind], value, re.ASCII):
        number = kind(value)
        if (about.min is None or number >= about.min) and (about.max is None or number <= about.max):
            return number
    return _NOT_PLAIN
