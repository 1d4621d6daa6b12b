"""Measures speed and memory of tokenizing, beside the tokenizers library. Started by scripts/bench.

The texts are the lines of Python's own reference, shuffled anew again and again. For each, one process does what
`minigpt train` does with a text: reads and hashes it, learns a tokenizer, writes the ids in shards, and then draws
batches from them, as a training would; its memory is measured. In another the library is given the same text, held in
memory, in the same pieces, so many at a time, and its ids are thrown away: the two take turns, a megabyte each, so that
what else the machine does falls on both.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Result = dict[str, Any]
Measure = Callable[[argparse.Namespace], Result]
ResultOf = Callable[[argparse.Namespace, int], Result]
Print = Callable[[argparse.Namespace, list[Result]], None]

EXPECTED_RATIO = 0.8  # of the bare library's speed
EXPECTED_GROWTH = 1.1  # of the largest text's peak memory over the smallest's
LARGEST_HELD = 100_000_000  # bytes that the bare library is given
DRAWN_BATCHES = 2000


def main() -> int:
    parser = parser_of_sizes("tokenize", "Tokenizing texts of several sizes: speed and peak memory.", MEASURES)
    return measure_sizes("tokenize", parser.parse_args(), MEASURES, result_of, print_table)


def measure_sizes(
    bench: str, arguments: argparse.Namespace, measures: Mapping[str, Measure], result_of: ResultOf, print_table: Print
) -> int:
    """Measure every size of text; in a process that was started for it, print one measure of one text."""
    if arguments.measure:
        print(json.dumps(measures[arguments.measure](arguments)))
        return 0
    results = [result_of(arguments, megabytes) for megabytes in sorted(arguments.megabytes)]
    if arguments.json:
        print(json.dumps({"bench": bench, "vocab_size": arguments.vocab_size, "results": results}, indent=2))
    else:
        print_table(arguments, results)
    return 0


def parser_of_sizes(bench: str, description: str, measures: Iterable[str]) -> argparse.ArgumentParser:
    """The flags of a benchmark of texts of several sizes."""
    parser = argparse.ArgumentParser(prog=f"scripts/bench {bench}", description=description)
    parser.add_argument(
        "--megabytes", type=int, nargs="+", default=[10, 100], help="sizes of text (default: 10 100; try 10 2000)"
    )
    parser.add_argument("--vocab-size", type=int, default=4096, help="of the bpe tokenizer (default: 4,096)")
    parser.add_argument("--folder", type=Path, help="where texts and ids go meanwhile (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    parser.add_argument("--measure", choices=sorted(measures), help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    return parser


def result_of(arguments: argparse.Namespace, megabytes: int) -> dict[str, Any]:
    with TemporaryDirectory(dir=arguments.folder) as folder:
        whole, held = Path(folder, "text.txt"), Path(folder, "held.txt")
        write_text(whole, megabytes * 1_000_000)
        write_text(held, min(megabytes * 1_000_000, LARGEST_HELD))
        memory = in_a_process(arguments, whole, "memory")
        speed = in_a_process(arguments, held, "speed")
    print(f"{megabytes:,} MB: {speed['ratio']:.2f} times the bare library", file=sys.stderr, flush=True)
    return {"megabytes": megabytes, **memory, **speed, "expected_ratio": EXPECTED_RATIO}


def write_text(path: Path, size: int) -> None:
    from minigpt.text.corpus import python_reference

    _, documents = python_reference()
    lines = [line for document in documents for line in document.splitlines(keepends=True)]
    shuffle, written = random.Random(1).shuffle, 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        while written < size:
            shuffle(lines)
            written += file.write("".join(lines)[: size - written])


def in_a_process(arguments: argparse.Namespace, text: Path, name: str) -> dict[str, Any]:
    """Measured alone: this process stays small, since a child's peak begins with its parent's size."""
    flags = ["--measure", name, "--text", str(text), "--vocab-size", str(arguments.vocab_size)]
    done = subprocess.run([sys.executable, __file__, *flags], check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def peak_megabytes() -> float:
    """The most memory that this process had, pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def measure_memory(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from minigpt.text.corpus import Split, read_corpus
    from minigpt.text.learning import train_tokenizer
    from minigpt.text.shards import tokenize
    from minigpt.training.step import random_batch

    start_megabytes, clock = peak_megabytes(), Clock()
    split = Split(read_corpus([str(arguments.text)]), fraction=0.1)
    reading = clock.lap()
    tokenizer = train_tokenizer(
        "bpe", (block.text for block in split.sample(split.sampled_characters)), arguments.vocab_size
    )
    learning = clock.lap()
    data = tokenize(tokenizer, split, arguments.text.with_name("ids"))
    tokenizing = clock.lap()
    generator = torch.Generator().manual_seed(1)
    for _ in range(DRAWN_BATCHES):
        random_batch(data.train, 16, 128, generator)
    arguments.text.with_name("tokenizer.json").write_text(tokenizer.to_json(), "utf-8")
    return {
        "reading_seconds": reading,
        "learning_seconds": learning,
        "tokenizing_seconds": tokenizing,
        "drawing_seconds": clock.lap(),
        "tokens": len(data.train) + len(data.validation),
        "start_megabytes": start_megabytes,
        "peak_megabytes": peak_megabytes(),
    }


def measure_speed(arguments: argparse.Namespace) -> dict[str, Any]:
    from tokenizers import Tokenizer as Library

    from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
    from minigpt.text.blocks import pieces
    from minigpt.text.corpus import Split, read_corpus
    from minigpt.text.shards import tokenize

    path = arguments.text.with_name("tokenizer.json")
    library, tokenizer = Library.from_file(str(path)), tokenizer_from_file(path)
    held = pieces(arguments.text.read_text("utf-8"))
    turn = library_turns(library, held)
    clock = Clock()
    split = Split(read_corpus([str(arguments.text)]), fraction=0.1)
    tokenize(tokenizer, split, arguments.text.with_name("held-ids"), turn.send)
    seconds = clock.lap()
    turn.send(split.characters)  # what is left
    library_seconds, after = turn.send(0), clock.lap()
    ours_seconds = seconds - (library_seconds - after)
    megabytes = split.corpus.utf8_bytes / 1e6
    return {
        "held_megabytes": megabytes,
        "ours_mb_per_second": megabytes / ours_seconds,
        "library_mb_per_second": megabytes / library_seconds,
        "ratio": library_seconds / ours_seconds,
    }


def library_turns(library: Any, documents: list[str]) -> Any:
    """Told how many characters ours has done; lets the library do as many, and tells its seconds so far."""
    turns = _library_turns(library, documents)
    next(turns)
    return turns


def _library_turns(library: Any, documents: list[str]) -> Generator[float, int, None]:
    waiting, seconds = 0, 0.0
    left = iter(documents)
    while True:
        waiting += yield seconds
        batch = []
        while waiting > 0 and (document := next(left, None)) is not None:
            batch.append(document)
            waiting -= len(document)
            if len(batch) == 64 or waiting <= 0:
                started = time.perf_counter()
                library.encode_batch_fast(batch, add_special_tokens=False)
                seconds += time.perf_counter() - started
                batch = []


class Clock:
    def __init__(self) -> None:
        self._now = time.perf_counter()

    def lap(self) -> float:
        before, self._now = self._now, time.perf_counter()
        return self._now - before


MEASURES = {"memory": measure_memory, "speed": measure_speed}


def growth(results: list[Result]) -> str:
    """A sentence about how memory grew with the text."""
    smallest, largest = results[0]["peak_megabytes"], results[-1]["peak_megabytes"]
    return (
        f"Peak memory of the largest text over the smallest's: {largest / smallest:.2f}x, "
        f"expected <= {EXPECTED_GROWTH:g}x."
    )


def print_table(arguments: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title="tokenize", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for header in ("text", "", "MB/s", "ratio", "expected", "at the start", "peak memory"):
        table.add_column(header, justify="left" if header == "" else "right")
    for result in results:
        ratio = (f"{result['ratio']:.2f}x", f">= {EXPECTED_RATIO:g}x")
        memory = [f"{result[name]:,.0f} MB" for name in ("start_megabytes", "peak_megabytes")]
        table.add_row(f"{result['megabytes']:,} MB", "ours", f"{result['ours_mb_per_second']:.2f}", *ratio, *memory)
        table.add_row("", "library", f"{result['library_mb_per_second']:.2f}")
    console = Console(highlight=False)
    console.print(table)
    if len(results) > 1:
        console.print(growth(results))
    console.print(
        f"Vocabulary {arguments.vocab_size:,}. Ours: reading, hashing, tokenizing, writing. The library: "
        f"encode_batch_fast on the same, at most {LARGEST_HELD / 1e6:.0f} MB of it, held in memory."
    )


if __name__ == "__main__":
    sys.exit(main())
