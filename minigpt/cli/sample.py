"""`minigpt sample`: a prompt in, its continuation out, with the distribution of each step."""

import secrets
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, note, stderr, stdout
from minigpt.cli.options import Checkpoint, Device, Json, Quiet, Threads, Top
from minigpt.config import SampleConfig, require
from minigpt.records import SampleEnd, StepRecord
from minigpt.render.live import last_record, print_every_table, show_live, stream_text
from minigpt.render.machine import to_json
from minigpt.render.tables import Screen, sample_caption

if TYPE_CHECKING:
    from minigpt.sampling.engine import Piece

_DEFAULTS = SampleConfig()
_CHOOSING = "How a token is chosen, in this order"


@guarded
def sample(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The text to continue; - or nothing reads standard input.", show_default=False),
    ] = None,
    checkpoint: Checkpoint = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens already in the text become less likely.", rich_help_panel=_CHOOSING)
    ] = _DEFAULTS.repetition_penalty,
    temperature: Annotated[
        float, typer.Option(help="Below 1 bolder, above 1 wilder; 0 takes the top token.", rich_help_panel=_CHOOSING)
    ] = _DEFAULTS.temperature,
    top_k: Annotated[
        int, typer.Option(help="Keep the k most likely tokens; 0 for all.", rich_help_panel=_CHOOSING)
    ] = _DEFAULTS.top_k,
    top_p: Annotated[
        float, typer.Option(help="Keep the fewest tokens that hold this share; 1 for all.", rich_help_panel=_CHOOSING)
    ] = _DEFAULTS.top_p,
    min_p: Annotated[
        float, typer.Option(help="Keep tokens with this share of the top one's; 0 for all.", rich_help_panel=_CHOOSING)
    ] = _DEFAULTS.min_p,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="The same seed gives the same text. By default another each time.", show_default=False
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", "-n", min=1, help="How many tokens at most.")] = 200,
    num_samples: Annotated[int, typer.Option(min=1, help="How many samples.")] = 1,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be given several times.", show_default=False)
    ] = None,
    ignore_end_of_text: Annotated[bool, typer.Option("--ignore-end-of-text", help="Go on after end-of-text.")] = False,
    table: Annotated[
        str | None,
        typer.Option(help="live, every (one table a step) or none. By default live in a terminal.", show_default=False),
    ] = None,
    top: Top = _DEFAULTS.top,
    pace: Annotated[
        float | None, typer.Option(help="At most so many tokens a second, to watch.", show_default=False)
    ] = None,
    json: Json = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the very bytes, control characters too.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Continue a text, and watch every token being chosen.

    [bold]minigpt sample "The cat"[/bold]                 text, and a live table below
    [bold]minigpt sample "The cat" --table every[/bold]   a table for every step
    [bold]echo "The cat" | minigpt sample --json[/bold]   a line of JSON for every step
    """
    require(table in (None, "live", "every", "none"), f"--table must be live, every or none, not {table}.")
    require(not (json and raw), "--json and --raw exclude each other.")
    require(pace is None or pace >= 0.001, f"--pace must be 0.001 or more, not {pace}.")
    from minigpt.text.prompt import check_argument

    settings = SampleConfig(
        repetition_penalty=repetition_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        max_tokens=max_tokens,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        stop=tuple(map(check_argument, stop or ())),
        ignore_end_of_text=ignore_end_of_text,
        top=top,
    )
    from minigpt.cli.setup import given_text, open_checkpoint
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.engine import generate

    text = given_text(prompt)
    loaded = open_checkpoint(checkpoint, device, threads)
    out = stdout()
    how = _way_of_showing(table, out, json=json, raw=raw, quiet=quiet)
    said: list[str] = []
    for number in range(num_samples):
        if number and how in ("text", "every", "live"):
            out.print()
        pieces = generate(loaded.model, loaded.tokenizer, text, settings, sample=number)
        with decoding_threads(loaded.model):
            end = _show(how, out, text, _watched(pieces, pace, said), settings)
        while said:
            note(said.pop(), quiet=quiet or number > 0)
        if not quiet and how != "json":
            stderr().print(sample_caption(end, Screen.of(stderr())))


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


def _show(how: str, out: Console, prompt: str, pieces: Iterator["Piece"], config: SampleConfig) -> SampleEnd:
    if how == "json":
        return _print_json(pieces)
    if how == "raw":
        return _write_bytes(prompt, pieces)
    views = {"text": stream_text, "every": print_every_table, "live": show_live}
    return views[how](out, prompt, ((piece.text, piece.record) for piece in pieces), config.max_tokens)


def _print_json(pieces: Iterator["Piece"]) -> SampleEnd:
    def printed() -> Iterator[StepRecord | SampleEnd]:
        for piece in pieces:
            print(to_json(piece.record), flush=True)
            yield piece.record

    return last_record(printed())


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
