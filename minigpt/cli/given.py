"""Turns the flags that the user gave into settings."""

from typing import Any

import typer


def given(ctx: typer.Context) -> dict[str, Any]:
    """The values that were given, by the flags' names in Python; a default is not given."""
    return {name: value for name, value in ctx.params.items() if _is_given(ctx, name)}


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
