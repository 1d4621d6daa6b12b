"""What `minigpt export` does: it writes a checkpoint for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.app.opening import Stages, about, open_checkpoint
from minigpt.checkpoint.export import check_target, export_folder
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.gguf import check_installed, save_gguf
from minigpt.checkpoint.records import Exported
from minigpt.errors import named
from minigpt.settings import FOLDER_DTYPES, GGUF_DTYPES, ExportSettings, one_of, require


@dataclass(frozen=True)
class Export:
    """What was written, and from which checkpoint."""

    record: Exported
    checkpoint: Checkpoint

    def about(self) -> dict[str, Any]:
        """What JSON says about the checkpoint and minigpt."""
        return about(self.checkpoint)


def export_run(run: Path, target: Path, wanted: ExportSettings, stages: Stages) -> Export:
    """Export the checkpoint `run` to `target`: a GGUF file if it has that suffix, otherwise a Hugging Face folder.

    Raises ConfigError for a type that the target cannot hold, OutputError if it cannot be written.
    """
    dtype, is_gguf = wanted.dtype, target.suffix.lower() == ".gguf"
    kinds, where = (GGUF_DTYPES, "in a .gguf file") if is_gguf else (FOLDER_DTYPES, "in a folder")
    require(dtype in kinds, f"{named('dtype')} must be {one_of(kinds)} {where}, not {dtype}.")
    check_target(target, overwrite=wanted.overwrite)
    if is_gguf:
        check_installed()
    loaded = open_checkpoint(run, "cpu", None)
    if is_gguf:
        save_gguf(target, loaded, dtype, lambda total: stages("writing", total, "bytes"))
    else:
        export_folder(target, loaded, dtype)
    files = [target] if is_gguf else [path for path in target.iterdir() if path.is_file()]
    record = Exported(
        path=str(target),
        format="gguf" if is_gguf else "huggingface",
        dtype=dtype,
        parameters=loaded.model.parameter_count(),
        bytes=sum(path.stat().st_size for path in files),
    )
    return Export(record, loaded)
