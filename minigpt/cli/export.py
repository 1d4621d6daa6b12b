"""`minigpt export`: a checkpoint in; a GGUF file for llama.cpp, or a clean Hugging Face folder, out."""

import shlex
from json import dumps as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.checkpoint.records import Exported
from minigpt.cli.completion import complete_model
from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, say, signals_raise, stderr, stdout
from minigpt.cli.options import Json, Quiet, choice
from minigpt.render.machine import to_json
from minigpt.render.style import byte_count, compact, quantity, symbols_for
from minigpt.render.work import WorkDisplay
from minigpt.settings import FOLDER_DTYPES, GGUF_DTYPES, one_of, require
from minigpt.text.wording import shown

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


@guarded
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run by name or folder, one of its snapshots, or any Hugging Face GPT-2 folder.",
            autocompletion=complete_model,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(help="FILE.gguf for llama.cpp; any other name is a folder for transformers and the like.")
    ],
    dtype: Annotated[
        str,
        choice(
            dict.fromkeys(FOLDER_DTYPES + GGUF_DTYPES),
            "{values}.",
            remarks={"bfloat16": "only for a folder", "q8_0": "8 bits, only for FILE.gguf"},
        ),
    ] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model for other programs: as a GGUF file, or as a folder without the history of its training.

    [bold]minigpt export checkpoints/demo demo.gguf --dtype q8_0[/bold]
        for llama.cpp, in a quarter of the bytes
    [bold]minigpt export checkpoints/demo demo-folder --dtype bfloat16[/bold]
        for transformers, in half of them
    """
    from minigpt.app.opening import about, open_checkpoint
    from minigpt.checkpoint.export import check_target
    from minigpt.checkpoint.gguf import check_installed

    is_gguf = target.suffix.lower() == ".gguf"
    kinds, where = (GGUF_DTYPES, "in a .gguf file") if is_gguf else (FOLDER_DTYPES, "in a folder")
    require(dtype in kinds, f"--dtype must be {one_of(kinds)} {where}, not {dtype}.")
    check_target(target, overwrite=overwrite)
    if is_gguf:
        check_installed()
    loaded = open_checkpoint(run, "cpu", None)
    with signals_raise():
        _write(loaded, target, dtype, is_gguf=is_gguf, quiet=quiet)
    record = _record(loaded, target, dtype, is_gguf=is_gguf)
    if json:
        print(to_json(record, **about(loaded)))
    else:
        _tell(record, loaded.model.config.layers, loaded.model.config.width)


def _write(loaded: "Checkpoint", target: Path, dtype: str, *, is_gguf: bool, quiet: bool) -> None:
    from minigpt.checkpoint.export import export_folder
    from minigpt.checkpoint.gguf import save_gguf

    console = stderr()
    console.quiet = quiet
    with WorkDisplay(console) as work:
        if is_gguf:
            save_gguf(target, loaded, dtype, lambda total: work.begin("writing", total, "bytes"))
        else:
            export_folder(target, loaded, dtype)


def _record(loaded: "Checkpoint", target: Path, dtype: str, *, is_gguf: bool) -> Exported:
    files = [target] if is_gguf else [path for path in target.iterdir() if path.is_file()]
    return Exported(
        path=str(target),
        format="gguf" if is_gguf else "huggingface",
        dtype=dtype,
        parameters=loaded.model.parameter_count(),
        bytes=sum(path.stat().st_size for path in files),
    )


def _tell(record: Exported, layers: int, width: int) -> None:
    out = stdout()
    times = symbols_for(out.encoding).times
    shape = f"{quantity(layers, 'layer')} {times} {width}, {compact(record.parameters)} parameters"
    name = json_text(record.path)  # which Python reads too
    say(out, f"{shown(record.path)}: {shape} in {record.dtype}, {byte_count(record.bytes)}")
    if record.format == "gguf":
        say(out, f"  llama_cpp.Llama({name})")
    else:
        say(out, f"  transformers.AutoModelForCausalLM.from_pretrained({name})")
        say(out, f"  minigpt sample -c {shlex.quote(record.path)}")
