"""`minigpt evaluate`: texts in; what each of them, and all together, cost a model out."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, note, stderr, stdout
from minigpt.cli.options import Checkpoint, Device, Dtype, Quantize, Quiet, Threads, choice, csv_flag, json_flag
from minigpt.cli.untrained import tell_untrained
from minigpt.errors import CorpusError
from minigpt.render.machine import to_json, write_rows
from minigpt.render.screen import Screen
from minigpt.render.style import quantity
from minigpt.render.tables import file_score_caption, score_table
from minigpt.render.work import WorkDisplay
from minigpt.sampling.records import FileScore
from minigpt.settings import PRECISIONS, require
from minigpt.text.wording import shown

if TYPE_CHECKING:
    import torch

    from minigpt.checkpoint.folder import Checkpoint as Loaded
    from minigpt.text.corpus import Corpus


@guarded
def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, directories, globs, URLs, - for standard input; .jsonl, .parquet and compressed ones as for "
            "train.",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = None,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Tokens by which the window moves on. By default half the context, as in sampling; the whole context "
            "measures as the validation of a training does. Without it, a model that carries a state has no window.",
            show_default=False,
        ),
    ] = None,
    rolling: Annotated[
        bool,
        typer.Option("--rolling", help="As lm-evaluation-harness: first tokens count too, scored after end-of-text."),
    ] = False,
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    field: Annotated[str, typer.Option(help="What holds the text in .jsonl and .parquet.")] = "text",
    config: Config = None,
    json: Annotated[bool, json_flag("a line a file, then one of the total")] = False,
    csv: Annotated[bool, csv_flag("A row a file, and one of the total of several")] = False,
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = "none",
    threads: Threads = None,
    precision: Annotated[str, choice(PRECISIONS, "{values}; bfloat16 where speed matters more.")] = "float32",
    quiet: Quiet = False,
) -> None:
    """Measure a model on whole texts: nats per token, bits per byte, perplexity.

    [bold]minigpt evaluate notes.txt[/bold]
        the newest run on one text
    [bold]minigpt evaluate texts/ -c checkpoints/demo[/bold]
        a model on each text of a folder
    """
    require(not (json and csv), "--json and --csv exclude each other.")
    require(not rolling or stride is None, "--rolling has windows of its own: leave out --stride.")
    from minigpt.app.opening import about, open_checkpoint
    from minigpt.models.device import autocast, resolve_precision
    from minigpt.sampling.score import checked_stride, total_score
    from minigpt.text.corpus import read_corpus

    loaded = open_checkpoint(checkpoint, device, threads, dtype, quantize)
    tell_untrained(loaded.path, quiet=quiet)
    if stride is not None or loaded.model.config.limit is not None:
        stride = checked_stride(stride, loaded.model.config.context)
    precision = resolve_precision(precision, loaded.model.device, loaded.model.config.width)
    console, scores = stderr(), []
    console.quiet = quiet
    out = sys.stdout  # as it is now: while there is a bar, what is printed goes to the bar's terminal
    with WorkDisplay(console) as work:
        told = work.begin("reading", None)
        corpus = read_corpus(files, encoding=encoding, field=field, progress=told, to_learn=False)
        if corpus.skipped:
            skipped = f"{quantity(len(corpus.skipped), 'file')}, such as {corpus.skipped[0]}"
            note(f"skipped what is not text: {skipped}.", quiet=quiet)
        context = partial(autocast, loaded.model.device, precision)
        for score in _scores(
            loaded, corpus, stride, rolling, context, work.begin("scoring", corpus.utf8_bytes, "bytes")
        ):
            scores.append(score)
            if json:
                print(to_json(score), file=out, flush=True)
    total = total_score(scores)
    if not total.tokens:
        raise CorpusError(
            "There is nothing to score: the first token of a document has no context, and there is no other.\n"
            "Give a text of two tokens or more."
        )
    if json:
        print(to_json(total, **about(loaded)))
    elif csv:
        write_rows(FileScore, _rows(scores, total), sys.stdout)
    else:
        _print_table(scores, total)


def _scores(
    loaded: "Loaded",
    corpus: "Corpus",
    stride: int | None,
    rolling: bool,
    autocast: "Callable[[], torch.autocast]",
    progress: "Callable[[int], None]",
) -> "Iterator[FileScore]":
    """One for each file."""
    import numpy as np

    from minigpt.sampling.score import Part, score

    tokenizer = loaded.tokenizer
    byte_lengths = tokenizer.byte_lengths()
    for source, blocks in corpus.by_source():
        parts = (Part(np.array(tokenizer.encode(text), np.int64), begins) for text, begins in blocks)
        try:
            yield score(
                loaded.model,
                parts,
                byte_lengths,
                name=source.name,
                stride=stride,
                prefix_token=tokenizer.end_of_text if rolling else None,
                autocast=autocast,
                progress=progress,
            )
        except CorpusError as error:
            raise CorpusError(f"{shown(source.name)}: {error.message}") from error


def _print_table(scores: "Sequence[FileScore]", total: "FileScore") -> None:
    console = stdout()
    screen = Screen.of(console)
    for line in score_table(_rows(scores, total), screen):
        console.print(line, soft_wrap=True)
    console.print(file_score_caption(total, screen), soft_wrap=True)


def _rows(scores: "Sequence[FileScore]", total: "FileScore") -> "Sequence[FileScore]":
    return [*scores, total] if len(scores) > 1 else scores
