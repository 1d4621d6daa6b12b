"""Generates text: a stream of pieces, each with the text that it adds and the record of its step."""

from __future__ import annotations

import codecs
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minigpt.errors import MinigptError
from minigpt.models.decoder import decoder_for
from minigpt.sampling.distribution import Distribution, distribution, step_record
from minigpt.sampling.filters import SeenTokens, build_stages, count_tokens
from minigpt.sampling.philox import uniforms
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import SEEDS, SampleConfig
from minigpt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from minigpt.models.network import AnyModel

BATCH = 32  # samples that are decoded at once: more are hardly faster each, and their caches take memory

# The records of up to this many steps, or this many seconds, are made together: a pass fills the processor's caches
# with weights, so the first record after it takes twice as long as the next.
_TOGETHER, _WAIT = 16, 0.005

Watch = Callable[[int, Sequence[int], np.ndarray], None]  # sample, the ids so far, the logits [V] of the next


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step adds: `data`, the bytes that can be shown now (often whole characters, rarely none), and the
    record.

    `window_start` is the index of the first token that the model still saw.
    """

    data: bytes
    record: StepRecord | SampleEnd
    window_start: int

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def generate(
    model: AnyModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: SampleConfig | None = None,
    *,
    sample: int = 0,
    count: int = 1,
    watch: Watch | None = None,
    recorded: Mapping[int, Sequence[int]] | None = None,
) -> Iterator[Piece]:
    """Continue `prompt` token by token; the last piece holds the SampleEnd. An empty prompt starts from end-of-text, or
    from what the tokenizer puts before every text.

    Sample number `sample` is drawn with the seed `config.seed + sample`. The same seed gives the same text wherever the
    logits and their softmax are the same: draws happen in float64 on the CPU, whatever the model runs on, and their
    random numbers are the same everywhere. Several samples (`count`) are decoded `BATCH` at a time: their pieces are
    interleaved, and each record names its sample. Up to rounding, each is what it would be alone. `watch` receives the
    logits before each draw, whose piece then comes before the next draw; without it, a few steps may be taken before
    their pieces come. The ids in `recorded`, by sample, are taken before any is drawn.
    """
    config, recorded = config or SampleConfig(), recorded or {}
    if model.config.reads_pairs:
        config = replace(config, max_tokens=min(config.max_tokens, model.config.context))
    ids = tokenizer.encode_prompt(prompt).ids
    for first in range(sample, sample + count, BATCH):
        numbers = range(first, min(first + BATCH, sample + count))
        samples = [_Sample(tokenizer, prompt, ids, config, number, recorded.get(number, ())) for number in numbers]
        yield from _generate(model, ids, samples, watch)


def by_sample(pieces: Iterator[Piece], numbers: Iterable[int]) -> Iterator[Iterator[Piece]]:
    """The pieces of each sample, in the order of the samples; pieces of later samples are buffered."""
    waiting: defaultdict[int, deque[Piece]] = defaultdict(deque)

    def of(number: int) -> Iterator[Piece]:
        mine = waiting[number]
        while True:
            while not mine:
                piece = next(pieces)
                waiting[piece.record.sample].append(piece)
            yield mine[0]
            if isinstance(mine.popleft().record, SampleEnd):
                del waiting[number]
                return

    return map(of, numbers)


def _generate(model: AnyModel, ids: list[int], samples: list[_Sample], watch: Watch | None) -> Iterator[Piece]:
    decoder = decoder_for(model, len(samples))
    logits_BV = decoder.prefill(ids)
    most = _TOGETHER if watch is None else 1
    steps, started = deque[tuple[_Sample, _Step]](), time.perf_counter()
    while samples:
        for sample, logits_V in zip(samples, logits_BV, strict=True):
            if watch is not None:
                watch(sample.number, sample.ids, logits_V)
            try:
                steps.append((sample, sample.draw(logits_V, decoder.start)))
            except MinigptError:  # what was drawn before it is shown
                yield from _pieces(steps)
                raise
            if len(steps) >= most or sample.stopped_by or time.perf_counter() - started > _WAIT:
                yield from _pieces(steps)
                started = time.perf_counter()
        rows = [row for row, sample in enumerate(samples) if not sample.stopped_by]
        if rows and len(rows) < len(samples):
            decoder.keep(rows)
        samples = [samples[row] for row in rows]
        if samples:
            logits_BV = decoder.step([sample.ids[-1] for sample in samples])


def _pieces(steps: deque[tuple[_Sample, _Step]]) -> Iterator[Piece]:
    while steps:
        sample, step = steps.popleft()
        yield from sample.pieces(step)


class _Step(NamedTuple):
    """A token that was drawn, what it was drawn from, and the bytes that can be shown now."""

    token: int
    position: int
    dist: Distribution
    data: bytes
    window_start: int


class _Sample:
    """One growing text: its next token, `recorded` or else drawn, and the bytes that can be shown."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: str,
        ids: list[int],
        config: SampleConfig,
        number: int,
        recorded: Sequence[int],
    ) -> None:
        self.number, self.ids, self.stopped_by = number, list(ids), ""
        self._tokenizer, self._prompt, self._config = tokenizer, prompt, config
        self._seed = (config.seed + number) % SEEDS
        self._recorded, self._uniforms = deque(recorded), uniforms(self._seed, len(recorded))
        self._stages = build_stages(config)
        self._seen = SeenTokens(ids, counted=count_tokens(self._stages))
        self._stream, self._tally = TextStream(config.stop), _Tally()
        self._left = config.max_tokens
        self._is_pair = tokenizer.ends_prompts

    def draw(self, logits_V: np.ndarray, window_start: int) -> _Step:
        """Append a token, and end the text if it ends with it."""
        dist = distribution(logits_V, self._stages, self._seen.ids)
        token = self._recorded.popleft() if self._recorded else dist.draw(next(self._uniforms))
        position = len(self.ids)
        self.ids.append(token)
        self._seen.add(token)
        self._left -= 1
        stream = self._stream
        ended = token in self._tokenizer.stops and not self._config.ignore_end_of_text
        data = stream.flush() if ended else stream.feed(self._tokenizer.token_bytes(token))
        self.stopped_by = _stopped_by(ended, stream.stopped, self._left == 0)
        return _Step(token, position, dist, data, window_start)

    def pieces(self, step: _Step) -> Iterator[Piece]:
        """The piece of a step, and the last piece if the text has ended with it."""
        tally = self._tally
        record = step_record(
            step.dist,
            self._tokenizer.token_bytes,
            position=step.position,
            top=self._config.top,
            token=step.token,
            sample=self.number,
        )
        tally.add(record, step.data)
        yield Piece(step.data, record, step.window_start)
        if self.stopped_by and len(self.ids) == step.position + 1:
            rest = self._stream.flush()
            tally.data.append(rest)
            end = tally.end(self._prompt, self.number, self._seed, self.stopped_by, is_pair=self._is_pair)
            yield Piece(rest, end, step.window_start)


def _stopped_by(ended: bool, stopped: bool, full: bool) -> str:
    return "end-of-text" if ended else "stop" if stopped else "max-tokens" if full else ""


@dataclass
class _Tally:
    """Sums over the steps of one sample."""

    tokens: int = 0
    surprisal_bits: float = 0.0
    entropy_bits: float = 0.0
    top_tokens: int = 0
    data: list[bytes] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, record: StepRecord, data: bytes) -> None:
        token = record.chosen
        assert token is not None
        assert record.surprisal_bits is not None
        assert record.entropy_bits is not None
        self.tokens += 1
        self.surprisal_bits += record.surprisal_bits
        self.entropy_bits += record.entropy_bits
        self.top_tokens += token.rank == 1
        self.data.append(data)

    def end(self, prompt: str, sample: int, seed: int, stopped_by: str, *, is_pair: bool) -> SampleEnd:
        """The record of a sample that has ended; the text of a pair is its target alone."""
        seconds = time.perf_counter() - self.started
        return SampleEnd(
            sample=sample,
            prompt=prompt,
            text=("" if is_pair else prompt) + b"".join(self.data).decode("utf-8", "replace"),
            tokens=self.tokens,
            seconds=seconds,
            tokens_per_second=self.tokens / seconds,
            bits_per_token=self.surprisal_bits / self.tokens,
            entropy_bits_per_token=self.entropy_bits / self.tokens,
            top_token_share=self.top_tokens / self.tokens,
            stopped_by=stopped_by,
            seed=seed,
        )


class TextStream:
    """Releases a text as it is generated.

    A character split over several tokens is held back until it is complete, and text that may be the start of a stop
    string until that is ruled out. `stopped` turns True when a stop string has appeared, which is not released.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stops = [text.encode() for text in stop]
        self._held = b""
        self.stopped = False

    def feed(self, data: bytes) -> bytes:
        """Take a token's bytes; return those that can be shown now."""
        if not self._held and not self._stops and data.isascii():
            return data
        self._held += data
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            self._held = self._held[: min(found)]
            return self.flush()
        return self._release(len(self._held) - max(_incomplete(self._held), self._possible_stop()))

    def flush(self) -> bytes:
        """End the text: returns everything that is still held back."""
        return self._release(len(self._held))

    def _release(self, count: int) -> bytes:
        released, self._held = self._held[:count], self._held[count:]
        return released

    def _possible_stop(self) -> int:
        """The length of the longest suffix of the held text that is a prefix of a stop string."""
        return max((_overlap(self._held, stop) for stop in self._stops), default=0)


def _overlap(text: bytes, stop: bytes) -> int:
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


def _incomplete(text: bytes) -> int:
    """The number of bytes at the end of `text` that begin a character which further bytes may complete."""
    if text.isascii():
        return 0
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[-4:])
    return len(decoder.getstate()[0])
