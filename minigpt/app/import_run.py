"""What `minigpt import` does: it writes the model of another program as a GPT-2 folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.checkpoint.export import FILES, check_target, export_folder, exported
from minigpt.checkpoint.files import sha256_of, storable
from minigpt.checkpoint.importing import Import, read_model
from minigpt.checkpoint.records import Exported
from minigpt.errors import ConfigError
from minigpt.settings import ImportSettings
from minigpt.versions import version


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
