"""`minigpt inspect-probs`: a text in; the distribution after it, or behind every token of it, out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, note, stdout
from minigpt.cli.options import Checkpoint, Device, Json, Quiet, Threads, Top
from minigpt.config import require
from minigpt.errors import CorpusError
from minigpt.render.machine import write_csv, write_steps
from minigpt.render.screen import Screen
from minigpt.render.tables import every_token_table, next_token_table, score_caption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from minigpt.inspection.probs import TextTally
    from minigpt.records import StepRecord, TextScore, Token


@guarded
def inspect_probs(
    text: Annotated[
        str | None,
        typer.Argument(help="The text to look at; - or nothing reads standard input.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Take the text from this file.", show_default=False)] = None,
    checkpoint: Checkpoint = None,
    every: Annotated[
        bool, typer.Option("--all", help="Score every token of the text, not only what comes next.")
    ] = False,
    top: Top = 10,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="A row per candidate, for a spreadsheet.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Show which tokens a model expects after a text, and how strongly.

    [bold]minigpt inspect-probs "To be, or not to"[/bold] what may come next
    [bold]minigpt inspect-probs --all --file a.txt[/bold] how surprising each token was
    """
    require(not (json and csv), "--json and --csv exclude each other.")
    from minigpt.cli.setup import given_text, open_checkpoint

    given = given_text(text, file)
    if not given:
        raise CorpusError(
            "There is no text to look at.\n"
            'Give it as an argument (minigpt inspect-probs "Once upon a"), with --file, or on standard input.'
        )
    loaded = open_checkpoint(checkpoint, device, threads)
    from minigpt.inspection.probs import TextTally, every_token, first_token, next_token
    from minigpt.models.kv_cache import window_start

    model, tokenizer = loaded.model, loaded.tokenizer
    ids = tokenizer.encode(given)
    if window_start(len(ids) - every, model.config.context):
        note(
            f"the text has {len(ids):,} tokens, the model's context {model.config.context}; it is read in windows that "
            "overlap, as sampling reads it.",
            quiet=quiet,
        )
    tally = TextTally()
    records = (
        tally.watch(every_token(model, tokenizer, ids, top=top))
        if every
        else iter([next_token(model, tokenizer, ids, top=top)])
    )
    if json:
        write_steps(records, lambda: _totals(tally.score()) if every else {}, sys.stdout)
    elif csv:
        write_csv(records, sys.stdout)
    elif every:
        tokens = [token for i in set(ids) if (token := first_token(tokenizer, i).token)]
        _print_every_token(records, tokens, tally)
    else:
        _print_next_token(next(records), given)


def _totals(score: "TextScore") -> dict[str, float | int | None]:
    return {
        "total_nats": score.total_nats,
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
    }


def _print_next_token(record: "StepRecord", text: str) -> None:
    console = stdout()
    console.print(next_token_table(record, text, Screen.of(console)), soft_wrap=True)


def _print_every_token(records: "Iterable[StepRecord]", tokens: "list[Token]", tally: "TextTally") -> None:
    console = stdout()
    screen = Screen.of(console)
    for line in every_token_table(records, tokens, screen):
        console.print(line, soft_wrap=True)
    console.print(score_caption(tally.score(), screen), soft_wrap=True)
