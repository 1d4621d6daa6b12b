"""What `minigpt sample --replay` does: it repeats a trace, or scores its tokens with another checkpoint."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.app.opening import open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import ConfigError, TraceError, named
from minigpt.models.device import resolve_device
from minigpt.sampling.records import Replay, Rescoring
from minigpt.sampling.replay import Advance, repeat, rescored
from minigpt.sampling.trace import Fingerprint, Trace, TraceHeader, read_trace
from minigpt.settings import Machine


@dataclass(frozen=True)
class ReplayRun:
    """A trace and the checkpoint to replay it with; `changed` names what has changed in the checkpoint."""

    trace: Trace
    checkpoint: Checkpoint
    changed: Sequence[str]

    @classmethod
    def open(cls, path: Path, given: Mapping[str, Any]) -> "ReplayRun":
        """Load the trace at `path`, and the checkpoint that was `given`, by default the trace's own if it is unchanged.

        Device and threads default to the trace's. Raises TraceError.
        """
        trace = read_trace(path)
        checkpoint = _open_checkpoint(path, trace.header, given)
        changed = trace.header.fingerprint.changes(Fingerprint.of(checkpoint.path))
        if changed and "checkpoint" not in given:
            raise TraceError(
                f"{checkpoint.path} is no longer what {path} was made with: its {' and '.join(changed)} changed.\n"
                f"Name a copy of the old one with {named('checkpoint', 'FOLDER')}, or score the same tokens with the "
                f"new one: {named('checkpoint', checkpoint.path)}."
            )
        return cls(trace, checkpoint, changed)

    def run(self, top: int, advance: Advance) -> tuple[Replay | Rescoring, list[str]]:
        """The result of repeating the trace, with its texts; with a changed checkpoint, the rescoring of its tokens
        instead, with the `top` ones whose surprisals differ most.
        """
        if self.changed:
            return rescored(self.trace, self.checkpoint, top, advance), []
        return repeat(self.trace, self.checkpoint, advance)


def _open_checkpoint(path: Path, header: TraceHeader, given: Mapping[str, Any]) -> Checkpoint:
    folder = given.get("checkpoint", Path(header.checkpoint))
    if "checkpoint" not in given and not folder.exists():
        raise TraceError(
            f"{path} was made with the checkpoint {folder}, which is not there.\n"
            f"Name it with {named('checkpoint', 'FOLDER')} if it was moved, or another one to score the same tokens."
        )
    threads = given.get("threads", min(header.threads, os.cpu_count() or 1))
    return open_checkpoint(folder, Machine(device=given.get("device") or _device(header), threads=threads))


def _device(header: TraceHeader) -> str:
    """The device of the trace, or else any."""
    try:
        return "cpu" if header.device == "cpu" else str(resolve_device(header.device))
    except ConfigError:
        return "auto"
