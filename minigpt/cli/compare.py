"""`minigpt compare`: a dense window, an RNN, an LSTM and a GPT side by side."""

import shlex
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.checkpoint.files import write_bytes, write_text
from minigpt.cli.console import note, print_lines, say, stderr, stdout, working
from minigpt.cli.flags import Given, Json, command
from minigpt.cli.guard import importing
from minigpt.cli.page import Html, check_folder, check_page
from minigpt.cli.signals import stop_signals
from minigpt.contest.records import Comparison
from minigpt.errors import PackageError, named
from minigpt.render.compare import ComparingDisplay, comparison_caption, comparison_table
from minigpt.render.compare_page import comparison_page
from minigpt.render.machine import to_json
from minigpt.render.panels import panels
from minigpt.render.plot import check_picture, panel_picture, panel_plots, picture_format
from minigpt.settings import ContestSettings, CorpusSettings, Machine, TextFormat, require, settings_of

if TYPE_CHECKING:
    from minigpt.contest.contest import Contest

_FIXED_AT_THE_START = {"corpus", "out", "seed", "quick", "ablate", "pairs", *settings_of(TextFormat)}


@command
def compare(
    given: Given,
    text: CorpusSettings,
    wanted: ContestSettings,
    machine: Machine,
    plot: Annotated[Path | None, typer.Option(help="Also write a picture: FILE.svg or FILE.png.")] = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """
    [bold]minigpt compare notes.txt[/bold]
        about half an hour, on your text
    [bold]minigpt compare --ablate --quick[/bold]
        a GPT without positions, heads, attention, MLP
    [bold]minigpt compare --pairs --quick[/bold]
        translating: one vector, attention, a Transformer
    [bold]minigpt compare --resume latest[/bold]
        continue one that was stopped
    """
    started = time.perf_counter()
    check_picture("plot", plot)
    if plot is not None:
        check_folder("plot", plot)
    require(
        wanted.resume is None or not given.keys() & _FIXED_AT_THE_START,
        f"{named('resume')} keeps what the comparison began with: leave out CORPUS and how to read it, {named('out')}, "
        f"{named('seed')}, {named('quick')}, {named('ablate')} and {named('pairs')}.",
    )
    check_page(html)
    with importing():
        from minigpt.app.compare_run import new_contest, reopened_contest
    if wanted.resume is None:
        with working() as work:
            contest = new_contest(text, wanted, machine, work.begin)
        if not text.corpus:
            builtin = "English phrases with their French" if wanted.pairs else "Python's own language reference"
            note(f"no text given, so this compares on {builtin}.")
        corpus = contest.plan.corpus
        note(corpus.skipped_note, *corpus.notes, corpus.separator_note, *contest.plan.notes)
    else:
        contest, started = reopened_contest(wanted.resume, wanted.minutes, machine), time.perf_counter()
    _measure(contest, started)
    if plot is not None:
        write_bytes(plot, panel_picture(panels(contest.comparison), picture_format(plot)))
        note(f"the picture is {plot}.")
    if html is not None:
        write_text(html, comparison_page(contest.comparison, contest.folder))
        note(f"the page is {html}; open it in a browser.")
    if json:
        print(to_json(contest.comparison, **contest.about()))
    else:
        _print(contest.comparison, contest.folder)


def _measure(contest: "Contest", started: float) -> None:
    """Make all missing measurements, in a time counted from `started`. Ends the program if a signal stops it."""
    console = stderr()
    with stop_signals() as stopped, ComparingDisplay(console, contest.total(), contest.comparison.minutes) as display:
        for measurement in contest.run(stopped, display.advance, started):
            display.begin(contest.done() + 1, measurement.model, measurement.what, contest.comparison)
    if stopped.received is not None:
        name = signal.Signals(stopped.received).name
        note(f"stopped by {name}; the measurements so far are saved. Continue with: {contest.again}")
        raise typer.Exit(128 + stopped.received)


def _print(comparison: Comparison, folder: Path) -> None:
    print_lines(lambda screen: (*comparison_table(comparison, screen), *comparison_caption(comparison, screen)))
    try:
        print_lines(partial(panel_plots, panels(comparison)))
    except PackageError as error:  # plotext is not installed; the table is there
        note(error.message)
    if not comparison.ablation:
        console = stdout()
        say(console, " every model is a separate run, such as:")
        run = "seq2seq-time" if comparison.pairs else "lstm-tokens"
        say(console, f"  minigpt sample -c {shlex.quote(str(folder / run))}")
