"""Prints a record on standard output, as JSON or as the lines that show it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.text import Text

from minigpt.cli.console import print_lines
from minigpt.render.machine import to_json
from minigpt.render.screen import Screen

Lines = Callable[[Screen], Iterable[Text]]


def print_view(record: Any, lines: Lines, *, json: bool, about: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Print the lines for the screen at hand, or JSON with the fields of `about`."""
    if json:
        print(to_json(record, **about()))
    else:
        print_lines(lines)
