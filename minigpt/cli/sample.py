"""`minigpt sample`: continues a prompt and shows the distribution of each step."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from minigpt.cli.beam import beam
from minigpt.cli.console import note, say, stderr, stdout, working
from minigpt.cli.flags import Given, command
from minigpt.cli.page import check_page, write_sample_page
from minigpt.cli.remarks import note_boundary, note_checkpoint, note_escapes
from minigpt.cli.replay import replay
from minigpt.render.corpus import verbatim_caption, verbatim_text
from minigpt.render.heat import SCALES, Scale
from minigpt.render.live import ended, print_every_table, show_live, stream_text
from minigpt.render.machine import to_json
from minigpt.render.progress import redraws
from minigpt.render.scores import sample_caption
from minigpt.render.screen import Screen
from minigpt.render.style import quantity
from minigpt.sampling.records import SampleEnd
from minigpt.settings import AskedFilters, Drawing, Machine, SampleKept, SampleShown, SampleSource, Weights
from minigpt.views.corpus import VerbatimReport

if TYPE_CHECKING:
    from minigpt.app.sample_run import SampleRun
    from minigpt.sampling.engine import Piece


@command
def sample(
    given: Given,
    source: SampleSource,
    filters: AskedFilters,
    drawing: Drawing,
    shown: SampleShown,
    kept: SampleKept,
    machine: Machine,
    weights: Weights,
) -> None:
    """
    [bold]minigpt sample "The cat"[/bold]
        text, and a live table below
    [bold]minigpt sample "The cat" --table every[/bold]
        a table for every step
    [bold]echo "The cat" | minigpt sample --json[/bold]
        a line of JSON for every step
    [bold]minigpt sample --replay cat.jsonl[/bold]
        the same again, from --trace cat.jsonl
    """
    if kept.replay is not None:
        replay(kept.replay, given)
        return
    if drawing.beam is not None:
        beam(source, drawing, shown, machine, given)
        return
    check_page(kept.html)
    from minigpt.app.sample_run import SampleRun, by_sample, paced

    with working() as work:
        run = SampleRun.open(source, filters, drawing, kept, machine, weights, work.begin, given)
    note_checkpoint(run.checkpoint)
    note_escapes(run.config.stop)
    note(*run.prompt_notes, run.verbatim.note if run.verbatim else None)
    out = stdout()
    display, scale = _display(shown, out), _scale(shown, out)
    note_boundary(run.checkpoint, run.text, top=run.config.top, show=shown.boundary)
    with _seed_on_interrupt(run.config.seed), run.pieces() as pieces:
        if shown.json:
            for piece in paced(pieces, shown.pace):
                print(to_json(piece.record, **run.about(piece.record)), flush=True)
        else:
            for number, mine in enumerate(paced(each, shown.pace) for each in by_sample(pieces, range(run.count))):
                if number and not shown.raw:
                    out.print()
                total = _write_bytes(run.shown_first, mine) if shown.raw else _show(display, out, run, mine, scale)
                stderr().print(sample_caption(total, Screen.of(stderr()), kept.trace))
                if run.verbatim:
                    _print_verbatim(out, run.verbatim.report(number))
    _conclude(run)


def _conclude(run: "SampleRun") -> None:
    """Print what is known when all samples have ended."""
    if run.window_moved:
        note(
            "the text is longer than the model's context; from then on it saw only the newer part, "
            "which moves on by half a context at a time."
        )
    if run.kept.html is not None and run.steps is not None:
        write_sample_page(run.kept.html, run, run.steps)
    report = run.difference()
    if report is not None:
        say(
            stderr(),
            f"check: {quantity(report.steps, 'cached step')} against full passes: the largest difference of two logits "
            f"is {report.largest_difference:.2g}, for token {report.position} of sample {report.sample}.",
        )


@contextmanager
def _seed_on_interrupt(seed: int) -> Iterator[None]:
    """On Ctrl-C, print how to make the same text again."""
    try:
        yield
    except KeyboardInterrupt:
        say(stderr(), f"\nstopped by Ctrl-C; again: --seed {seed}")
        raise


def _display(shown: SampleShown, out: Console) -> str:
    """The display of text and tables: live, every or text."""
    if shown.table == "live" and not redraws(out):
        note("standard output cannot redraw, so there is no live table; --table every prints one a step.")
    if shown.table == "every":
        return "every"
    return "live" if redraws(out) and shown.table != "none" else "text"


def _scale(shown: SampleShown, out: Console) -> Scale | None:
    """The colours of the text, if the terminal has any."""
    if shown.heat is None or Screen.of(out).coloured:
        return SCALES[shown.heat] if shown.heat else None
    note("there are no colours here, so --heat shows none.")
    return None


def _show(display: str, out: Console, run: "SampleRun", pieces: Iterator["Piece"], scale: Scale | None) -> SampleEnd:
    views = {"text": stream_text, "every": print_every_table, "live": show_live}
    shown = ((piece.data, piece.record) for piece in pieces)
    return views[display](out, run.shown_first, shown, run.config.max_tokens, scale)


def _print_verbatim(out: Console, report: VerbatimReport) -> None:
    """Print the text again with marks, in a terminal; and a summary on standard error."""
    if redraws(out):
        out.print(verbatim_text(report), soft_wrap=True)
    stderr().print(verbatim_caption(report, Screen.of(stderr())), soft_wrap=True)


def _write_bytes(prompt: str, pieces: Iterator["Piece"]) -> SampleEnd:
    sys.stdout.buffer.write(prompt.encode())
    for piece in pieces:
        sys.stdout.buffer.write(piece.data)
        sys.stdout.buffer.flush()
    return ended(piece.record)
