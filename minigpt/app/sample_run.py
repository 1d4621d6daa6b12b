"""What `minigpt sample` does, without a terminal: it draws samples, searches by beam, or repeats a trace."""

import os
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minigpt.app.opening import check_source, given_text, open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.reference import find_reference
from minigpt.errors import ConfigError, MinigptError, TraceError, named
from minigpt.models.decoder import decoder_for, decoding_threads
from minigpt.models.device import resolve_device
from minigpt.sampling.beam import beam_search
from minigpt.sampling.check import CacheCheck
from minigpt.sampling.engine import Piece, by_sample, generate
from minigpt.sampling.filters import read_biases
from minigpt.sampling.page_steps import SampleSteps
from minigpt.sampling.records import BeamTarget, CacheReport, Replay, Rescoring, SampleEnd, StepRecord
from minigpt.sampling.replay import Advance, repeat, rescored
from minigpt.sampling.trace import Fingerprint, Trace, TraceHeader, TraceWriter, read_trace
from minigpt.settings import (
    FILTERS,
    AskedFilters,
    Drawing,
    Machine,
    SampleConfig,
    SampleKept,
    SampleSource,
    Weights,
    build,
    require,
    settings_of,
)
from minigpt.settings.model import NAMES
from minigpt.text.blocks import Stages
from minigpt.text.formats import check_argument
from minigpt.text.losses import prompt_notes
from minigpt.views.corpus import SHORTEST_SPAN, VerbatimReport, verbatim

_LARGEST_DIFFERENCE = 1e-4  # between the logits of a cached step and of a full pass, in float32
_USUAL_BYTES = 32  # of text in the shortest span that is marked as verbatim: about six words of English


@dataclass
class SampleRun:
    """Samples of one text by one model, and what is to be `kept` of them.

    `steps` are for a page, `check` compares cached steps with full passes, and `verbatim` finds what occurs in a
    corpus. `window_moved` is true once a text has outgrown the model's context.
    """

    checkpoint: Checkpoint
    text: str
    config: SampleConfig
    count: int
    kept: SampleKept
    check: CacheCheck | None
    verbatim: "Verbatim | None"
    steps: SampleSteps | None
    window_moved: bool = field(default=False, init=False)

    @classmethod
    def open(
        cls,
        source: SampleSource,
        filters: AskedFilters,
        drawing: Drawing,
        kept: SampleKept,
        machine: Machine,
        weights: Weights,
        stages: Stages,
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> "SampleRun":
        """Load the checkpoint, read the text and the corpus, and look up biases. Settings are checked first.

        `given`: the settings given explicitly. A model of pairs is greedy unless a temperature is among them.
        """
        smaller, stored = weights != Weights(), f"{named('dtype')} and {named('quantize')}"
        require(not (kept.check and smaller), f"{named('check')} compares in float32: leave out {stored}.")
        require(kept.trace is None or not smaller, f"{named('trace')} is replayed in float32: leave out {stored}.")
        drawn = {
            "stages": stages_of(drawing.stages, filters),
            "seed": secrets.randbelow(1_000_000) if drawing.seed is None else drawing.seed,
            "stop": tuple(map(check_argument, drawing.stop)),
        }
        config = build(SampleConfig, {**vars(filters), **vars(drawing), **drawn})
        text = given_text(source.prompt, source.file)
        loaded = open_checkpoint(source.checkpoint, machine, weights, reading=source)
        config = replace(config, bias=read_biases(loaded.tokenizer, filters.biases))
        if loaded.model.config.reads_pairs:
            check_source(loaded.model.config, text)
            name = NAMES[loaded.model.config.model]
            require(
                kept.html is None,
                f"{named('html')} is not for {name}: a page has one text, and not a source and a target.",
            )
            if "temperature" not in given:
                config = replace(config, temperature=0.0)  # the most probable target, rather than one of many
        return cls(
            loaded,
            text,
            config,
            drawing.num_samples,
            kept,
            check=CacheCheck(loaded.model) if kept.check else None,
            verbatim=Verbatim(loaded, kept.corpus, kept.verbatim, stages) if kept.corpus else None,
            steps=SampleSteps(loaded, text, config, drawing.num_samples) if kept.html else None,
        )

    @property
    def shown_first(self) -> str:
        """What stands before the text that is generated: the prompt that it continues."""
        return "" if self.checkpoint.model.config.reads_pairs else self.text

    @property
    def prompt_notes(self) -> list[str]:
        """Sentences about parts of the prompt that the model reads in another way than one might expect."""
        return prompt_notes(self.checkpoint.tokenizer, self.text)

    @contextmanager
    def pieces(self) -> Iterator[Iterator[Piece]]:
        """The pieces of all samples, also written to the trace."""
        watchers = [each.watch for each in (self.steps, self.check) if each]

        def watch(*step: Any) -> None:
            for watcher in watchers:
                watcher(*step)

        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        pieces = generate(model, tokenizer, self.text, self.config, count=self.count, watch=watch if watchers else None)
        if self.steps:
            pieces = self.steps.keep(pieces)
        with self._trace() as trace, decoding_threads(model):
            yield self._recorded(pieces, trace)

    def _trace(self) -> AbstractContextManager[TraceWriter | None]:
        if self.kept.trace is None:
            return nullcontext()
        header = TraceHeader.of(self.checkpoint, self.text, self.config, num_samples=self.count)
        return TraceWriter.open(self.kept.trace, header)

    def _recorded(self, pieces: Iterator[Piece], trace: TraceWriter | None) -> Iterator[Piece]:
        """Pass on the same pieces."""
        for piece in pieces:
            self.window_moved = self.window_moved or piece.window_start > 0
            if self.verbatim:
                self.verbatim.add(piece.record)
            if trace:
                trace.write(piece.record)
            yield piece

    def by_sample(self, pieces: Iterator[Piece], pace: float | None) -> Iterator[Iterator[Piece]]:
        """The pieces of one sample after the other, each `paced`."""
        return (self.paced(mine, pace) for mine in by_sample(pieces, range(self.count)))

    @staticmethod
    def paced(pieces: Iterator[Piece], pace: float | None) -> Iterator[Piece]:
        """The same pieces, at most `pace` tokens per second."""
        for piece in pieces:
            yield piece
            if pace is not None and isinstance(piece.record, StepRecord):
                time.sleep(1 / pace)

    def about(self, record: StepRecord | SampleEnd) -> dict[str, Any]:
        """What JSON says beside a record that ends a sample: what is verbatim, the checkpoint and the version."""
        if not isinstance(record, SampleEnd):
            return {}
        spans = {"verbatim": self.verbatim.report(record.sample)} if self.verbatim else {}
        return self.checkpoint.about(**spans)

    def difference(self) -> CacheReport | None:
        """The report on cached steps and full passes, if they were compared. Raises MinigptError if they differ too
        much.
        """
        report = self.check.report() if self.check else None
        if report is not None and not report.largest_difference <= _LARGEST_DIFFERENCE:
            raise MinigptError(
                f"{named('check')}: cached steps and full passes over the same ids disagree: the largest difference of "
                f"two logits is {report.largest_difference:.2g}, for token {report.position} of sample "
                f"{report.sample}.\nMore than {_LARGEST_DIFFERENCE:g} is not rounding in float32."
            )
        return report


class Verbatim:
    """Records what is sampled, then reports which parts occur verbatim in the corpus.

    `at_least`: the fewest tokens of a span, by default about 32 bytes of text. `note`: a remark about the corpus.
    """

    def __init__(self, checkpoint: Checkpoint, sources: Sequence[str], at_least: int | None, stages: Stages) -> None:
        self._corpus = find_reference([check_argument(source) for source in sources], checkpoint, stages)
        self.note = self._corpus.note
        self._tokenizer = checkpoint.tokenizer
        self._at_least = at_least or max(SHORTEST_SPAN, round(_USUAL_BYTES / self._corpus.bytes_per_token))
        self._drawn: dict[int, list[StepRecord]] = defaultdict(list)

    def add(self, record: StepRecord | SampleEnd) -> None:
        """Record a step; the end of a sample adds nothing."""
        if isinstance(record, StepRecord):
            self._drawn[record.sample].append(record)

    def report(self, sample: int) -> VerbatimReport:
        """Report on a sample that has ended; only once, because its tokens are then dropped."""
        drawn = self._drawn.pop(sample)
        return verbatim(
            self._tokenizer,
            [record.token.id for record in drawn if record.token is not None],
            self._corpus.ids,
            self._corpus.text,
            at_least=self._at_least,
            position=drawn[0].position,
            sample=sample,
        )


def stages_of(listed: str | None, filters: AskedFilters) -> tuple[str, ...]:
    """The names of the filters to apply. Raises ConfigError if a filter that is left out has its setting changed."""
    if listed is None:
        return tuple(FILTERS)
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    usual, changed = AskedFilters(), {**vars(filters), "bias": filters.biases}
    for name, spec in FILTERS.items():
        value, flag = changed[spec.setting], named(spec.setting)
        spelled = named(spec.setting, value) if isinstance(value, int | float) else flag
        require(
            name in names or value == getattr(usual, spec.setting),
            f"{spelled} is given, but {named('stages')} leaves {name} out: name it there, or leave out {flag}.",
        )
    return names


# --- the most probable targets of a source, by beam search

_GO_WITH_BEAM = {
    "beam",
    "max_tokens",
    "json",
    "raw",
    "quiet",
    "config",
    *settings_of(SampleSource),
    *settings_of(Machine),
}


@dataclass(frozen=True)
class BeamRun:
    """A source, a model of pairs, and the targets that a search found, the best first."""

    checkpoint: Checkpoint
    text: str
    width: int
    targets: tuple[BeamTarget, ...]

    @classmethod
    def search(cls, source: SampleSource, drawing: Drawing, machine: Machine, given: Mapping[str, Any]) -> "BeamRun":
        """Load the checkpoint and search. Raises ConfigError for a `given` setting without use, or another model."""
        other = next((name for name in given if name not in _GO_WITH_BEAM), "")
        require(
            not other,
            f"{named('beam')} draws nothing and shows only the targets that it found: leave out {named(other)}.",
        )
        assert drawing.beam is not None
        text = given_text(source.prompt, source.file)
        loaded = open_checkpoint(source.checkpoint, machine, reading=source)
        config, tokenizer = loaded.model.config, loaded.tokenizer
        require(
            config.reads_pairs,
            f"{named('beam')} is for models of pairs, and this is {NAMES[config.model]}: {named('num_samples')} draws "
            "several texts.",
        )
        require(bool(text.strip()), f"{named('beam')} needs a source.")
        ids, end = tokenizer.encode_prompt(text).ids, tokenizer.end_of_text
        with decoding_threads(loaded.model):
            found = beam_search(
                decoder_for(loaded.model), ids, end, drawing.beam, min(drawing.max_tokens, config.context)
            )
        targets = tuple(
            BeamTarget(
                rank=rank,
                text=tokenizer.decode([id for id in each.ids if id != end]),
                tokens=len(each.ids),
                log_prob_nats=each.log_prob_nats,
                log_prob_nats_per_token=each.score,
                stopped_by=each.stopped_by,
            )
            for rank, each in enumerate(found, start=1)
        )
        return cls(loaded, text, drawing.beam, targets)

    @property
    def prompt_notes(self) -> list[str]:
        """Sentences about parts of the source that the model reads in another way than one might expect."""
        return prompt_notes(self.checkpoint.tokenizer, self.text)


# --- a trace, repeated or scored by another checkpoint


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
        checkpoint = _traced_checkpoint(path, trace.header, given)
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


def _traced_checkpoint(path: Path, header: TraceHeader, given: Mapping[str, Any]) -> Checkpoint:
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
