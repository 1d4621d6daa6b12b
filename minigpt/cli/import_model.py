"""`minigpt import`: a checkpoint of nanoGPT or a GGUF file of llama.cpp as a Hugging Face GPT-2 folder."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.console import say, stdout, working
from minigpt.cli.export import say_written
from minigpt.cli.flags import Json, command
from minigpt.errors import escaped
from minigpt.render.machine import to_json
from minigpt.settings import ImportSettings

if TYPE_CHECKING:
    from minigpt.app.export_run import Imported


@command
def import_(
    source: Annotated[Path, typer.Argument(help="nanoGPT's ckpt.pt, or a .gguf file of a GPT-2.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write, which every command takes as a checkpoint.")],
    wanted: ImportSettings,
    json: Json = False,
) -> None:
    """
    [bold]minigpt import out-shakespeare-char/ckpt.pt shakespeare[/bold]
        with the characters of data/shakespeare_char/meta.pkl
    [bold]minigpt import out/ckpt.pt mine --tokenizer gpt2-folder[/bold]
        a model of GPT-2's tokens
    [bold]minigpt import model.gguf mine[/bold]
        a GPT-2 of llama.cpp, which -c model.gguf opens too
    """
    from minigpt.app.export_run import import_run

    with working():
        made = import_run(source, folder, wanted)
    if json:
        print(to_json(made.record, **made.about()))
    else:
        _tell(made)


def _tell(made: "Imported") -> None:
    """Print what was written, and how to use it."""
    say_written(made.record, made.source.checkpoint.model.config)
    say(stdout(), f"  tokenizer of {escaped(str(made.source.tokenizer))}")
    say(stdout(), f"  minigpt sample -c {shlex.quote(made.record.path)}")
