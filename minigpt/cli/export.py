"""`minigpt export`: a checkpoint as a GGUF file, as a live page, or as a clean Hugging Face folder."""

import shlex
from functools import partial
from json import dumps as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minigpt.checkpoint.records import Exported
from minigpt.cli.completion import complete_model
from minigpt.cli.console import note, say, stdout, working
from minigpt.cli.flags import Json, command
from minigpt.errors import escaped
from minigpt.render.machine import to_json
from minigpt.render.model_page import model_page
from minigpt.render.style import byte_count, compact, quantity, symbols_for
from minigpt.settings import ExportSettings, ModelConfig
from minigpt.text.records import Token

if TYPE_CHECKING:
    from minigpt.app.export_run import Export
    from minigpt.checkpoint.folder import Checkpoint


@command
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run by name or folder, one of its snapshots, or any Hugging Face GPT-2 folder.",
            autocompletion=complete_model,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            help="FILE.gguf for llama.cpp, FILE.html for a page that computes; any other name is a folder for "
            "transformers and similar tools."
        ),
    ],
    wanted: ExportSettings,
    json: Json = False,
) -> None:
    """
    [bold]minigpt export checkpoints/demo demo.html[/bold]
        one file to open in a browser, in which the model runs

    [bold]minigpt export checkpoints/demo demo.gguf --dtype q8_0[/bold]
        for llama.cpp, in a quarter of the bytes
    [bold]minigpt export checkpoints/demo demo-folder --dtype bfloat16[/bold]
        for transformers, in half of them
    """
    from minigpt.app.export_run import export_run

    with working() as work:
        written = export_run(run, target, wanted, work.begin, draw_page=partial(_draw_page, run))
    note(*written.checkpoint.notes)
    if json:
        print(to_json(written.record, **written.checkpoint.about()))
    else:
        _tell(written)


def _draw_page(run: Path, checkpoint: "Checkpoint", data: Any) -> str:
    tokens = (Token.of(checkpoint.tokenizer, token) for token in range(data["config"]["vocabulary"]))
    name = escaped(run.resolve().name if run.exists() else str(run))  # or that of a model on the Hub
    return model_page(data, tokens, title=f"minigpt: {name}", caption=f"minigpt · {escaped(str(run))}")


def _tell(written: "Export") -> None:
    """Print what was written, and how to load it."""
    out, record = stdout(), written.record
    name = json_text(record.path)  # which Python reads too
    say_written(record, written.checkpoint.model.config)
    if record.format == "page":
        say(out, f" open it in a browser; it needs no network{_history(written)}")
    elif record.format == "gguf":
        say(out, f"  llama_cpp.Llama({name}, n_ctx=0)")
    else:
        say(out, f"  transformers.AutoModelForCausalLM.from_pretrained({name})")
        say(out, f"  minigpt sample -c {shlex.quote(record.path)}")


def say_written(record: Exported, config: ModelConfig) -> None:
    """Print the path of an export, and how large it is."""
    out = stdout()
    shape = f"{quantity(config.layers, 'layer')} {symbols_for(out.encoding).times} {config.width}"
    size = f"{compact(record.parameters)} parameters in {record.dtype}, {byte_count(record.bytes)}"
    say(out, f"{escaped(record.path)}: {shape}, {size}")


def _history(written: "Export") -> str:
    """How much of a run's history is in its page."""
    page = written.page
    if page is None or not page.of:
        return ""
    kept = "with" if page.snapshots == page.of else f"there was room for {page.snapshots} of"
    return f"; {kept} {quantity(page.of, 'snapshot')} of its training"
