"""`minigpt inspect-embeddings`: tokens in; their vectors, and which others are near them, out."""

import sys
from typing import Annotated

import typer

from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded
from minigpt.cli.options import Checkpoint, Device, Json, Quiet, Threads, csv_flag
from minigpt.cli.page import Html, ViewPage, check_page
from minigpt.cli.untrained import tell_untrained
from minigpt.cli.view import print_view
from minigpt.render.embeddings import embedding_view, write_vectors
from minigpt.settings import RANGES, require


@guarded
def inspect_embeddings(
    tokens: Annotated[
        list[str],
        typer.Argument(
            metavar="TOKEN...", help="Each exactly one token, such as ' the' with its space, or #262 for the id 262."
        ),
    ],
    checkpoint: Checkpoint = None,
    nearest: Annotated[
        int,
        typer.Option(
            "--top",
            min=RANGES["nearest"].least,
            max=RANGES["nearest"].most,
            help="How many of the nearest tokens to list.",
        ),
    ] = 10,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A column for each token")] = False,
    html: Html = None,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Show the numbers that a model has for a token, and the tokens whose numbers are most alike.

    [bold]minigpt inspect-embeddings " the"[/bold]
        its vector and its neighbours
    [bold]minigpt inspect-embeddings " is" " are"[/bold]
        and how near the two are
    """
    require(not (json and csv), "--json and --csv exclude each other.")
    check_page(html)
    from minigpt.app.opening import about, open_checkpoint
    from minigpt.text.prompt import check_argument
    from minigpt.text.single import single_token
    from minigpt.views.embeddings import token_vectors

    loaded = open_checkpoint(checkpoint, device, threads)
    tell_untrained(loaded.path, quiet=quiet)
    ids = [single_token(loaded.tokenizer, check_argument(token)) for token in tokens]
    vectors = token_vectors(loaded.model, loaded.tokenizer, ids, top=nearest)
    tied = loaded.model.config.tied
    page = ViewPage(html, loaded, " ".join(tokens), quiet)
    page.printed("Vectors of tokens, and their neighbours", lambda screen: embedding_view(vectors, screen, tied=tied))
    if csv:
        write_vectors(vectors, sys.stdout)
    else:
        print_view(
            {"tokens": vectors},
            lambda screen: embedding_view(vectors, screen, tied=tied),
            json=json,
            about=lambda: about(loaded),
        )
