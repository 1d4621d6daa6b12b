"""Tokens per second with --lookahead and without, on given texts, in turns. Started by scripts/bench lookahead.

A model of random weights does the work of every pass; then its logits are replaced by those of one that is sure of the
given text. So real texts are drawn, with their own repetitions, at the speed of a model of any size.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_speed import DECODE_SHAPES, random_model, take_turns

from minigpt.models.native import NativeCache, NativeGPT
from minigpt.models.threads import use_threads
from minigpt.sampling.engine import generate
from minigpt.sampling.lookahead import Lookahead
from minigpt.sampling.records import GuessedEnd
from minigpt.settings import ModelConfig, SampleConfig
from minigpt.text.corpus import python_reference
from minigpt.text.learning import train_tokenizer
from minigpt.text.occurrences import LastPlaces
from minigpt.text.tokenizer import Encoded, Tokenizer

VOCABULARY = 4096  # of the texts' tokens, whatever the model's is
CONTEXT = 1024
PROMPT = 300  # tokens of the text
PASSAGE = 120  # tokens
COUNTS = 1, 2, 3, 4, 6, 8, 12, 16  # of tokens in a pass
SKIPPED = 2000  # tokens at the beginning, such as a licence


@dataclass(frozen=True, kw_only=True)
class Row:
    """Medians, and how many of the guesses held."""

    text: str
    shape: str
    lookahead: int
    tokens: int
    tokens_per_second: float
    tokens_per_second_without: float
    ratio: float
    guesses: int
    guesses_held: int


class Sure(NativeGPT):
    """A model as slow as its shape, and sure of what follows in `text`."""

    text: Sequence[int]

    def read(self, ids: Sequence[Sequence[int]] | np.ndarray, cache: NativeCache, *, every: bool = False) -> np.ndarray:
        first = cache.length
        logits = super().read(ids, cache, every=every)
        rows = logits.reshape(-1, logits.shape[-1])
        for row, position in zip(rows, range(first, cache.length) if every else [cache.length - 1], strict=True):
            row[self.text[position + 1]] = 1e3
        return logits


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench lookahead", description=__doc__)
    shapes = list(DECODE_SHAPES)
    parser.add_argument("--shape", nargs="+", choices=shapes, default=shapes[-1:], help="(default: the largest)")
    parser.add_argument("--lookahead", type=int, default=15, help="guesses in a pass, at most (default: 15)")
    parser.add_argument("--tokens", type=int, default=300, help="drawn in a turn (default: 300)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--threads", type=int, help="(default: all)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--quantize", default="none", choices=["none", "int8"])
    parser.add_argument("--text", type=Path, help="one more text, such as the minutes of meetings")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    asked = parser.parse_args()
    if asked.threads is not None:
        use_threads(asked.threads)
    texts = {"source code": Path(argparse.__file__).read_text("utf-8"), "reference": "".join(python_reference()[1])}
    if asked.text is not None:
        texts[asked.text.name] = asked.text.read_text("utf-8")
    tokenizer = train_tokenizer("bpe", list(texts.values()), VOCABULARY)
    ids = {name: tokenizer.encode(text)[SKIPPED:] for name, text in texts.items()}
    ids["a passage again and again"] = ids["source code"][:PASSAGE] * (CONTEXT // PASSAGE)
    ids["random"] = np.random.default_rng(1).integers(tokenizer.vocab_size, size=2 * CONTEXT).tolist()
    rows = []
    for row in measure(asked, tokenizer, ids):
        rows.append(row)
        if not asked.json:
            print(
                f"{row.shape}, {row.text}: {row.tokens_per_second:,.1f} tokens/s with --lookahead {row.lookahead}, "
                f"{row.tokens_per_second_without:,.1f} without: {row.ratio:.2f} times; "
                f"{row.guesses_held:,} of {row.guesses:,} guesses held",
                flush=True,
            )
    if asked.json:
        print(json.dumps({"bench": "lookahead", "results": [asdict(row) for row in rows]}))
    return 0


def measure(asked: argparse.Namespace, tokenizer: Tokenizer, texts: dict[str, list[int]]) -> Iterator[Row]:
    """A row for each text and shape."""
    for shape in asked.shape:
        heads, vocab_size, _ = DECODE_SHAPES[shape]
        layers, width = map(int, shape.split("x"))
        vocab_size = max(vocab_size, tokenizer.vocab_size)
        config = ModelConfig(vocab_size=vocab_size, context=CONTEXT, layers=layers, heads=heads, width=width)
        weights = {name: tensor.numpy() for name, tensor in random_model(config).state_dict().items()}
        model = Sure(config, weights, dtype=asked.dtype, quantize=asked.quantize)
        tell_what_passes_take(shape, model, texts["source code"], asked.rounds)
        for name, ids in texts.items():
            model.text = ids
            yield compared(name, shape, model, Reading(tokenizer, ids[:PROMPT]), asked)
        model.text = texts["source code"]
        corpus = LastPlaces(np.array(model.text), tokenizer.vocab_size)
        yield compared("source code, in --corpus", shape, model, Reading(tokenizer, model.text[:PROMPT]), asked, corpus)


def tell_what_passes_take(shape: str, model: Sure, ids: list[int], rounds: int) -> None:
    """On standard error, beside a pass over a single token: what one token more costs is in sampling/lookahead.py."""
    model.text, cache = ids, model.new_cache()
    model.read([ids[:PROMPT]], cache)

    def read(count: int) -> None:
        cache.length = PROMPT
        model.read([ids[PROMPT : PROMPT + count]], cache, every=count > 1)

    works = [partial(read, count) for count in COUNTS]
    take_turns(works, 1)
    one, *more = (median(seconds) for seconds in zip(*take_turns(works, 3 * rounds), strict=True))
    told = ", ".join(f"{count} in {seconds / one:.2f}" for count, seconds in zip(COUNTS[1:], more, strict=True))
    print(f"{shape}: a token is read in {1000 * one:.2f} ms; {told} times as long", file=sys.stderr, flush=True)


class Reading:
    """A tokenizer that reads any prompt as these ids, and knows no end."""

    def __init__(self, tokenizer: Tokenizer, ids: list[int]) -> None:
        self._prompt, self.token_bytes = Encoded(ids, []), tokenizer.token_bytes
        self.stops: frozenset[int] = frozenset()

    def encode_prompt(self, text: str) -> Encoded:
        return self._prompt


def compared(
    name: str, shape: str, model: Sure, tokenizer: Any, asked: argparse.Namespace, corpus: LastPlaces | None = None
) -> Row:
    """Both ways take turns, after a turn that is not counted."""
    config = SampleConfig(temperature=1.0, top_p=1.0, max_tokens=min(asked.tokens, CONTEXT - PROMPT), top=10)
    ends: list[GuessedEnd] = []

    def draw(lookahead: Lookahead | None) -> None:
        *pieces, last = generate(model, tokenizer, "", config, lookahead=lookahead)
        drawn = [piece.record.token.id for piece in pieces]
        assert drawn == model.text[PROMPT : PROMPT + config.max_tokens], "the text itself"
        if isinstance(last.record, GuessedEnd):
            ends.append(last.record)

    works = partial(draw, Lookahead(asked.lookahead, corpus)), partial(draw, None)
    take_turns(works, 1)
    with_it, without = (median(seconds) for seconds in zip(*take_turns(works, asked.rounds), strict=True))
    return Row(
        text=name,
        shape=shape,
        lookahead=asked.lookahead,
        tokens=config.max_tokens,
        tokens_per_second=config.max_tokens / with_it,
        tokens_per_second_without=config.max_tokens / without,
        ratio=without / with_it,
        guesses=ends[-1].guesses,
        guesses_held=ends[-1].guesses_held,
    )


if __name__ == "__main__":
    sys.exit(main())
