"""Writes the records of a run as TensorBoard's event files, in its folder."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import writing
from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import named, needs_extra

_SECONDS_BETWEEN_WRITES = 10  # what a kill may cost; TensorBoard's own is 120


def is_installed() -> bool:
    return find_spec("tensorboard") is not None


def check_installed() -> None:
    """Raise PackageError if TensorBoard is not installed, before any work is done."""
    if not is_installed():
        raise needs_extra(f"{named('tensorboard')} needs the package tensorboard", "tensorboard")


@contextmanager
def event_files(folder: Path, info: Mapping[str, Any]) -> Iterator[Callable[[TrainRecord], None]]:
    """Gives a function that writes each record into `folder`, one scalar per number, tagged with its JSON name.

    `info`, the contents of run.json, is written as text. Events of earlier sessions stay, up to the first record
    written now: later steps were lost, and TensorBoard is told to purge them. Raises OutputError.
    """
    writer: Any = None  # opened at the first record, whose step it must know

    def write(record: TrainRecord) -> None:
        nonlocal writer
        with writing(folder):
            writer = writer or _open(folder, info, record.step)
            for name, value in asdict(record).items():
                if name != "step" and value is not None and math.isfinite(value):
                    writer.add_scalar(name, value, record.step)

    try:
        yield write
    finally:
        if writer is not None:
            with writing(folder):
                writer.close()


def _open(folder: Path, info: Mapping[str, Any], step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=step or None, flush_secs=_SECONDS_BETWEEN_WRITES)
    lines = json.dumps(info, indent=2, ensure_ascii=False).splitlines()
    writer.add_text("run.json", "\n".join(f"    {line}" for line in lines), step)  # as code, in Markdown
    return writer
