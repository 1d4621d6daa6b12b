"""What `minigpt sample` does, without a terminal: it opens the model, draws the samples and writes their trace."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minigpt.app.opening import about, given_text, open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import MinigptError, named
from minigpt.models.decoder import decoding_threads
from minigpt.sampling.check import CacheCheck
from minigpt.sampling.engine import Piece, Watch, by_sample, generate
from minigpt.sampling.filters import read_biases
from minigpt.sampling.records import CacheReport, SampleEnd, StepRecord
from minigpt.sampling.trace import TraceHeader, TraceStep, TraceWriter
from minigpt.settings import (
    FILTERS,
    AskedFilters,
    Drawing,
    Machine,
    SampleConfig,
    SampleSource,
    Weights,
    build,
    require,
)
from minigpt.text.formats import check_argument

__all__ = ["SampleRun", "by_sample", "stages_of"]

Through = Callable[[Iterator[Piece]], Iterator[Piece]]  # lets pieces pass, and notes what it needs of them
_LARGEST_DIFFERENCE = 1e-4  # between the logits of a cached step and of a full pass, in float32


@dataclass
class SampleRun:
    """Samples of one text by one model. `window_moved` is true once a text has outgrown the model's context."""

    checkpoint: Checkpoint
    text: str
    config: SampleConfig
    count: int
    check: CacheCheck | None = None
    window_moved: bool = field(default=False, init=False)

    @classmethod
    def open(
        cls,
        source: SampleSource,
        filters: AskedFilters,
        drawing: Drawing,
        machine: Machine,
        weights: Weights,
        *,
        check: bool,
    ) -> "SampleRun":
        """Load the checkpoint, read the text, and look up biases. Settings are checked first.

        With `check`, every cached step is compared with a full pass.
        """
        config = build(
            SampleConfig,
            {
                **vars(filters),
                **vars(drawing),
                "stages": stages_of(drawing.stages, filters),
                "seed": secrets.randbelow(1_000_000) if drawing.seed is None else drawing.seed,
                "stop": tuple(map(check_argument, drawing.stop)),
            },
        )
        text = given_text(source.prompt, source.file)
        loaded = open_checkpoint(source.checkpoint, machine.device, machine.threads, weights.dtype, weights.quantize)
        config = replace(config, bias=read_biases(loaded.tokenizer, filters.biases))
        checked = CacheCheck(loaded.model) if check else None
        return cls(loaded, text, config, drawing.num_samples, checked)

    @contextmanager
    def pieces(
        self, trace: Path | None, watchers: Sequence[Watch], through: Sequence[Through], pace: float | None
    ) -> Iterator[Iterator[Piece]]:
        """The pieces of all samples, at most `pace` tokens per second, also written to the new file `trace`.

        `watchers` receive the logits before each draw; the pieces then pass `through` these functions.
        """

        watching = [*watchers, *([self.check.watch] if self.check else [])]

        def watch(*step: Any) -> None:
            for watcher in watching:
                watcher(*step)

        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        pieces = generate(model, tokenizer, self.text, self.config, count=self.count, watch=watch)
        for function in through:
            pieces = function(pieces)
        with ExitStack() as stack:
            if trace is not None:
                header = TraceHeader.of(self.checkpoint, self.text, self.config, num_samples=self.count)
                pieces = _written(pieces, stack.enter_context(TraceWriter(trace, header)))
            stack.enter_context(decoding_threads(model))
            yield self._paced(pieces, pace)

    def about(self) -> dict[str, Any]:
        """What JSON says about the checkpoint and this version."""
        return about(self.checkpoint)

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

    def _paced(self, pieces: Iterator[Piece], pace: float | None) -> Iterator[Piece]:
        for piece in pieces:
            self.window_moved = self.window_moved or piece.window_start > 0
            yield piece
            if pace is not None and isinstance(piece.record, StepRecord):
                time.sleep(1 / pace)


def _written(pieces: Iterator[Piece], writer: TraceWriter) -> Iterator[Piece]:
    for piece in pieces:
        record = piece.record
        writer.write(record if isinstance(record, SampleEnd) else TraceStep(record=record))
        yield piece


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
