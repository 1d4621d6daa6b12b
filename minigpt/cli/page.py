"""`--html FILE`: what a command looks at, as a page for a browser."""

import os
from collections.abc import Iterator, Sequence
<<<<<<< HEAD
=======
from dataclasses import dataclass
from itertools import dropwhile
>>>>>>> main
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.guard import note
from minigpt.errors import ConfigError, OutputError
from minigpt.sampling.records import StepRecord
from minigpt.settings import TEMPERATURES, SampleConfig, require

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


<<<<<<< HEAD
=======
def _listed(tokens: int) -> int:
    """How many logits a step has, on a page of so many tokens."""
    require(
        tokens <= _MOST_TOKENS,
        f"--html: a page holds {_MOST_TOKENS:,} tokens at most, not {tokens:,}: give less text, or fewer --max-tokens.",
    )
    return max(_FEWEST_LISTED, min(_LISTED, _LISTED * 500 // tokens))


def _open_step(checkpoint: "Checkpoint", ids: list[int], best: int) -> "Step":
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution, step_record
    from minigpt.sampling.step_logits import step_logits

    token_bytes = checkpoint.tokenizer.token_bytes
    logits_V = decoder_for(checkpoint.model).prefill(ids)[0]
    step = step_record(distribution(logits_V), token_bytes, position=len(ids), top=1)
    return step_logits(logits_V, (), ids, token_bytes, step=step, best=best)


def _every_step(checkpoint: "Checkpoint", ids: list[int], config: SampleConfig, best: int) -> "Iterator[Step]":
    from minigpt.models.reading import position_logits
    from minigpt.sampling.distribution import distribution, step_record
    from minigpt.sampling.seen import SeenTokens
    from minigpt.views.probs import first_token

    pages = _Steps(checkpoint, config, best)
    if ids:
        yield first_token(checkpoint.tokenizer, ids[0])
    seen = SeenTokens(ids[:1], counted=True)
    for position, logits_V in position_logits(checkpoint.model, ids):
        record = step_record(
            distribution(logits_V), checkpoint.tokenizer.token_bytes, position=position, top=1, token=ids[position]
        )
        yield pages.of(logits_V, seen.ids, record)
        seen.add(ids[position])


class _Steps:
    """Steps as a page needs them, with the temperature in use among those of its slider."""

    def __init__(self, checkpoint: "Checkpoint", config: SampleConfig, best: int) -> None:
        from minigpt.sampling.filters import build_stages

        self._token_bytes, self._best = checkpoint.tokenizer.token_bytes, best
        self._stages = build_stages(config)
        self._temperatures = sorted({*TEMPERATURES, config.temperature})

    def of(self, logits_V: "Tensor", ids: "Sequence[int] | Tensor", record: StepRecord) -> "Step":
        from minigpt.sampling.step_logits import step_logits

        return step_logits(
            logits_V,
            self._stages,
            ids,
            self._token_bytes,
            step=record,
            best=self._best,
            temperatures=self._temperatures,
        )


>>>>>>> main
class SamplePage:
    """`sample --html`: keeps what each step was drawn from, and writes the page at the end."""

    def __init__(self, path: Path, checkpoint: "Checkpoint", prompt: str, config: SampleConfig, count: int) -> None:
<<<<<<< HEAD
        active = _active_stages(config)
        require(
            "repetition-penalty" not in active[1:],
            "--html shows a repetition penalty only as the first of the --stages: put it there, or leave out --html.",
        )
        from minigpt.sampling.page_steps import PageSteps, listed

=======
        later = dropwhile(lambda spec: spec.by_token, config.active)
        for spec in (spec for spec in later if spec.by_token):
            raise ConfigError(
                f"--html shows a {spec.words} only as the first of the --stages: put it there, or leave out --html."
            )
>>>>>>> main
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
