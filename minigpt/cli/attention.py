"""`minigpt inspect-attention`: a text in; which earlier tokens each of its tokens looks at, out."""

import sys
from typing import Annotated

import typer

from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, note
from minigpt.cli.options import Checkpoint, Device, Json, Quiet, TextFile, Threads, csv_flag
from minigpt.cli.page import Html, ViewPage, check_page
from minigpt.cli.untrained import tell_untrained
from minigpt.cli.view import print_view
from minigpt.render.attention import grid_table, head_table, shared_word_table
from minigpt.render.machine import write_grid, write_rows
from minigpt.settings import require
from minigpt.views.attention import HeadSummary

_LOOKED_AT = 6  # tokens of a word's attention


@guarded
def inspect_attention(
    text: Annotated[
        str | None,
        typer.Argument(help="The text to look at; - or nothing reads standard input.", show_default=False),
    ] = None,
    file: TextFile = None,
    checkpoint: Checkpoint = None,
    layer: Annotated[
        int | None, typer.Option(help="The grid of this layer, from 1: the mean of its heads.", show_default=False)
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="The grid of this head of the --layer, from 1.", show_default=False)
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="In the grid, query times key before the softmax.")] = False,
    other: Annotated[
        str | None,
        typer.Option("--with", help="Another text that shares a word: the word in both.", show_default=False),
    ] = None,
    word: Annotated[
        str | None, typer.Option(help="The shared word. By default the longest.", show_default=False)
    ] = None,
    json: Json = False,
    csv: Annotated[
        bool, csv_flag("A row a head; with --layer, a row for each token and each that it looks at")
    ] = False,
    html: Html = None,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Show which earlier tokens each token of a text looks at, layer by layer and head by head.

    [bold]minigpt inspect-attention "The cat sat on the mat"[/bold]
        what kind of head each is
    [bold]minigpt inspect-attention "The cat sat" --layer 2 --head 1[/bold]
        one head as a grid
    [bold]minigpt inspect-attention "can I have the check?" --with "I check the list"[/bold]
        a word in two texts
    """
    require(not (json and csv), "--json and --csv exclude each other.")
    require(not csv or other is None, "--with has no --csv; --json has its numbers.")
    require(head is None or layer is not None, "--head needs a --layer.")
    require(not scores or layer is not None, "--scores needs a --layer, and shows its grid.")
    require(other is None or layer is None, "--with and --layer exclude each other.")
    check_page(html)
    require(word is None or other is not None, "--word goes with --with.")
    from minigpt.app.opening import open_checkpoint, text_to_look_at
    from minigpt.models.kinds import gpt_of
    from minigpt.text.prompt import check_argument
    from minigpt.views.attention import attend, attention_grid, head_summaries, shared_word

    given = text_to_look_at(text, file, advice='Give one: minigpt inspect-attention "Once upon a time"')
    require(other != "", "--with needs a text that is not empty.")
    loaded = open_checkpoint(checkpoint, device, threads)
    tell_untrained(loaded.path, quiet=quiet)
    model, tokenizer = gpt_of(loaded.model, "inspect-attention shows attention"), loaded.tokenizer
    page = ViewPage(html, loaded, given, quiet)
    if other is not None:
        asked = None if word is None else check_argument(word)
        shared = shared_word(model, tokenizer, (given, check_argument(other)), asked, top=_LOOKED_AT)
        page.show("A word in two texts", lambda screen: [shared_word_table(shared, screen)], shared, json=json)
        return
    attention = attend(model, tokenizer.encode(given))
    if attention.start:
        note(f"the text is longer than the context: its last {len(attention.ids)} tokens are shown.", quiet=quiet)
    page.attention(attention)
    if layer is None:
        heads = head_summaries(attention)
        if csv:
            write_rows(HeadSummary, heads, sys.stdout)
            return
        print_view({"heads": heads}, lambda screen: [head_table(heads, screen)], json=json, about=page.about)
    else:
        grid = attention_grid(attention, tokenizer, layer, head)
        if csv:
            write_grid(grid, sys.stdout)
            return
        print_view(grid, lambda screen: grid_table(grid, screen, scores=scores), json=json, about=page.about)
