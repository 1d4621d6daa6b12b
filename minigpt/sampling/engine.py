"""A model, a prompt and settings in; a stream of pieces out: the text as it grows, and the record of every step."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from minigpt.config import SEEDS, SampleConfig
from minigpt.models.decoder import Decoder
from minigpt.models.gpt import GPT
from minigpt.records import SampleEnd, StepRecord
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.filters import build_stages
from minigpt.sampling.text_stream import TextStream
from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step adds: `data`, the bytes that can be shown now (often whole characters, rarely none), and the
    record. `window_start` is the index of the first token that the model still saw.
    """

    data: bytes
    record: StepRecord | SampleEnd
    window_start: int

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def generate(
    model: GPT, tokenizer: Tokenizer, prompt: str, config: SampleConfig | None = None, *, sample: int = 0
) -> Iterator[Piece]:
    """Continue `prompt` token by token; the last piece holds the SampleEnd. An empty prompt starts from end-of-text.

    Sample number `sample` draws with the seed `config.seed + sample`, so that each can be made again alone. The same
    seed gives the same text on the same machine; draws happen in float64 on the CPU, whatever the model runs on.
    """
    config = config or SampleConfig()
    stages, generator = build_stages(config), torch.Generator().manual_seed((config.seed + sample) % SEEDS)
    decoder, stream, tally = Decoder(model), TextStream(config.stop), _Tally()
    token: int | None = None
    while True:
        with torch.inference_mode():
            if token is None:
                logits_V = decoder.prefill(tokenizer.encode(prompt) or [tokenizer.end_of_text])
            else:
                logits_V = decoder.step(token)
            dist = distribution(logits_V, stages, decoder.ids)
            token = dist.draw(generator)
            record = step_record(
                dist, tokenizer.token_bytes, position=len(decoder.ids), top=config.top, token=token, sample=sample
            )
        tally.add(record)
        ended = token == tokenizer.end_of_text and not config.ignore_end_of_text
        data = stream.flush() if ended else stream.feed(tokenizer.token_bytes(token))
        tally.data.append(data)
        yield Piece(data, record, decoder.start)
        stopped_by = _stopped_by(ended, stream.stopped, tally.tokens >= config.max_tokens)
        if stopped_by:
            break
    rest = stream.flush()
    tally.data.append(rest)
    yield Piece(rest, tally.end(prompt, sample, (config.seed + sample) % SEEDS, stopped_by), decoder.start)


def _stopped_by(ended: bool, stopped: bool, full: bool) -> str:
    return "end-of-text" if ended else "stop" if stopped else "max-tokens" if full else ""


@dataclass
class _Tally:
    """Sums over the steps of one sample."""

    tokens: int = 0
    surprisal_bits: float = 0.0
    top_tokens: int = 0
    data: list[bytes] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, record: StepRecord) -> None:
        token = record.chosen
        assert token is not None
        assert record.surprisal_bits is not None
        self.tokens += 1
        self.surprisal_bits += record.surprisal_bits
        self.top_tokens += token.rank == 1

    def end(self, prompt: str, sample: int, seed: int, stopped_by: str) -> SampleEnd:
        seconds = time.perf_counter() - self.started
        return SampleEnd(
            sample=sample,
            prompt=prompt,
            text=prompt + b"".join(self.data).decode("utf-8", "replace"),
            tokens=self.tokens,
            seconds=seconds,
            tokens_per_second=self.tokens / seconds,
            bits_per_token=self.surprisal_bits / self.tokens,
            top_token_share=self.top_tokens / self.tokens,
            stopped_by=stopped_by,
            seed=seed,
        )
