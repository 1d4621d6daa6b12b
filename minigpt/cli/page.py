"""`--html FILE`: what a command looks at, as a page for a browser."""

import os
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.guard import note
from minigpt.errors import ConfigError, OutputError
from minigpt.sampling.records import StepRecord
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    from torch import Tensor

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.render.html import Section
    from minigpt.render.text_page import Step
    from minigpt.sampling.engine import Piece

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Also write a page for a browser: FILE.html, which needs no network.", show_default=False
    ),
]


def check_page(path: Path | None) -> None:
    """Before the work begins: raises ConfigError for another ending, OutputError where no page can be written."""
    if path is None:
        return
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html {path} must end in .html: it would be overwritten.")
    if not path.parent.is_dir():
        raise OutputError(f"--html {path}: there is no folder {path.parent}.")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        why = "it is a folder" if path.is_dir() else f"the folder {path.parent} is not yours to write in"
        raise OutputError(f"--html {path} cannot be written: {why}.")


def write_page(path: Path, title: str, sections: "Sequence[Section]", checkpoint: "Checkpoint", *, quiet: bool) -> None:
    """The page into `path`, whole or not at all, and a note that says so."""
    from minigpt.checkpoint.files import write_text
    from minigpt.render.html import page

    write_text(path, page(title, sections, caption=f"minigpt · {checkpoint.path}"))
    note(f"the page is {path}; open it in a browser.", quiet=quiet)


def page_title(text: str) -> str:
    line = " ".join(text.split())
    return f"minigpt: {line if len(line) <= 60 else line[:59] + '…'}"


class SamplePage:
    """`sample --html`: keeps what each step was drawn from, and writes the page at the end."""

    def __init__(self, path: Path, checkpoint: "Checkpoint", prompt: str, config: SampleConfig, count: int) -> None:
        from minigpt.sampling.page_steps import PageSteps, listed

        later = dropwhile(lambda spec: spec.by_token, config.active)
        for spec in (spec for spec in later if spec.by_token):
            raise ConfigError(
                f"--html shows a {spec.words} only as the first of the --stages: put it there, or leave out --html."
            )
        self._path, self._checkpoint, self._prompt, self._config = path, checkpoint, prompt, config
        self._ids = checkpoint.tokenizer.encode(prompt) or [checkpoint.tokenizer.end_of_text]
        self._best = listed(count * (len(self._ids) + config.max_tokens))
        self._steps = PageSteps(checkpoint, config, self._best)
        self._waiting: dict[int, tuple[Tensor, tuple[int, ...]]] = {}
        self._drawn: dict[int, list[Step]] = {number: [] for number in range(count)}

    def watch(self, sample: int, ids: Sequence[int], logits_V: "Tensor") -> None:
        """What the next token of a sample is drawn from; the record comes with the piece."""
        self._waiting[sample] = logits_V.clone(), tuple(ids)

    def keep(self, pieces: "Iterator[Piece]") -> "Iterator[Piece]":
        """The same pieces."""
        for piece in pieces:
            if isinstance(piece.record, StepRecord):
                logits_V, ids = self._waiting.pop(piece.record.sample)
                self._drawn[piece.record.sample].append(self._steps.of(logits_V, ids, piece.record))
            yield piece

    def write(self, *, quiet: bool) -> None:
        from minigpt.render.text_page import text_section
        from minigpt.sampling.page_steps import every_step

        given = list(every_step(self._checkpoint, self._ids, self._config, self._best))
        sections = [
            text_section(_name(number, len(self._drawn)), [*given, *steps], self._config, given=len(given))
            for number, steps in self._drawn.items()
        ]
        write_page(self._path, page_title(self._prompt), sections, self._checkpoint, quiet=quiet)


def _name(number: int, count: int) -> str:
    return "The prompt and its continuation" if count == 1 else f"Sample {number + 1} of {count}"
