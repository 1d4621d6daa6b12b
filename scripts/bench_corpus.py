"""Measures how long --corpus takes on texts of several sizes, and its memory. Started by scripts/bench.

The texts are those of bench tokenize. For each, one process reads and tokenizes it, once, and keeps the ids; another
opens them as any later --corpus of the same text does, which reads the text again to see that it is the same, and then
asks: what followed the end of a prompt, and which spans of a sample stand there verbatim. Prompts and samples are made
of pieces of the text, from all over it, so that there is much to be found. Seconds are those of a core, since what
else the machine does is none of ours; only tokenizing, which takes all cores, is timed by the clock.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench_tokenize import Clock, growth, measure_sizes, parser_of_sizes, peak_megabytes, write_text

EXPECTED_SECONDS = 1.0  # of a question
PROMPT_TOKENS, SAMPLE_TOKENS, PIECE_TOKENS = 20, (200, 1000), 25
SPAN_TOKENS = 8


def main() -> int:
    about = "What --corpus takes on texts of several sizes: time and peak memory."
    parser = parser_of_sizes("corpus", about, MEASURES)
    parser.add_argument("--questions", type=int, default=15, help="of each kind (default: 15)")
    return measure_sizes("corpus", parser.parse_args(), MEASURES, result_of, print_table)


def result_of(arguments: argparse.Namespace, megabytes: int) -> dict[str, Any]:
    with TemporaryDirectory(dir=arguments.folder) as folder:
        text = Path(folder, "text.txt")
        write_text(text, megabytes * 1_000_000)
        tokenized = in_a_process(arguments, text, "tokenize")
        asked = in_a_process(arguments, text, "ask")
    print(f"{megabytes:,} MB: {asked['prompt_seconds']:.2f} s a prompt", file=sys.stderr, flush=True)
    return {"megabytes": megabytes, **tokenized, **asked, "expected_seconds": EXPECTED_SECONDS}


def in_a_process(arguments: argparse.Namespace, text: Path, name: str) -> dict[str, Any]:
    """Measured alone, with a cache of its own."""
    flags = ["--measure", name, "--text", str(text), "--vocab-size", str(arguments.vocab_size)]
    command = [sys.executable, __file__, *flags, "--questions", str(arguments.questions)]
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(text.with_name("cache"))}
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=surroundings).stdout))


def measure_tokenizing(arguments: argparse.Namespace) -> dict[str, Any]:
    from minigpt.text.corpus import Split, read_corpus
    from minigpt.text.learning import train_tokenizer
    from minigpt.text.shards import cached_tokens

    split = Split(read_corpus([str(arguments.text)]))
    tokenizer = train_tokenizer("bpe", (block.text for block in split.sample(2_000_000)), arguments.vocab_size)
    arguments.text.with_name("tokenizer.json").write_text(tokenizer.to_json(), "utf-8")
    clock = Clock()
    data = cached_tokens(tokenizer, split)
    return {"tokenizing_seconds": clock.lap(), "tokens": len(data.train)}


def measure_asking(arguments: argparse.Namespace) -> dict[str, Any]:
    from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
    from minigpt.text.corpus import Split, read_corpus
    from minigpt.text.occurrences import followers, verbatim_spans
    from minigpt.text.shards import cached_tokens

    tokenizer = tokenizer_from_file(arguments.text.with_name("tokenizer.json"))
    start_megabytes, started = peak_megabytes(), time.process_time()
    corpus = cached_tokens(tokenizer, Split(read_corpus([str(arguments.text)]))).train
    opening = time.process_time() - started
    source, questions = random.Random(1), range(arguments.questions)

    def text(tokens: int) -> list[int]:
        starts = [source.randrange(len(corpus) - PIECE_TOKENS) for _ in range(0, tokens, PIECE_TOKENS)]
        return [token for start in starts for token in corpus[start : start + PIECE_TOKENS].tolist()][:tokens]

    def seconds(ask: Callable[[Sequence[int]], object], tokens: int) -> float:
        return statistics.median(timed(ask, text(tokens)) for _ in questions)

    def spans(ids: Sequence[int]) -> object:
        return verbatim_spans(corpus, ids, SPAN_TOKENS, tokenizer.end_of_text)

    return {
        "opening_seconds": opening,
        "prompt_seconds": seconds(lambda ids: followers(corpus, ids), PROMPT_TOKENS),
        "sample_seconds": {str(tokens): seconds(spans, tokens) for tokens in SAMPLE_TOKENS},
        "start_megabytes": start_megabytes,
        "peak_megabytes": peak_megabytes(),
    }


def timed(ask: Callable[[Sequence[int]], object], ids: Sequence[int]) -> float:
    started = time.process_time()
    assert ask(ids)
    return time.process_time() - started


MEASURES = {"tokenize": measure_tokenizing, "ask": measure_asking}


def print_table(arguments: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title="corpus", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    samples = [f"{tokens:,} tokens" for tokens in SAMPLE_TOKENS]
    for header in ("text", "tokens", "tokenizing", "opening", "prompt", *samples, "peak memory"):
        table.add_column(header, justify="right")
    for result in results:
        seconds = [result["opening_seconds"], result["prompt_seconds"], *result["sample_seconds"].values()]
        table.add_row(
            f"{result['megabytes']:,} MB",
            f"{result['tokens'] / 1e6:.1f} M",
            f"{result['tokenizing_seconds']:,.0f} s",
            *(f"{each:.2f} s" for each in seconds),
            f"{result['peak_megabytes']:,.0f} MB",
        )
    console = Console(highlight=False)
    console.print(table)
    if len(results) > 1:
        console.print(growth(results))
    console.print(
        f"Expected: <= {EXPECTED_SECONDS:g} s of a core. Medians of {arguments.questions} questions. Vocabulary "
        f"{arguments.vocab_size:,}. Prompts of {PROMPT_TOKENS} tokens, spans of {SPAN_TOKENS} or more. Before a "
        f"question: {results[-1]['start_megabytes']:,.0f} MB."
    )


if __name__ == "__main__":
    sys.exit(main())
