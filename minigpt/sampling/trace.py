"""A generation as a file of JSON lines, written as it runs, and read with each line checked against those before it.

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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.checkpoint.files import CONFIG, sha256_of, storable
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.tensors import weight_files
from minigpt.checkpoint.tokenizer_files import tokenizer_files
from minigpt.errors import ConfigError, OutputError, TraceError, brief, escaped, named
from minigpt.models.forward_library import instruction_set
from minigpt.models.network import dtype_of
from minigpt.models.threads import most_threads
from minigpt.records import Misfit, Several, from_line, from_plain, to_plain
from minigpt.sampling import philox
from minigpt.sampling.records import Change, SampleEnd, StepRecord
from minigpt.settings import FILTERS, SampleConfig
from minigpt.text.records import token_text
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


_MADE_BY = ("sample", "explore")
_GENERATORS = (philox.NAME, "mt19937")  # the second is torch's, which drew the tokens up to format 2
_NEUTRAL = {spec.setting: to_plain(spec.neutral) for spec in FILTERS.values()}  # where format 1 knew no such filter


def read_trace(path: Path) -> Trace:
    """Read a trace and validate it. Raises TraceError, which says what is wrong in which line."""
    name = escaped(str(path))
    try:
        with path.open("rb") as file:
            return _Reader(name, file).read()
    except OSError as error:
        raise TraceError(f"{name} cannot be read: {error.strerror}.") from error


class _Reader:
    """Reads the lines of a file, and checks each against those before it."""

    def __init__(self, name: str, file: io.BufferedReader) -> None:
        self._name, self._file, self._line = name, file, 0
        self._steps: list[TraceStep] = []
        self._ends: dict[int, SampleEnd] = {}
        self._last: dict[int, TraceStep] = {}  # step of each sample
        self._nodes: dict[int | None, TraceStep | None] = {None: None}  # of a tree; None is the prompt

    def read(self) -> Trace:
        try:
            self._header = self._read_header(self._next_line())
            while "end" not in (values := self._values(self._next_line())):
                if "stopped_by" in values:
                    self._take_end(from_plain(SampleEnd, values))
                else:
                    self._take_step(values)
            self._check_last(values)
        except (Misfit, ConfigError) as error:
            message = error.message if isinstance(error, ConfigError) else str(error)
            what = message.removeprefix(".").rstrip(".")
            raise TraceError(f"{self._name} is damaged, in line {self._line:,}: {what}.") from error
        ends = tuple(self._ends[sample] for sample in sorted(self._ends))
        return Trace(header=self._header, steps=tuple(self._steps), ends=ends)

    def _next_line(self) -> bytes:
        self._line += 1
        return self._file.readline(LONGEST_LINE + 1)

    def _values(self, line: bytes) -> dict[str, Any]:
        if len(line) > LONGEST_LINE:
            raise Misfit(f"it is longer than {LONGEST_LINE:,} bytes")
        if not line.endswith(b"\n"):
            where = f"in the middle of line {self._line:,}" if line else f"after line {self._line - 1:,}"
            raise TraceError(
                f"{self._name} is cut off: it ends {where}, before the generation did.\n"
                "Only a complete trace can be replayed."
            )
        return from_line(line)

    def _read_header(self, line: bytes) -> TraceHeader:
        if f'"{FORMAT}"'.encode() not in line[:100]:
            raise TraceError(
                f"{self._name} is not a minigpt trace: it does not begin like one.\n"
                'Make one with: minigpt sample "Once upon a time" --trace FILE'
            )
        values = self._values(line)
        name, number = values.pop("format", None), values.pop("number", None)
        if name != FORMAT or type(number) is not int or number < 1:
            raise Misfit("it does not name its format")
        if number > NUMBER:
            raise TraceError(
                f"{self._name} is a trace of format {number}, and this minigpt, {version('minigpt')}, reads format "
                f"{NUMBER}.\nReplay it with the version that made it, or a newer one."
            )
        if number == 1 and isinstance(settings := values.get("settings"), dict):
            values["settings"] = {**_NEUTRAL, **settings}
        if number < 3:
            values["generator"] = _GENERATORS[1]
        header = from_plain(TraceHeader, values)
        for name, known in (("made_by", _MADE_BY), ("generator", _GENERATORS)):
            if (value := getattr(header, name)) not in known:
                raise Misfit(f"{name} is {brief(json.dumps(value))}, where {' or '.join(known)} must be")
        if not header.prompt_ids:
            raise Misfit("prompt_ids is empty")
        _check_ids((*header.prompt_ids, *(token for token, _ in header.settings.bias)), header.vocab_size)
        return header

    def _take_step(self, values: dict[str, Any]) -> None:
        place = from_plain(TreePlace, {n: values.pop(n) for n in ("node", "parent") if n in values}, exact=False)
        record = from_plain(StepRecord, values)
        self._check_sample(record.sample)
        _check_step(record, self._header.vocab_size)
        if self._header.made_by == "sample":
            if place.node is not None:
                raise Misfit("it has a node, and a sample is not a tree")
            before = self._last.get(record.sample)
        else:
            before = self._parent(place)
        if record.position != (wanted := self._position_after(before)):
            raise Misfit(f"position is {record.position:,}, where {wanted:,} must be")
        step = TraceStep(node=place.node, parent=place.parent, record=record, before=before)
        if step.node is not None:
            self._nodes[step.node] = step
        self._last[record.sample] = step
        self._steps.append(step)

    def _parent(self, place: TreePlace) -> TraceStep | None:
        if place.node is None:
            raise Misfit("it has no node")
        if place.node < 0 or place.node in self._nodes:
            raise Misfit(f"node is {place.node}, which is {'negative' if place.node < 0 else 'there already'}")
        if place.parent not in self._nodes:
            raise Misfit(f"parent is {place.parent}, which no step before it has")
        return self._nodes[place.parent]

    def _position_after(self, step: TraceStep | None) -> int:
        return len(self._header.prompt_ids) if step is None else step.record.position + 1

    def _take_end(self, end: SampleEnd) -> None:
        self._check_sample(end.sample)
        found = self._position_after(self._last.get(end.sample)) - len(self._header.prompt_ids)
        if end.tokens != found and self._header.made_by == "sample":
            raise Misfit(f"tokens is {end.tokens:,}, where sample {end.sample} has {found:,} steps")
        if end.prompt != self._header.prompt:
            raise Misfit("prompt is not the one of the first line")
        self._ends[end.sample] = end

    def _check_sample(self, sample: int) -> None:
        if not 0 <= sample < self._header.num_samples:
            raise Misfit(f"sample is {sample}, where there are {self._header.num_samples:,}, from 0")
        if sample in self._ends:
            raise Misfit(f"sample {sample} has ended before")

    def _check_last(self, values: dict[str, Any]) -> None:
        if values != {"end": len(self._steps)} or type(values["end"]) is not int:
            raise Misfit(f"it must say how many steps there are, {len(self._steps):,}, and nothing else")
        missing = next((n for n in range(self._header.num_samples) if n not in self._ends), None)
        if missing is not None and self._header.made_by == "sample":
            raise Misfit(f"sample {missing} has no end")
        if not self._steps:
            raise Misfit("there is no step before it")
        if self._file.read(1):
            raise Misfit("something follows it, and it must be the last line")


def _check_step(record: StepRecord, vocab_size: int) -> None:
    """Raise Misfit if a step lacks numbers, or if they contradict each other or the vocabulary."""
    if record.chosen is None or record.other is None or record.entropy_bits is None or record.surprisal_bits is None:
        raise Misfit("it has no token with its numbers")
    if record.token not in record.candidates:
        raise Misfit("its token is not among the candidates")
    _check_ids((candidate.id for candidate in record.candidates), vocab_size)
    ranks, kept = (c.rank for c in record.candidates), (stage.kept for stage in record.stages)
    if (most := max(record.other.count, *ranks, *kept)) > vocab_size:
        raise Misfit(f"it counts {most:,} tokens in a vocabulary of {vocab_size:,}")
    for name, after in (("other", record.other.after), *((f"token {c.id}", c.after) for c in record.candidates)):
        if len(after) != len(record.stages):
            raise Misfit(f"{name} has {len(after)} probabilities after {len(record.stages)} stages")
    for candidate in record.candidates:
        try:
            text = token_text(bytes.fromhex(candidate.bytes))
        except ValueError as error:
            raise Misfit(f"bytes is {brief(json.dumps(candidate.bytes))}, which is not hexadecimal") from error
        if candidate.text != text:
            raise Misfit(f"the text and the bytes of token {candidate.id} are not the same")


def _check_ids(tokens: Iterable[int], vocab_size: int) -> None:
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise Misfit(f"there is no token {token} in a vocabulary of {vocab_size:,}")
