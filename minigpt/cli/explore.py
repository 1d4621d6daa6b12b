"""`minigpt explore`: a full-screen explorer for the continuations of a text."""

import sys
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from minigpt.cli.console import stdout
from minigpt.cli.flags import command
from minigpt.cli.remarks import note_checkpoint
from minigpt.cli.signals import write_nowhere
from minigpt.errors import ConfigError
from minigpt.render.style import safe_text, symbols_for
from minigpt.settings import AskedFilters, Exploring, FileAndModel, Machine

_HANGUP = 129  # what ends with SIGHUP


@partial(command, quiet=False)
def explore(
    prompt: Annotated[
        str | None, typer.Argument(help="The text to start from; without it, the start of a text.", show_default=False)
    ] = None,
    *,
    source: FileAndModel,
    filters: AskedFilters,
    exploring: Exploring,
    machine: Machine,
) -> None:
    """
    [bold]minigpt explore "The cat"[/bold]
        from this text
    [bold]minigpt explore --file a.txt[/bold]
        a text to look at, token by token
    """
    out = stdout()
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()) or out.is_dumb_terminal:
        raise ConfigError(
            "This is a full-screen application: standard input, output and error must be a terminal that can redraw.\n"
            "In a pipe, minigpt sample --json gives the same numbers."
        )
    from minigpt.explore.app import Exploration

    exploration = Exploration(prompt, source, filters, exploring, machine)
    note_checkpoint(exploration.checkpoint)
    code = exploration.run(symbols_for(sys.stderr.encoding))
    if code == _HANGUP:
        write_nowhere(sys.stdout, sys.stderr)
    out.print(Text(safe_text(exploration.text())), soft_wrap=True)
    if code:
        raise typer.Exit(code)
