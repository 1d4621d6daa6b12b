"""`minigpt explore`: a prompt in; a screen on which its continuations are looked at, chosen and compared."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from minigpt.cli.config_file import Config
from minigpt.cli.flags import from_settings
from minigpt.cli.guard import guarded, leave_terminal, stdout
from minigpt.cli.options import (
    Checkpoint,
    Device,
    TextFile,
    Threads,
)
from minigpt.cli.untrained import tell_untrained
from minigpt.errors import ConfigError, OutputError, PackageError
from minigpt.explore.session import Files, Session
from minigpt.render.style import safe_text, symbols_for
from minigpt.settings import RANGES, AskedFilters, SampleConfig, build

if TYPE_CHECKING:
    from minigpt.sampling.trace import TraceHeader
    from minigpt.sampling.tree import TokenTree

_HANGUP = 129  # what ends with SIGHUP


@guarded
@from_settings
def explore(
    filters: AskedFilters,
    prompt: Annotated[
        str | None, typer.Argument(help="The text to start from; without it, the start of a text.", show_default=False)
    ] = None,
    file: TextFile = None,
    checkpoint: Checkpoint = None,
    seed: Annotated[
        int | None,
        typer.Option(min=RANGES["seed"].least, help="The same seed and keys give the same tokens.", show_default=False),
    ] = None,
    top: Annotated[
        int, typer.Option(min=RANGES["top"].least, help="How many tokens each record of a saved tree lists.")
    ] = SampleConfig.top,
    device: Device = "auto",
    threads: Threads = None,
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
    try:
        from minigpt.explore.app import Explorer
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "textual":
            raise
        raise PackageError(
            "The explorer needs the package textual, not installed here.\n"
            "From your clone of minigpt: pip install -e '.[explore]'"
        ) from error
    from minigpt.app.opening import given_text, open_checkpoint
    from minigpt.models.decoder import decoding_threads
    from minigpt.models.kinds import gpt_of
    from minigpt.sampling.biases import read_biases
    from minigpt.sampling.trace import TraceHeader
    from minigpt.sampling.tree import TokenTree

    text = given_text(prompt, file)
    loaded = open_checkpoint(checkpoint, device, threads)
    tell_untrained(loaded.path, quiet=False)
    model = gpt_of(loaded.model, "explore goes back and forth in keys and values")
    bias = read_biases(loaded.tokenizer, filters.biases)
    drawn = {"seed": secrets.randbelow(1_000_000) if seed is None else seed, "top": top}
    settings = build(SampleConfig, {**vars(filters), **drawn, "bias": bias})
    tree = TokenTree(model, loaded.tokenizer, text, seed=settings.seed)
    header = TraceHeader.of(loaded, text, settings, made_by="explore")
    session = Session(tree, settings, _files(tree, header))
    app = Explorer(session, symbols_for(sys.stderr.encoding))
    with decoding_threads(model):
        app.run(mouse=False)  # so that the terminal's own selecting and copying works
    if app.return_code == _HANGUP:
        leave_terminal()
    out.print(Text(safe_text(tree.text(session.here))), soft_wrap=True)
    if app.return_code:
        raise typer.Exit(app.return_code)


def _files(tree: "TokenTree", header: "TraceHeader") -> Files:
    from minigpt.checkpoint.files import write_text
    from minigpt.sampling.trace import TraceWriter

    def export(path: Path, node: int) -> None:
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name.")
        write_text(path, tree.text(node))

    def save(path: Path) -> None:
        own, steps = tree.as_trace(header)
        if not steps:
            raise OutputError(
                "There is only the prompt so far, and a trace holds what follows it: append a token first."
            )
        with TraceWriter(path, own) as writer:
            for step in steps:
                writer.write(step)

    return Files(save=save, export=export)
