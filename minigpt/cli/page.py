"""`--html FILE`: writes a command's result as a page for a browser."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.checkpoint.files import write_text
from minigpt.cli.console import note
from minigpt.errors import OutputError, named
from minigpt.render.html import Section, page
from minigpt.render.text_page import text_section
from minigpt.settings import require

if TYPE_CHECKING:
    from minigpt.app.sample_run import SampleRun
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.sampling.page_steps import SampleSteps

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Also write a page for a browser: FILE.html, which needs no network.", show_default=False
    ),
]


def check_page(path: Path | None) -> None:
    """Raise ConfigError for another file ending, OutputError if no page can be written, before the work begins."""
    if path is None:
        return
    is_page = path.suffix.lower() in (".html", ".htm")
    require(is_page, f"{named('html', path)} must end in .html: it would be overwritten.")
    check_folder("html", path)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        why = "it is a folder" if path.is_dir() else f"the folder {path.parent} is not writable"
        raise OutputError(f"{named('html', path)} cannot be written: {why}.")


def check_folder(name: str, path: Path) -> None:
    """Raise OutputError if the folder of a file that this setting names is not there."""
    if not path.parent.is_dir():
        raise OutputError(f"{named(name, path)}: there is no folder {path.parent}.")


def write_page(path: Path, title: str, sections: Sequence[Section], checkpoint: "Checkpoint") -> None:
    """Write the page to `path`, whole or not at all, and print a note about it."""
    write_text(path, page(title, sections, caption=f"minigpt · {checkpoint.path}"))
    note(f"the page is {path}; open it in a browser.")


def page_title(text: str) -> str:
    """The title of a page about a text: its beginning, on one line."""
    line = " ".join(text.split())
    return f"minigpt: {line if len(line) <= 60 else line[:59] + '…'}"


def write_sample_page(path: Path, run: "SampleRun", steps: "SampleSteps") -> None:
    """Write the page of all samples, and print a note about it."""
    given, drawn = steps.given(), steps.drawn
    one = "The prompt and its continuation" if len(drawn) == 1 else ""
    sections = [
        text_section(one or f"Sample {number + 1} of {len(drawn)}", [*given, *mine], run.config, given=len(given))
        for number, mine in drawn.items()
    ]
    write_page(path, page_title(run.text), sections, run.checkpoint)
