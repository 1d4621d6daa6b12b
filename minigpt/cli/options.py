"""The flags that several commands share."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from minigpt.cli.flags import flag_of
from minigpt.settings import FileAndModel, SampleConfig, one_of


def json_flag(form: str) -> Any:
    """The flag --json; its help says what is printed: one document, or one line for each of something."""
    return typer.Option("--json", help=f"JSON on standard output, for other programs: {form}.")


def csv_flag(form: str) -> Any:
    """The flag --csv; its help says what its rows are."""
    return typer.Option("--csv", help=f"{form}, for a spreadsheet.")


def choice(values: Iterable[str], help: str, *names: str, remarks: Mapping[str, str] | None = None, **more: Any) -> Any:
    """A flag with a fixed set of `values`, which replace {values} in its help, and which the shell completes.

    `remarks`, by value, follow them in parentheses. Whoever takes the value checks it with `require_choice`.
    """
    known = tuple(values)
    described = one_of(f"{value} ({remarks[value]})" if remarks and value in remarks else value for value in known)

    def complete(incomplete: str) -> list[str]:
        return [value for value in known if value.startswith(incomplete)]

    return typer.Option(*names, help=help.format(values=described), autocompletion=complete, **more)


Checkpoint = Annotated[Path | None, flag_of(FileAndModel, "checkpoint")]
TextFile = Annotated[Path | None, flag_of(FileAndModel, "file")]
Top = Annotated[int, flag_of(SampleConfig, "top")]
Json = Annotated[bool, json_flag("one document")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no notes and no progress on standard error.")]
