"""`minigpt explore`: a full-screen explorer for the continuations of a text."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from minigpt.cli.config_file import Config
from minigpt.cli.flags import from_settings
from minigpt.cli.guard import guarded, leave_terminal, stdout
from minigpt.cli.options import Checkpoint, TextFile
from minigpt.cli.untrained import tell_untrained
from minigpt.errors import ConfigError
from minigpt.render.style import safe_text, symbols_for
from minigpt.settings import AskedFilters, Exploring, Machine

_HANGUP = 129  # what ends with SIGHUP


@guarded
@from_settings
def explore(
    prompt: Annotated[
        str | None, typer.Argument(help="The text to start from; without it, the start of a text.", show_default=False)
    ] = None,
    *,
    file: TextFile = None,
    checkpoint: Checkpoint = None,
    filters: AskedFilters,
    exploring: Exploring,
    machine: Machine,
    config: Config = None,
) -> None:
    """Walk through what a model could write: choose tokens, step back, branch, change the settings, guess.

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

    exploration = Exploration(prompt, file, checkpoint, filters, exploring, machine)
    tell_untrained(exploration.checkpoint, quiet=False)
    code = exploration.run(symbols_for(sys.stderr.encoding))
    if code == _HANGUP:
        leave_terminal()
    out.print(Text(safe_text(exploration.text())), soft_wrap=True)
    if code:
        raise typer.Exit(code)
