"""Writes the records of a run as TensorBoard's event files, in its folder."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import OutputError, PackageError, named

_SECONDS_BETWEEN_WRITES = 10  # what a kill may cost; TensorBoard's own is 120


def is_installed() -> bool:
    return find_spec("tensorboard") is not None


def check_installed() -> None:
    """Raise PackageError if TensorBoard is not installed, before any work is done."""
    if not is_installed():
        raise PackageError(
            f"{named('tensorboard')} needs the package tensorboard, not installed here.\n"
            "From your clone of minigpt: pip install -e '.[tensorboard]'"
        )


class EventFiles:
    """Writes each record into `folder`, one scalar per number, tagged with the number's JSON name.

    `info`, the contents of run.json, is written as text. Events of earlier sessions stay, up to the first record
    written now: later steps were lost, and TensorBoard is told to purge them. Raises OutputError.
    """

    def __init__(self, folder: Path, info: dict[str, Any]) -> None:
        self._folder, self._info = folder, info
        self._writer: Any = None  # made at the first record, whose step it must know

    def __enter__(self) -> "EventFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            with self._errors_told():
                self._writer.close()

    def write(self, record: TrainRecord) -> None:
        """Write the next record."""
        with self._errors_told():
            if self._writer is None:
                self._writer = self._open(record.step)
            for name, value in asdict(record).items():
                if name != "step" and value is not None and math.isfinite(value):
                    self._writer.add_scalar(name, value, record.step)

    def _open(self, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(self._folder), purge_step=step or None, flush_secs=_SECONDS_BETWEEN_WRITES)
        lines = json.dumps(self._info, indent=2, ensure_ascii=False).splitlines()
        writer.add_text("run.json", "\n".join(f"    {line}" for line in lines), step)  # as code, in Markdown
        return writer

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be written: {error.strerror or error}.") from error
