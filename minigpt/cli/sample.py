"""`minigpt sample`: continues a prompt and shows the distribution of each step."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from minigpt.cli.boundary import tell_of_boundary
from minigpt.cli.console import note, say, stderr, stdout
from minigpt.cli.flags import Given, command
from minigpt.cli.page import SamplePage, check_page
from minigpt.cli.replay import replay
from minigpt.cli.untrained import tell_untrained
from minigpt.cli.verbatim import VerbatimWatch
from minigpt.errors import named
from minigpt.render.heat import SCALES, Scale
from minigpt.render.live import last_record, print_every_table, show_live, stream_text
from minigpt.render.machine import to_json
from minigpt.render.scores import sample_caption
from minigpt.render.screen import Screen
from minigpt.render.style import quantity
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import (
    AskedFilters,
    Drawing,
    Machine,
    SampleKept,
    SampleShown,
    SampleSource,
    Weights,
    require,
)

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
    """Continue a text, and watch every token being chosen.

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
    _check(shown, kept, weights)
    from minigpt.app.sample_run import SampleRun, by_sample

    run = SampleRun.open(source, filters, drawing, machine, weights, check=kept.check)
    tell_untrained(run.checkpoint.path)
    out = stdout()
    how = _way_of_showing(shown, out)
    scale = _scale(shown, out)
    tell_of_boundary(run.checkpoint, run.text, top=run.config.top, show=shown.boundary)
    copied = VerbatimWatch(run.checkpoint, kept.corpus, kept.verbatim)
    page = SamplePage(kept.html, run.checkpoint, run.text, run.config, run.count) if kept.html else None
    watchers, through = ([page.watch], [page.keep, copied.watch]) if page else ([], [copied.watch])
    with (
        _seed_on_interrupt(run.config.seed),
        run.pieces(kept.trace, watchers, through, shown.pace) as pieces,
    ):
        if how == "json":
            _print_json(pieces, run, copied)
        for number, mine in enumerate(by_sample(pieces, range(0 if how == "json" else run.count))):
            if number and how != "raw":
                out.print()
            total = _show(how, out, run, mine, scale)
            stderr().print(sample_caption(total, Screen.of(stderr()), kept.trace))
            copied.tell(out, number)
    _tell_the_rest(run, page)


def _check(shown: SampleShown, kept: SampleKept, weights: Weights) -> None:
    """Raise ConfigError, or OutputError for a page that cannot be written, before any work."""
    require(not (shown.json and shown.raw), f"{named('json')} and {named('raw')} exclude each other.")
    plain = named("json" if shown.json else "raw")
    require(
        shown.heat is None or not (shown.json or shown.raw), f"{plain} shows no colours: leave out {named('heat')}."
    )
    check_page(kept.html)
    smaller = weights != Weights()
    stored = f"{named('dtype')} and {named('quantize')}"
    require(not (kept.check and smaller), f"{named('check')} compares in float32: leave out {stored}.")
    require(kept.trace is None or not smaller, f"{named('trace')} is replayed in float32: leave out {stored}.")


def _tell_the_rest(run: "SampleRun", page: SamplePage | None) -> None:
    """Print what is known when all samples have ended."""
    if run.window_moved:
        note(
            "the text is longer than the model's context; from then on it saw only the newer part, "
            "which moves on by half a context at a time."
        )
    if page:
        page.write()
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


def _way_of_showing(shown: SampleShown, out: Console) -> str:
    """json, raw, live, every or text."""
    if how := "json" if shown.json else "raw" if shown.raw else "":
        leave_out = f"leave out {named('table', shown.table)}"
        require(shown.table in (None, "none"), f"{named(how)} shows no table: {leave_out}.")
        return how
    redraws = out.is_terminal and not out.is_dumb_terminal
    if shown.table == "live" and not redraws:
        note("standard output cannot redraw, so there is no live table; --table every prints one a step.")
    if shown.table == "every":
        return "every"
    return "live" if redraws and shown.table != "none" else "text"


def _scale(shown: SampleShown, out: Console) -> Scale | None:
    """The colours of the text, if the terminal has any."""
    if shown.heat is None or out.color_system is not None:
        return SCALES[shown.heat] if shown.heat else None
    note("there are no colours here, so --heat shows none.")
    return None


def _show(how: str, out: Console, run: "SampleRun", pieces: Iterator["Piece"], scale: Scale | None) -> SampleEnd:
    if how == "raw":
        return _write_bytes(run.text, pieces)
    views = {"text": stream_text, "every": print_every_table, "live": show_live}
    return views[how](out, run.text, ((piece.data, piece.record) for piece in pieces), run.config.max_tokens, scale)


def _print_json(pieces: Iterator["Piece"], run: "SampleRun", copied: VerbatimWatch) -> None:
    """Print one line per record; the one that ends a sample also has its verbatim spans and its model."""
    for piece in pieces:
        more = run.about() if isinstance(piece.record, SampleEnd) else {}
        print(to_json(piece.record, **copied.fields(piece.record), **more), flush=True)


def _write_bytes(prompt: str, pieces: Iterator["Piece"]) -> SampleEnd:
    sys.stdout.buffer.write(prompt.encode())

    def written() -> Iterator[StepRecord | SampleEnd]:
        for piece in pieces:
            sys.stdout.buffer.write(piece.data)
            sys.stdout.buffer.flush()
            yield piece.record

    return last_record(written())
