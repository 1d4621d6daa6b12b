"""What the user gave to a command: its flags' values by name, as the settings that they are."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import typer

T = TypeVar("T")


def given(ctx: typer.Context) -> dict[str, Any]:
    """The values that were given, by the flags' names in Python; a default is not given."""
    return {name: value for name, value in ctx.params.items() if _is_given(ctx, name)}


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass made of those `values` that are named as its fields are; its own defaults for the rest."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
