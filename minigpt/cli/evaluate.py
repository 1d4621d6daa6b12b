"""`minigpt evaluate`: measures a model on whole texts or on pairs, one row per file."""

import sys
from functools import partial
from typing import Annotated, cast

import typer

from minigpt.cli.console import note, print_lines, stderr
from minigpt.cli.flags import Checkpoint, command, csv_flag, json_flag
from minigpt.cli.remarks import note_checkpoint
from minigpt.errors import named
from minigpt.render.machine import to_json, write_rows
from minigpt.render.progress import WorkDisplay
from minigpt.render.scores import file_score_caption, pair_score_lines, score_table
from minigpt.sampling.records import FileScore, PairScore
from minigpt.settings import Machine, TextFormat, Weights, Windows


@command
def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, directories, globs, URLs, - for standard input; .jsonl, .json, .parquet and compressed ones "
            "as for train.",
            show_default=False,
        ),
    ],
    *,
    checkpoint: Checkpoint = None,
    windows: Windows,
    text: TextFormat,
    weights: Weights,
    machine: Machine,
    json: Annotated[bool, json_flag("a line a file, then one of the total")] = False,
    csv: Annotated[bool, csv_flag("A row a file, and one of the total of several")] = False,
) -> None:
    """
    [bold]minigpt evaluate notes.txt[/bold]
        the newest run on one text
    [bold]minigpt evaluate texts/ -c checkpoints/demo[/bold]
        a model on each text of a folder
    [bold]minigpt evaluate pairs.tsv -c checkpoints/translations[/bold]
        a model of pairs: its loss, and what it writes
    """
    from minigpt.app.evaluate_run import Evaluation

    evaluation = Evaluation.open(checkpoint, windows, weights, machine)
    note_checkpoint(evaluation.checkpoint)
    scores = list[FileScore | PairScore]()
    out = sys.stdout  # the current stream: while a bar is shown, output is redirected to its terminal
    with WorkDisplay(stderr()) as work:
        for event in evaluation.run(files, text, work.begin):
            if isinstance(event, str):
                note(event)
                continue
            scores.append(event)
            if json and event.file is not None:
                print(to_json(event), file=out, flush=True)
    note(evaluation.losses.note)
    if json:
        print(to_json(scores[-1], **evaluation.checkpoint.about()))
        return
    rows, total = scores if len(scores) > 2 else scores[:-1], scores[-1]  # of a single file, the total says the same
    if csv:
        write_rows(type(total), rows, sys.stdout, without=("labels",))
        if isinstance(total, PairScore) and total.labels is not None:
            note(f"{named('csv')} has no table of confusions; {named('json')} has it.")
    elif isinstance(total, PairScore):
        print_lines(partial(pair_score_lines, cast("list[PairScore]", rows), total))
    else:
        texts = cast("list[FileScore]", rows)
        print_lines(lambda screen: [*score_table(texts, screen), file_score_caption(total, screen)])
