"""What `minigpt sample --replay` does: it repeats a trace, or scores its tokens with another checkpoint."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.app.opening import about, open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import ConfigError, TraceError
from minigpt.models.decoder import decoding_threads
from minigpt.models.device import resolve_device
from minigpt.sampling.records import Replay, Rescoring, SampleEnd
from minigpt.sampling.replay import ReplayTally, RescoringTally, changes, check_tokens, redraw, rescore
from minigpt.sampling.trace import Fingerprint, Trace, TraceHeader, read_trace

Advance = Callable[[int], None]  # called with the number of further tokens done


@dataclass(frozen=True)
class ReplayRun:
    """A trace and the checkpoint to replay it with; `changed` names what has changed in the checkpoint."""

    trace: Trace
    checkpoint: Checkpoint
    changed: Sequence[str]

    @classmethod
    def open(cls, path: Path, given: Mapping[str, Any]) -> "ReplayRun":
        """Load the trace at `path`, and the checkpoint that was `given`, or else the trace's own, which must be
        unchanged.

        Device and threads default to the trace's.
        """
        trace = read_trace(path)
        checkpoint = _open_checkpoint(path, trace.header, given)
        changed = trace.header.fingerprint.changes(Fingerprint.of(checkpoint.path))
        if changed and "checkpoint" not in given:
            raise TraceError(
                f"{checkpoint.path} is no longer what {path} was made with: its {' and '.join(changed)} changed.\n"
                f"Name a copy of that one with -c; -c {checkpoint.path} scores the same tokens on what it is now."
            )
        return cls(trace, checkpoint, changed)

    def again(self, advance: Advance) -> tuple[Replay, list[str]]:
        """The result of repeating the trace, and the texts; none for a tree of tokens."""
        trace, checkpoint = self.trace, self.checkpoint
        tally = ReplayTally(trace, drawn=trace.header.made_by == "sample")
        different, texts = changes(trace.header, checkpoint), dict[int, str]()
        with decoding_threads(checkpoint.model):
            if trace.header.made_by == "sample":
                for piece in redraw(trace, checkpoint):
                    if not tally.draw(piece.record):
                        break
                    if isinstance(piece.record, SampleEnd):
                        texts[piece.record.sample] = piece.record.text
                    advance(1)
            else:
                check_tokens(trace, checkpoint)
                for step, _, record in rescore(trace, checkpoint):
                    tally.compare(step.record, record)
                    advance(1)
        return tally.result(different), [texts[sample] for sample in sorted(texts)]

    def elsewhere(self, advance: Advance, top: int) -> Rescoring:
        """The same tokens scored by this checkpoint, with the `top` ones whose surprisals differ most."""
        check_tokens(self.trace, self.checkpoint)
        tally = RescoringTally()
        with decoding_threads(self.checkpoint.model):
            for step, before, record in rescore(self.trace, self.checkpoint):
                tally.add(step, before, record)
                advance(1)
        return tally.result(self.trace.header.checkpoint, str(self.checkpoint.path), top)

    def about(self) -> dict[str, Any]:
        """What JSON says about the numbers: the prompt, the weights, and the version of minigpt."""
        return about(self.checkpoint, prompt=self.trace.header.prompt)


def _open_checkpoint(path: Path, header: TraceHeader, given: Mapping[str, Any]) -> Checkpoint:
    folder = given.get("checkpoint", Path(header.checkpoint))
    if "checkpoint" not in given and not folder.is_dir():
        raise TraceError(
            f"{path} was made with the checkpoint {folder}, which is not there.\n"
            "Say with -c where it is now, or name another one to score the same tokens on it."
        )
    device = given.get("device")
    if device is None:
        try:
            device = str(resolve_device(header.device))
        except ConfigError:
            device = "auto"
    return open_checkpoint(folder, device, given.get("threads", min(header.threads, os.cpu_count() or 1)))
