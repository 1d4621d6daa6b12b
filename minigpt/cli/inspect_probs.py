"""`minigpt inspect-probs`: the tokens that a model expects, and the views that explain them."""

from typing import Annotated

from minigpt.cli.flags import Given, Json, Top, command, csv_flag
from minigpt.cli.inspect import inspect, with_views
from minigpt.cli.page import Html
from minigpt.settings import Machine, Settings, Source


@command
@with_views("inspect-probs")
def inspect_probs(
    *,
    given: Given,
    source: Source,
    flags: Settings,
    top: Top = 10,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A row per candidate; with --parts, a row per part")] = False,
    html: Html = None,
    machine: Machine,
) -> None:
    """
    [bold]minigpt inspect-probs "To be, or not to"[/bold]
        what may come next
    [bold]minigpt inspect-probs --all --file a.txt[/bold]
        how surprising each token was
    [bold]minigpt inspect-probs "The film was" --choices " good, bad"[/bold]
        which of them fits
    [bold]minigpt inspect-probs "The cat" --corpus run[/bold]
        beside what its own text says
    """
    inspect("inspect-probs", flags, json, csv, html, source=source, machine=machine, given=given)
