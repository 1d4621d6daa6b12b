"""What `minigpt export` and `minigpt import` do: a checkpoint is written for other programs, a model of theirs read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minigpt.app.export_page import LivePage, live_page
from minigpt.app.opening import open_checkpoint
from minigpt.checkpoint.export import FILES, check_target, export_folder, exported
from minigpt.checkpoint.files import sha256_of, storable, write_text
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.gguf import check_installed, save_gguf
from minigpt.checkpoint.importing import Import, read_model
from minigpt.checkpoint.records import Exported
from minigpt.errors import ConfigError, concerning, named
from minigpt.settings import (
    FOLDER_DTYPES,
    GGUF_DTYPES,
    PAGE_DTYPES,
    ExportSettings,
    ImportSettings,
    Machine,
    one_of,
    require,
)
from minigpt.settings.model import NAMES
from minigpt.text.blocks import Stages
from minigpt.versions import version

# The types of weights in each kind of export, and where they are in a message.
_DTYPES = {
    "gguf": (GGUF_DTYPES, "in a .gguf file"),
    "page": (PAGE_DTYPES, "in a page"),
    "huggingface": (FOLDER_DTYPES, "in a folder"),
}


@dataclass(frozen=True)
class Export:
    """What was written, and from which checkpoint."""

    record: Exported
    checkpoint: Checkpoint
    page: LivePage | None = None


def export_run(
    run: Path, target: Path, wanted: ExportSettings, stages: Stages, *, draw_page: Callable[[Checkpoint, Any], str]
) -> Export:
    """Export the checkpoint `run` to `target`: a GGUF file or a page, by its suffix, otherwise a Hugging Face folder.

    `draw_page` makes the text of a page, of what `live_page` collects. Raises ConfigError for a type that the target
    cannot hold, OutputError if it cannot be written.
    """
    kind = FILES.get(target.suffix.lower(), "huggingface")
    dtypes, where = _DTYPES[kind]
    dtype = dtypes[0] if wanted.dtype is None else wanted.dtype
    require(dtype in dtypes, f"{named('dtype')} must be {one_of(dtypes)} {where}, not {dtype}.")
    check_target(target, overwrite=wanted.overwrite)
    if kind == "gguf":
        check_installed()
    loaded, page = open_checkpoint(run, Machine(device="cpu"), called="run", needs_torch=True), None
    model = loaded.model.config.model
    already = ": a Hugging Face Marian folder already, which other programs load as it is"
    require(
        not loaded.model.config.reads_pairs,
        f"export makes files of a GPT, and {loaded.path} is {NAMES[model]}{already if model == 'transformer' else ''}.",
    )
    if kind == "gguf":
        with concerning("run"):
            save_gguf(target, loaded, dtype, lambda total: stages("writing", total, "bytes"))
    elif kind == "page":
        page = live_page(loaded, dtype, partial(draw_page, loaded), stages)
        write_text(target, page.text)
    else:
        with concerning("run"):
            export_folder(target, loaded, dtype)
    return Export(exported(target, kind, dtype, loaded), loaded, page)


@dataclass(frozen=True)
class Imported:
    """What was written, and what it was made of."""

    record: Exported
    source: Import

    def about(self) -> dict[str, Any]:
        """What JSON says about the source and minigpt."""
        file = self.source.checkpoint.path
        given = {"path": storable(file), "format": self.source.format, "sha256": sha256_of([file])}
        return {"source": {**given, "tokenizer": storable(self.source.tokenizer)}, "version": version("minigpt")}


def import_run(source: Path, folder: Path, wanted: ImportSettings) -> Imported:
    """Write the model in the file `source` to `folder`, as a Hugging Face folder in float32.

    Raises CheckpointError for a file that holds no such model, OutputError if the folder cannot be written.
    """
    if (kind := folder.suffix.lower()) in FILES:
        raise ConfigError(f"{folder}: an import is a folder, which `minigpt export` then writes as a {kind} file.")
    check_target(folder, overwrite=wanted.overwrite)
    found = read_model(source, meta=wanted.meta, tokenizer=wanted.tokenizer, activation=wanted.activation)
    export_folder(folder, found.checkpoint, "float32")
    return Imported(exported(folder, "huggingface", "float32", found.checkpoint), found)
