"""`minigpt sample`: a prompt in, its continuation out, with the distribution of each step."""

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from minigpt.cli.boundary import tell_of_boundary
from minigpt.cli.completion import complete_stages
from minigpt.cli.config_file import Config
from minigpt.cli.corpus_view import InCorpus, Verbatim, VerbatimWatch
from minigpt.cli.given import given
from minigpt.cli.guard import guarded, note, say, stderr, stdout
from minigpt.cli.options import (
    Boundary,
    Checkpoint,
    Device,
    Dtype,
    MinP,
    Quantize,
    Quiet,
    RepetitionPenalty,
    Temperature,
    TextFile,
    Threads,
    Top,
    TopK,
    TopP,
    choice,
    json_flag,
)
from minigpt.cli.page import Html, SamplePage, check_page
from minigpt.cli.replay import ReplayFile, TraceFile, traced
from minigpt.cli.replay import replay as replay_trace
from minigpt.cli.untrained import tell_untrained
from minigpt.errors import MinigptError
from minigpt.render.heat import SCALES, Scale
from minigpt.render.live import last_record, print_every_table, show_live, stream_text
from minigpt.render.machine import to_json
from minigpt.render.screen import Screen
from minigpt.render.style import quantity
from minigpt.render.tables import sample_caption
from minigpt.sampling.records import CacheReport, SampleEnd, StepRecord
from minigpt.settings import CHOOSING, RANGES, STAGES, TABLES, SampleConfig, require, require_choice

if TYPE_CHECKING:
    from minigpt.sampling.engine import Piece

_DEFAULTS = SampleConfig()
_LARGEST_DIFFERENCE = 1e-4  # between the logits of a cached step and of a full pass, in float32


@guarded
def sample(
    ctx: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Argument(help="The text to continue; - or nothing reads standard input.", show_default=False),
    ] = None,
    file: TextFile = None,
    checkpoint: Checkpoint = None,
    repetition_penalty: RepetitionPenalty = _DEFAULTS.repetition_penalty,
    temperature: Temperature = _DEFAULTS.temperature,
    top_k: TopK = _DEFAULTS.top_k,
    top_p: TopP = _DEFAULTS.top_p,
    min_p: MinP = _DEFAULTS.min_p,
    stages: Annotated[
        str | None,
        typer.Option(
            help=f"Which of {', '.join(STAGES)} to apply, in another order, such as top-k,temperature; what is left "
            "out is not applied.",
            rich_help_panel=CHOOSING,
            show_default=False,
            autocompletion=complete_stages,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=RANGES["seed"].least,
            help="The same seed gives the same text. By default another each time.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", min=RANGES["max_tokens"].least, help="How many tokens at most.")
    ] = 200,
    num_samples: Annotated[int, typer.Option(min=RANGES["num_samples"].least, help="How many samples.")] = 1,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be given several times.", show_default=False)
    ] = None,
    ignore_end_of_text: Annotated[bool, typer.Option("--ignore-end-of-text", help="Go on after end-of-text.")] = False,
    table: Annotated[
        str | None,
        choice(
            TABLES,
            "{values}. By default live in a terminal.",
            remarks={"every": "one table a step"},
            show_default=False,
        ),
    ] = None,
    top: Top = _DEFAULTS.top,
    boundary: Boundary = False,
    heat: Annotated[
        str | None,
        choice(SCALES, "Colour the text by {values} of each token.", show_default=False),
    ] = None,
    pace: Annotated[
        float | None, typer.Option(help="At most so many tokens a second, to watch.", show_default=False)
    ] = None,
    json: Annotated[bool, json_flag("a line a token, and one of totals a sample; with --replay one document")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Afterwards, compare every cached step with a full pass; fail above 1e-4.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the very bytes, control characters too.")] = False,
    trace: TraceFile = None,
    replay: ReplayFile = None,
    corpus: InCorpus = None,
    verbatim: Verbatim = None,
    html: Html = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = "none",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
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
    if replay is not None:
        replay_trace(replay, given(ctx))
        return
    require_choice("table", table, TABLES)
    require(not (json and raw), "--json and --raw exclude each other.")
    require_choice("heat", heat, SCALES)
    require(heat is None or not (json or raw), f"--{'json' if json else 'raw'} shows no colours: leave out --heat.")
    check_page(html)
    smaller = (dtype, quantize) != ("float32", "none")
    require(not (check and smaller), "--check compares in float32: leave out --dtype and --quantize.")
    require(trace is None or not smaller, "--trace is replayed in float32: leave out --dtype and --quantize.")
    from minigpt.text.prompt import check_argument

    settings = SampleConfig(
        repetition_penalty=repetition_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        stages=_chosen_stages(stages, given(ctx)),
        max_tokens=max_tokens,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        stop=tuple(map(check_argument, stop or ())),
        ignore_end_of_text=ignore_end_of_text,
        top=top,
    )
    from minigpt.app.opening import about, given_text, open_checkpoint
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.check import CacheCheck
    from minigpt.sampling.engine import by_sample, generate

    text = given_text(prompt, file)
    loaded = open_checkpoint(checkpoint, device, threads, dtype, quantize)
    tell_untrained(loaded.path, quiet=quiet)
    out = stdout()
    how = _way_of_showing(table, out, json=json, raw=raw, quiet=quiet)
    if heat is not None and out.color_system is None:
        note("there are no colours here, so --heat shows none.", quiet=quiet)
        heat = None
    tell_of_boundary(loaded, text, top=top, show=boundary, quiet=quiet)
    checked = CacheCheck(loaded.model) if check else None
    copied = VerbatimWatch(loaded, corpus, verbatim, quiet=quiet)
    page = SamplePage(html, loaded, text, settings, num_samples) if html else None

    def watch(*step: Any) -> None:
        for watcher in (checked, page):
            if watcher is not None:
                watcher.watch(*step)

    def told(record: StepRecord | SampleEnd) -> dict[str, Any]:
        return about(loaded) if isinstance(record, SampleEnd) else {}

    pieces = generate(loaded.model, loaded.tokenizer, text, settings, count=num_samples, watch=watch)
    pieces = copied.watch(page.keep(pieces) if page else pieces)
    said: list[str] = []
    with (
        _seed_on_interrupt(settings.seed, quiet=quiet),
        traced(trace, loaded, text, settings, num_samples) as keep,
        decoding_threads(loaded.model),
    ):
        pieces = keep(pieces)
        if how == "json":
            _print_json(_watched(pieces, pace, said), lambda record: {**copied.fields(record), **told(record)})
        for number, mine in enumerate(by_sample(pieces, range(0 if how == "json" else num_samples))):
            if number and how != "raw":
                out.print()
            end = _show(how, out, text, _watched(mine, pace, said), settings, SCALES[heat] if heat else None)
            if not quiet:
                stderr().print(sample_caption(end, Screen.of(stderr()), trace))
            copied.tell(out, number)
    for sentence in dict.fromkeys(said):
        note(sentence, quiet=quiet)
    if page:
        page.write(quiet=quiet)
    if checked:
        _tell_check(checked.report(), quiet=quiet)


@contextmanager
def _seed_on_interrupt(seed: int, *, quiet: bool) -> Iterator[None]:
    """Ctrl-C leaves the way to make the text again."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet:
            say(stderr(), f"\nstopped by Ctrl-C; again: --seed {seed}")
        raise


def _chosen_stages(listed: str | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The stages by their names; what was given for one that is left out is an error."""
    if listed is None:
        return STAGES
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    for name in STAGES:
        value = values.get(name.replace("-", "_"))
        require(
            value is None or name in names,
            f"--{name} {value} is given, but --stages leaves {name} out: name it there, or leave out --{name}.",
        )
    return names


def _tell_check(report: CacheReport, *, quiet: bool) -> None:
    """Raises MinigptError where a cached step was wrong."""
    where = f"for token {report.position} of sample {report.sample}"
    found = f"the largest difference of two logits is {report.largest_difference:.2g}, {where}"
    if not report.largest_difference <= _LARGEST_DIFFERENCE:
        raise MinigptError(
            f"--check: cached steps and full passes over the same ids disagree: {found}.\n"
            f"More than {_LARGEST_DIFFERENCE:g} is not rounding in float32."
        )
    if not quiet:
        say(stderr(), f"check: {quantity(report.steps, 'cached step')} against full passes: {found}.")


def _way_of_showing(table: str | None, out: Console, *, json: bool, raw: bool, quiet: bool) -> str:
    """json, raw, live, every or text."""
    if json or raw:
        require(table in (None, "none"), f"--{'json' if json else 'raw'} shows no table: leave out --table {table}.")
        return "json" if json else "raw"
    redraws = out.is_terminal and not out.is_dumb_terminal
    if table == "live" and not redraws:
        note("standard output cannot redraw, so there is no live table; --table every prints one a step.", quiet=quiet)
    if table == "every":
        return "every"
    return "live" if redraws and table != "none" else "text"


def _show(
    how: str, out: Console, prompt: str, pieces: Iterator["Piece"], config: SampleConfig, scale: Scale | None
) -> SampleEnd:
    if how == "raw":
        return _write_bytes(prompt, pieces)
    views = {"text": stream_text, "every": print_every_table, "live": show_live}
    return views[how](out, prompt, ((piece.data, piece.record) for piece in pieces), config.max_tokens, scale)


def _print_json(pieces: Iterator["Piece"], more: Callable[[StepRecord | SampleEnd], dict[str, Any]]) -> None:
    for piece in pieces:
        print(to_json(piece.record, **more(piece.record)), flush=True)


def _write_bytes(prompt: str, pieces: Iterator["Piece"]) -> SampleEnd:
    sys.stdout.buffer.write(prompt.encode())

    def written() -> Iterator[StepRecord | SampleEnd]:
        for piece in pieces:
            sys.stdout.buffer.write(piece.data)
            sys.stdout.buffer.flush()
            yield piece.record

    return last_record(written())


def _watched(pieces: Iterator["Piece"], pace: float | None, said: list[str]) -> Iterator["Piece"]:
    """The pieces, no faster than `pace` a second; a sentence into `said` when the window first moves."""
    moved = False
    for piece in pieces:
        if piece.window_start and not moved:
            moved = True
            said.append(
                "the text is longer than the model's context; from then on it saw only the newer part, "
                "which moves on by half a context at a time."
            )
        yield piece
        if pace is not None and isinstance(piece.record, StepRecord):
            time.sleep(1 / pace)
