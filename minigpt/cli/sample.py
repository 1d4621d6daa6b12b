"""`minigpt sample`: continues a prompt and shows the distribution of each step."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from minigpt.cli.console import note, print_lines, say, stderr, stdout, working
from minigpt.cli.flags import Given, command
from minigpt.cli.page import check_page, write_sample_page
from minigpt.cli.remarks import note_boundary, note_checkpoint, note_escapes
from minigpt.errors import ConfigError, TraceError, named
from minigpt.render.corpus import verbatim_caption, verbatim_text
from minigpt.render.heat import SCALES, Scale
from minigpt.render.live import ended, print_every_table, show_live, stream_text
from minigpt.render.machine import to_json
from minigpt.render.progress import WorkDisplay, redraws
from minigpt.render.replay import replay_caption, replay_finding, rescoring_table
from minigpt.render.scores import beam_table, sample_caption
from minigpt.render.style import Screen, quantity, safe_text, symbols_for
from minigpt.sampling.records import Rescoring, SampleEnd
from minigpt.settings import (
    AskedFilters,
    Drawing,
    Machine,
    SampleConfig,
    SampleKept,
    SampleShown,
    SampleSource,
    Weights,
)
from minigpt.views.corpus import VerbatimReport

if TYPE_CHECKING:
    from minigpt.app.sample_run import BeamRun, ReplayRun, SampleRun
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
        _check_replayed(given)
    elif drawing.beam is None:
        check_page(kept.html)
    from minigpt.app import sample_run

    if kept.replay is not None:
        _replay(sample_run.ReplayRun.open(kept.replay, given), kept.replay, given)
    elif drawing.beam is not None:
        _beam(sample_run.BeamRun.search(source, drawing, machine, given), shown)
    else:
        with working() as work:
            run = sample_run.SampleRun.open(source, filters, drawing, kept, machine, weights, work.begin, given)
        _sample(run, shown)


def _sample(run: "SampleRun", shown: SampleShown) -> None:
    """Draw the samples, and show each as it grows."""
    note_checkpoint(run.checkpoint)
    note_escapes(run.config.stop)
    note(*run.prompt_notes, run.verbatim.note if run.verbatim else None)
    out = stdout()
    display, scale = _display(shown, out), _scale(shown, out)
    note_boundary(run.checkpoint, run.text, top=run.config.top, show=shown.boundary)
    with _seed_on_interrupt(run.config.seed), run.pieces() as pieces:
        if shown.json:
            for piece in run.paced(pieces, shown.pace):
                print(to_json(piece.record, **run.about(piece.record)), flush=True)
        else:
            for number, mine in enumerate(run.by_sample(pieces, shown.pace)):
                if number and not shown.raw:
                    out.print()
                total = _write_bytes(run.shown_first, mine) if shown.raw else _show(display, out, run, mine, scale)
                stderr().print(sample_caption(total, Screen.of(stderr()), run.kept.trace))
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
        where = f", for token {report.position} of sample {report.sample}" if report.largest_difference else ""
        say(
            stderr(),
            f"check: {quantity(report.steps, 'cached step')} against full passes: the largest difference of two logits "
            f"is {report.largest_difference:.2g}{where}.",
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


def _beam(run: "BeamRun", shown: SampleShown) -> None:
    """Print the targets of a beam search, best first: a table, one line of JSON, or the best one as it is."""
    note_checkpoint(run.checkpoint)
    note(*run.prompt_notes)
    if shown.json:
        print(to_json({"targets": run.targets}, **run.checkpoint.about(prompt=run.text, beam=run.width)))
    elif shown.raw:
        sys.stdout.buffer.write(run.targets[0].text.encode())
        sys.stdout.buffer.flush()
    else:
        print_lines(partial(beam_table, run.targets, run.text))


# --- a replay

_GO_WITH_REPLAY = ("replay", "checkpoint", "device", "threads", "json", "top", "quiet", "config")


def _check_replayed(given: Mapping[str, Any]) -> None:
    """Raise ConfigError for a flag that was `given`, by its name in Python, and that the trace decides."""
    other = next((name for name in given if name not in _GO_WITH_REPLAY), None)
    if other is not None:
        flag = "the prompt" if other == "prompt" else named(other)
        raise ConfigError(f"{named('replay')} takes the prompt and all settings from the trace: leave out {flag}.")


def _replay(run: "ReplayRun", path: Path, given: Mapping[str, Any]) -> None:
    """Replay the trace at `path`. The texts go to standard output, as for any sample, and the result to standard error;
    for a tree, to standard output. Raises TraceError if something else comes out.
    """
    as_json = bool(given.get("json"))
    note(*run.checkpoint.notes)
    err = stderr()
    with WorkDisplay(err) as work:
        advance = work.begin("replaying", len(run.trace.steps), "tokens")
        result, texts = run.run(given.get("top", SampleConfig.top), advance)
    if as_json:
        print(to_json(result, **run.checkpoint.about(prompt=run.trace.header.prompt)), flush=True)
    if isinstance(result, Rescoring):
        if not as_json:
            print_lines(partial(rescoring_table, result))
        return
    if not result.agrees:
        raise TraceError(replay_finding(str(path), result, symbols_for(err.encoding)))
    if as_json:
        return
    out = stdout()
    for number, text in enumerate(texts):
        out.file.write(("\n" if number else "") + safe_text(text) + "\n")
    console = err if texts else out
    console.print(replay_caption(result, Screen.of(console)))
