"""Writes a generation to a file of JSON lines as it runs, from which trace_reader.py reads all that a replay needs.

    {"format": "minigpt trace", "number": 1, "made_by": "sample", ...}    the header
    {"sample": 0, "position": 3, "token": {...}, ...}                     a StepRecord a line, as `sample --json` writes
    {"sample": 0, "prompt": "The cat", "text": ..., "stopped_by": ...}    a SampleEnd for each sample
    {"end": 60}                                                           how many steps there were: none is missing

A step of a tree, such as the explorer makes, has two more names: its own number, `node`, and `parent`, the number of
the step before it, or null if it follows the prompt.
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.checkpoint.files import CONFIG, sha256_of, storable
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.tensors import weight_files
from minigpt.checkpoint.tokenizer_files import tokenizer_files
from minigpt.errors import OutputError, escaped, named
from minigpt.models.forward_library import instruction_set
from minigpt.models.network import dtype_of
from minigpt.models.threads import most_threads
from minigpt.records import Several, to_plain
from minigpt.sampling import philox
from minigpt.sampling.records import Change, SampleEnd, StepRecord
from minigpt.settings import SampleConfig
from minigpt.versions import version

if TYPE_CHECKING:
    from minigpt.models.network import AnyModel

FORMAT = "minigpt trace"
NUMBER = 3  # of the format; one more whenever a reader of the last one would misread or refuse the new
LONGEST_LINE = 1 << 25  # bytes: a step that lists the 50,257 tokens of GPT-2 takes half of it


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The SHA-256 (hexadecimal) of the files that determine a checkpoint's output."""

    weights: str
    tokenizer: str
    config: str

    @classmethod
    def of(cls, folder: Path) -> Fingerprint:
        """Raises CheckpointError if one of the files cannot be read."""
        return cls(
            weights=sha256_of(weight_files(folder)),
            tokenizer=sha256_of(tokenizer_files(folder)),
            config=sha256_of([folder if folder.is_file() else folder / CONFIG]),
        )

    def changes(self, other: Fingerprint) -> list[str]:
        """The names of the files that differ in `other`."""
        return [name for name, value in asdict(self).items() if value != getattr(other, name)]


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What computed the numbers: versions, and the kind of machine, which decides how sums are rounded."""

    minigpt: str
    python: str
    torch: str
    tokenizers: str
    machine: str

    @classmethod
    def here(cls) -> Versions:
        return cls(
            minigpt=version("minigpt"),
            python=platform.python_version(),
            torch=version("torch"),
            tokenizers=version("tokenizers"),
            machine=f"{platform.system()} {platform.machine()} {instruction_set()}",
        )


@dataclass(frozen=True, kw_only=True)
class TraceHeader:
    """The checkpoint, prompt and settings of a trace. `prompt_ids` is what the model read: never empty."""

    made_by: str  # sample, whose tokens were drawn, or explore, where a person may have chosen them
    prompt: str
    prompt_ids: tuple[int, ...]
    num_samples: Several
    settings: SampleConfig
    generator: str  # of the random numbers that the seed stands for
    checkpoint: str  # its folder, as it was given
    fingerprint: Fingerprint
    vocab_size: Several
    versions: Versions
    device: str
    dtype: str  # of the weights, as torch names it
    threads: Several

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        prompt: str,
        settings: SampleConfig,
        *,
        num_samples: int = 1,
        made_by: str = "sample",
    ) -> TraceHeader:
        """The header for what `checkpoint` is about to generate from `prompt`, now. Raises CheckpointError."""
        model, tokenizer = checkpoint.model, checkpoint.tokenizer
        return cls(
            made_by=made_by,
            prompt=prompt,
            prompt_ids=tuple(tokenizer.encode_prompt(prompt).ids),
            num_samples=num_samples,
            settings=settings,
            generator=philox.NAME,
            checkpoint=storable(checkpoint.path),
            fingerprint=Fingerprint.of(checkpoint.path),
            vocab_size=model.config.vocab_size,
            versions=Versions.here(),
            **_computed_with(model),
        )

    def changes(self, model: AnyModel) -> tuple[Change, ...]:
        """Whatever may make `model` round numbers differently than when the trace was made."""
        then, now = {**vars(self), **vars(self.versions)}, {**vars(Versions.here()), **_computed_with(model)}
        return tuple(
            Change(name=name, then=str(then[name]), now=str(now[name])) for name in now if then[name] != now[name]
        )


def _computed_with(model: AnyModel) -> dict[str, Any]:
    """The device, the type of the weights, and the number of threads."""
    return {"device": str(model.device), "dtype": dtype_of(model), "threads": most_threads()}


@dataclass(frozen=True, kw_only=True)
class TreePlace:
    """The place of a step in a tree: its number, and that of the step before it, None if that is the prompt.

    In samples both are None, and the steps of a sample follow each other.
    """

    node: int | None = None
    parent: int | None = None


@dataclass(frozen=True, kw_only=True)
class TraceStep(TreePlace):
    """One token. `before` is the step before it, known once a trace is read; None at the prompt."""

    record: StepRecord
    before: TraceStep | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A whole trace: its steps in the order in which they were written, and the end of each sample."""

    header: TraceHeader
    steps: tuple[TraceStep, ...]
    ends: tuple[SampleEnd, ...]


class TraceWriter:
    """Writes the lines of a trace, each at once. Raises OutputError."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self._path, self._file, self._steps = path, file, 0

    @classmethod
    @contextmanager
    def open(cls, path: Path, header: TraceHeader) -> Iterator[TraceWriter]:
        """Create the file, which never replaces another; without a single step, it is removed again.

        A normal exit writes the last line.
        """
        try:
            writer = cls(path, io.FileIO(path, "x"))
        except FileExistsError as error:
            raise OutputError(
                f"{escaped(str(path))} exists already, and a trace never replaces a file.\n"
                "Choose another name, or remove it first."
            ) from error
        except OSError as error:
            raise OutputError(f"{escaped(str(path))} cannot be made: {error.strerror}.") from error
        try:
            writer._write({"format": FORMAT, "number": NUMBER, **to_plain(header)})
            yield writer
            if writer._steps:
                writer._write({"end": writer._steps})
        finally:
            writer._file.close()
            if not writer._steps:
                path.unlink(missing_ok=True)

    def write(self, record: StepRecord | SampleEnd, place: TreePlace | None = None) -> None:
        """Add a step, of a tree with its `place` there, or the end of a sample."""
        in_tree = {} if place is None else {"node": place.node, "parent": place.parent}
        self._write({**in_tree, **to_plain(record)})
        self._steps += isinstance(record, StepRecord)

    def _write(self, values: dict[str, Any]) -> None:
        line = json.dumps(values, allow_nan=False).encode("ascii") + b"\n"
        if len(line) > LONGEST_LINE:
            raise OutputError(
                f"{escaped(str(self._path))}: a line would have {len(line):,} bytes, more than the {LONGEST_LINE:,} "
                f"that can be read again.\nList fewer tokens with {named('top')}, or take a shorter prompt."
            )
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise OutputError(
                f"{escaped(str(self._path))} cannot be written: {error.strerror}. The trace in it is incomplete."
            ) from error
