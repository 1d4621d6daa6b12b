"""Reads a trace, and checks each line against those before it."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minigpt.errors import ConfigError, TraceError, brief, escaped
from minigpt.records import Misfit, from_line, from_plain, to_plain
from minigpt.sampling import philox
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.sampling.trace import FORMAT, LONGEST_LINE, NUMBER, Trace, TraceHeader, TraceStep, TreePlace
from minigpt.settings import FILTERS
from minigpt.text.records import token_text
from minigpt.versions import version

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
                'minigpt sample "Once upon a time" --trace FILE makes one.'
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
