"""`--html FILE`: what a command looks at, as a page for a browser."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minigpt.cli.guard import note
from minigpt.cli.view import Lines, print_view
from minigpt.errors import ConfigError, OutputError
from minigpt.render.screen import WIDEST, Screen
from minigpt.sampling.records import StepRecord
from minigpt.settings import SampleConfig, require

if TYPE_CHECKING:
    from torch import Tensor

    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.models.inside import Attention
    from minigpt.render.html import Section
    from minigpt.render.text_page import Step
    from minigpt.sampling.engine import Piece
    from minigpt.views.attention import AttentionGrid
    from minigpt.views.history import HistoryRow

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Also write a page for a browser: FILE.html, which needs no network.", show_default=False
    ),
]

_OFF = SampleConfig(temperature=1.0, top_p=1.0)
_MOST_TOKENS = 5_000  # on a page: 7 MB
_LISTED = 50  # logits a step: a page of 500 tokens stays below 1 MB
_FEWEST_LISTED = 10
_MOST_WEIGHTS = 400_000  # of attention: 1 MB


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


@dataclass(frozen=True)
class ViewPage:
    """The page of one view of a text; each method is a view's, and does nothing where `path` is None."""

    path: Path | None
    checkpoint: "Checkpoint"
    text: str
    quiet: bool

    def _write(self, section: "Section") -> None:
        assert self.path is not None
        write_page(self.path, _title(self.text), [section], self.checkpoint, quiet=self.quiet)

    def next_token(self, ids: list[int]) -> None:
        """What comes after the text."""
        if self.path is not None:
            from minigpt.render.text_page import text_section

            step = _open_step(self.checkpoint, ids, _listed(1))
            self._write(text_section("What comes next", [step], before=self.text))

    def every_token(self, ids: list[int]) -> None:
        """What was expected at each token of the text."""
        if self.path is not None:
            from minigpt.render.text_page import text_section

            steps = _every_step(self.checkpoint, ids, _OFF, _listed(len(ids)))
            self._write(text_section("Every token of the text", steps))

    def history(self, rows: "Sequence[HistoryRow]") -> None:
        """What the models of a training expected."""
        if self.path is not None:
            from minigpt.render.history_page import history_section

            self._write(history_section("What the models of this training expected", rows, self.text))

    def attention(self, attention: "Attention") -> None:
        """Every head of every layer, whichever was asked for."""
        if self.path is not None:
            from minigpt.render.attention_page import attention_section

            grids = _every_grid(self.checkpoint, attention)
            self._write(attention_section("Which earlier tokens each token looks at", grids))

    def show(self, title: str, lines: Lines, record: Any, *, json: bool) -> None:
        """What the terminal shows, there and on the page; or JSON and the page."""
        self.printed(title, lines)
        print_view(record, lines, json=json, about=self.about)

    def about(self) -> dict[str, Any]:
        """What the view's JSON says of itself."""
        from minigpt.app.opening import about

        return about(self.checkpoint, prompt=self.text)

    def printed(self, title: str, lines: Lines) -> None:
        """What the terminal shows, for a screen as wide as tables may be."""
        if self.path is not None:
            from minigpt.render.printed_page import printed_section

            self._write(printed_section(title, lines(Screen(WIDEST))))


def _every_grid(checkpoint: "Checkpoint", attention: "Attention") -> "list[AttentionGrid]":
    """In each layer, the mean of its heads and every head. Raises ConfigError where they are too large for a page."""
    from minigpt.views.attention import attention_grid

    config, count = checkpoint.model.config, len(attention.ids)
    weights = config.layers * (config.heads + 1) * count * (count + 1) // 2
    require(
        weights <= _MOST_WEIGHTS,
        f"--html: a page holds {_MOST_WEIGHTS:,} attention weights at most. {count} tokens have {weights:,}, in "
        f"{config.layers} layers of {config.heads} heads: give a shorter text.",
    )
    return [
        attention_grid(attention, checkpoint.tokenizer, layer, head)
        for layer in range(1, config.layers + 1)
        for head in (None, *range(1, config.heads + 1))
    ]


def _title(text: str) -> str:
    line = " ".join(text.split())
    return f"minigpt: {line if len(line) <= 60 else line[:59] + '…'}"


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
    seen = SeenTokens(ids[:1])
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
        from minigpt.sampling.step_logits import TEMPERATURES

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


class SamplePage:
    """`sample --html`: keeps what each step was drawn from, and writes the page at the end."""

    def __init__(self, path: Path, checkpoint: "Checkpoint", prompt: str, config: SampleConfig, count: int) -> None:
        active = _active_stages(config)
        require(
            "repetition-penalty" not in active[1:],
            "--html shows a repetition penalty only as the first of the --stages: put it there, or leave out --html.",
        )
        self._path, self._checkpoint, self._prompt, self._config = path, checkpoint, prompt, config
        self._ids = checkpoint.tokenizer.encode(prompt) or [checkpoint.tokenizer.end_of_text]
        self._best = _listed(count * (len(self._ids) + config.max_tokens))
        self._steps = _Steps(checkpoint, config, self._best)
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

        given = list(_every_step(self._checkpoint, self._ids, self._config, self._best))
        sections = [
            text_section(_name(number, len(self._drawn)), [*given, *steps], self._config, given=len(given))
            for number, steps in self._drawn.items()
        ]
        write_page(self._path, _title(self._prompt), sections, self._checkpoint, quiet=quiet)


def _name(number: int, count: int) -> str:
    return "The prompt and its continuation" if count == 1 else f"Sample {number + 1} of {count}"


def _active_stages(config: SampleConfig) -> list[str]:
    from minigpt.sampling.filters import build_stages

    return [stage.name for stage in build_stages(config)]
