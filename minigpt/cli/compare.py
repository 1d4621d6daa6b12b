"""`minigpt compare`: a text in; a dense window, an RNN, an LSTM and a GPT side by side out."""

import shlex
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.completion import complete_resumed
from minigpt.cli.config_file import Config
from minigpt.cli.given import given
from minigpt.cli.guard import StopSignals, guarded, note, say, signals_raise, stderr, stdout
from minigpt.cli.options import Device, Json, Quiet, Threads
from minigpt.cli.page import Html, check_page
from minigpt.errors import OutputError, PackageError
from minigpt.settings import build, require

if TYPE_CHECKING:
    import torch

    from minigpt.contest.contest import Contest
    from minigpt.contest.records import Comparison
    from minigpt.training.plan import Plan

_MINUTES, _QUICK_MINUTES = 30.0, 6.0
_OF_THE_BEGINNING = {"corpus", "out", "seed", "quick", "ablate", "encoding", "field"}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """For a new comparison, by the flags' names."""

    corpus: list[str] | None
    encoding: str
    field: str
    minutes: float
    seed: int
    quick: bool
    ablate: bool
    out: Path | None
    quiet: bool


@guarded
def compare(
    ctx: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            help="As for train; without any, Python's own language reference.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help=f"For everything: {_MINUTES:g} by default, {_QUICK_MINUTES:g} with --quick."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Try no learning rates: take those that were the best on the built-in text.")
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="What each part of a GPT is worth instead: GPTs without one of their parts."),
    ] = False,
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    field: Annotated[str, typer.Option(help="What holds the text in .jsonl and .parquet.")] = "text",
    seed: Annotated[int, typer.Option(help="Of weights, batches and keys.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="The comparison's folder. By default checkpoints/compare-NAME.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with this comparison, or the latest one; a whole one is shown again.",
            autocompletion=complete_resumed,
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also write a picture: FILE.svg or FILE.png.")] = None,
    html: Html = None,
    config: Config = None,
    json: Json = False,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compare what came before the transformer with a GPT: equal parameters, equal text, equal tokens or time.

    [bold]minigpt compare notes.txt[/bold]
        about half an hour, on your text
    [bold]minigpt compare --quick[/bold]
        a first look at Python's reference
    [bold]minigpt compare --ablate --quick[/bold]
        a GPT without positions, heads, attention, MLP
    [bold]minigpt compare --resume latest[/bold]
        go on with one that was stopped
    """
    started = time.perf_counter()
    budget = minutes if minutes is not None else (_QUICK_MINUTES if quick else _MINUTES)
    require(
        plot is None or plot.suffix.lower() in (".svg", ".png"),
        f"--plot {plot} must end in .svg or .png.",
    )
    if plot is not None and not plot.parent.is_dir():
        raise OutputError(f"--plot {plot}: there is no folder {plot.parent}.")
    require(
        resume is None or not given(ctx).keys() & _OF_THE_BEGINNING,
        "--resume keeps what the comparison began with: leave out CORPUS, --out, --seed, --quick and --ablate.",
    )
    check_page(html)
    from minigpt.app.opening import use_device

    target = use_device(device, threads)
    if resume is None:
        contest = _begin(build(_Asked, ctx.params | {"minutes": budget}), target)
        spent = time.perf_counter() - started
    else:
        contest, spent = _reopen(resume, target, minutes), 0.0
    contest.again += _same_machine(device, threads)
    stopped_by = _measure(contest, spent, quiet=quiet)
    if stopped_by is not None:
        name = signal.Signals(stopped_by).name
        told = f"stopped by {name}; what is measured is kept. Go on with: {contest.again}"
        note(told, quiet=quiet)
        raise typer.Exit(128 + stopped_by)
    _show(contest, plot, html, json=json, quiet=quiet)


def _same_machine(device: str, threads: int | None) -> str:
    """The flags with which a comparison goes on at the same speed."""
    return ("" if device == "auto" else f" --device {device}") + ("" if threads is None else f" --threads {threads}")


def _begin(asked: _Asked, device: "torch.device") -> "Contest":
    from minigpt.checkpoint.run import Scratch
    from minigpt.contest.ablation import ablation_of
    from minigpt.contest.begin import begin
    from minigpt.contest.folder import claim_comparison, keep
    from minigpt.render.work import WorkDisplay
    from minigpt.text.corpus import read_corpus

    console = stderr()
    console.quiet = asked.quiet
    with signals_raise(), Scratch(asked.out) as scratch:
        with WorkDisplay(console) as work:
            told = work.begin("reading", None)
            text = read_corpus(asked.corpus or [], encoding=asked.encoding, field=asked.field, progress=told)
            comparison, plan = begin(
                text,
                minutes=asked.minutes,
                quick=asked.quick,
                seed=asked.seed,
                device=device,
                scratch=scratch,
                progress=work.begin,
            )
        comparison = ablation_of(comparison, plan) if asked.ablate else comparison
        folder = claim_comparison(text.name, asked.out)
        keep(folder, comparison, plan.tokenizer, plan.data)
    if not asked.corpus:
        note("no text given, so this compares on Python's own language reference.", quiet=asked.quiet)
    for sentence in plan.notes:
        note(sentence, quiet=asked.quiet)
    return _contest(folder, comparison, plan, device)


def _contest(folder: Path, comparison: "Comparison", plan: "Plan", device: "torch.device") -> "Contest":
    from minigpt.contest.ablation import Ablation
    from minigpt.contest.contest import Contest

    return (Ablation if comparison.ablation else Contest)(folder, comparison, plan, device)


def _reopen(run: str, device: "torch.device", minutes: float | None) -> "Contest":
    from minigpt.checkpoint.runs import find_run
    from minigpt.contest.begin import machine, reopened
    from minigpt.contest.folder import newest_comparison, open_comparison

    folder = newest_comparison() if run == "latest" else find_run(run)
    comparison, tokenizer, data = open_comparison(folder)
    require(
        comparison.finished or comparison.machine == machine(device),
        f"{folder} was begun on {comparison.machine}, and this is {machine(device)}: speeds of two machines say "
        "nothing beside each other. Go on where it was begun, or with its --device and --threads.",
    )
    if minutes is not None:
        settled = comparison.tokens is not None
        require(not settled, "--resume keeps the --minutes that its trainings were planned for: leave them out.")
        comparison = replace(comparison, minutes=minutes)
    return _contest(folder, comparison, reopened(comparison, tokenizer, data), device)


def _measure(contest: "Contest", spent: float, *, quiet: bool) -> int | None:
    """All that is missing; the signal that stopped it, if any. `spent`: seconds before this."""
    from minigpt.render.comparing import ComparingDisplay

    console = stderr()
    console.quiet = quiet
    with StopSignals() as stopped, ComparingDisplay(console, contest.total(), contest.comparison.minutes) as display:
        for piece in contest.pieces():
            display.begin(contest.done() + 1, piece.model, piece.what, contest.comparison)
            started = time.perf_counter()
            found = None if stopped() else piece.measure(stopped, display.advance)
            if found is None:
                break
            contest.take(piece, found, spent + time.perf_counter() - started)
            spent = 0.0
    return stopped.received


def _show(contest: "Contest", plot: Path | None, html: Path | None, *, json: bool, quiet: bool) -> None:
    from importlib.metadata import version

    from minigpt.checkpoint.files import storable
    from minigpt.render.machine import to_json

    comparison = contest.comparison
    if plot is not None:
        _write_picture(comparison, plot, quiet=quiet)
    if html is not None:
        _write_page(comparison, contest.folder, html, quiet=quiet)
    if json:
        print(to_json(comparison, path=storable(contest.folder), version=version("minigpt")))
        return
    _print(comparison)
    if not comparison.ablation:
        say(stdout(), " every model is a run of its own, such as:")
        say(stdout(), f"  minigpt sample -c {shlex.quote(str(contest.folder / 'lstm-tokens'))}")


def _print(comparison: "Comparison") -> None:
    from minigpt.render.compare import comparison_caption, comparison_table
    from minigpt.render.panel_plot import panel_plots
    from minigpt.render.panels import panels
    from minigpt.render.screen import Screen

    console = stdout()
    screen = Screen.of(console)
    for line in comparison_table(comparison, screen):
        console.print(line, soft_wrap=True)
    for line in comparison_caption(comparison, screen):
        console.print(line, soft_wrap=True)
    coloured = console.color_system is not None and not console.no_color
    try:
        for line in panel_plots(panels(comparison), screen, coloured=coloured):
            console.print(line, soft_wrap=True)
    except PackageError as error:  # plotext is not installed; the table is there
        note(error.message)


def _write_picture(comparison: "Comparison", path: Path, *, quiet: bool) -> None:
    from minigpt.checkpoint.files import write_atomically
    from minigpt.render.panels import panels
    from minigpt.render.picture import panel_picture

    data = panel_picture(panels(comparison), path.suffix.lower().removeprefix("."))
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    note(f"the picture is {path}.", quiet=quiet)


def _write_page(comparison: "Comparison", folder: Path, path: Path, *, quiet: bool) -> None:
    from minigpt.checkpoint.files import write_text
    from minigpt.render.compare_page import comparison_sections
    from minigpt.render.html import page

    title = f"minigpt: what came before, and a GPT, on {comparison.name}"
    write_text(path, page(title, comparison_sections(comparison), caption=f"minigpt · {folder}"))
    note(f"the page is {path}; open it in a browser.", quiet=quiet)
