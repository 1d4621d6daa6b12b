"""`minigpt inspect-attention`: which earlier tokens each token of a text attends to, or which words of its source."""

from typing import Annotated

from minigpt.cli.flags import Given, Json, command, csv_flag
from minigpt.cli.inspect import inspect, with_views
from minigpt.cli.page import Html
from minigpt.settings import Machine, Settings, Source


@command
@with_views("inspect-attention")
def inspect_attention(
    *,
    given: Given,
    source: Source,
    flags: Settings,
    json: Json = False,
    csv: Annotated[
        bool,
        csv_flag("A row per head; with --layer, or for a model of pairs, a row per token and token that it attends to"),
    ] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-attention "The cat sat on the mat"[/bold]
        what kind of head each is
    [bold]minigpt inspect-attention "The cat sat" --layer 2 --head 1[/bold]
        one head as a grid
    [bold]minigpt inspect-attention "can I have the check?" --with "I check the list"[/bold]
        a word in two texts
    [bold]minigpt inspect-attention "the European Economic Area" -c checkpoints/translations[/bold]
        which words a translation attends to
    """
    inspect("inspect-attention", flags, json, csv, html, source=source, machine=machine, given=given)
