"""`minigpt inspect-embeddings`: the vectors of tokens and of positions."""

from typing import Annotated

import typer

from minigpt.cli.flags import Checkpoint, Given, Json, command, csv_flag
from minigpt.cli.inspect import inspect, with_views
from minigpt.cli.page import Html
from minigpt.settings import Machine, Settings, Source


@command
@with_views("inspect-embeddings")
def inspect_embeddings(
    *,
    given: Given,
    tokens: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOKEN...", help="Each exactly one token, such as ' the' with its space, or #262 for the id 262."
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    flags: Settings,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A column for each token")] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-embeddings " the"[/bold]
        its vector and its neighbours
    [bold]minigpt inspect-embeddings " is" " are"[/bold]
        and how near the two are
    [bold]minigpt inspect-embeddings --positions[/bold]
        the table of positions
    """
    asked = {"source": Source(checkpoint=checkpoint), "machine": machine, "given": given, "tokens": tokens or ()}
    inspect("inspect-embeddings", flags, json, csv, html, **asked)
