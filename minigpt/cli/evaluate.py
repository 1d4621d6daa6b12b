"""`minigpt evaluate`: measures a model on whole texts, one row per file."""

import sys
from typing import Annotated

import typer

from minigpt.cli.console import note, print_lines, stderr
from minigpt.cli.flags import Checkpoint, command, csv_flag, json_flag
from minigpt.cli.remarks import note_checkpoint, note_skipped
from minigpt.errors import named
from minigpt.render.machine import to_json, write_rows
from minigpt.render.progress import WorkDisplay
from minigpt.render.scores import file_score_caption, score_table
from minigpt.sampling.records import FileScore
from minigpt.settings import Machine, TextFormat, Weights, Windows, require


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
    """
    require(not (json and csv), f"{named('json')} and {named('csv')} exclude each other.")
    from minigpt.app.evaluate_run import Evaluation, Remark, Skipped

    evaluation = Evaluation.open(checkpoint, windows, weights, machine)
    note_checkpoint(evaluation.checkpoint)
    scores = list[FileScore]()
    out = sys.stdout  # the current stream: while a bar is shown, output is redirected to its terminal
    with WorkDisplay(stderr()) as work:
        for event in evaluation.run(files, text, work.begin):
            if isinstance(event, Remark):
                note(event.sentence)
                continue
            if isinstance(event, Skipped):
                note_skipped(event.names)
                continue
            scores.append(event)
            if json and event.file is not None:
                print(to_json(event), file=out, flush=True)
    if lost := evaluation.losses.note:
        note(lost)
    *each, total = scores
    rows = scores if len(each) > 1 else each
    if json:
        print(to_json(total, **evaluation.about()))
    elif csv:
        write_rows(FileScore, rows, sys.stdout)
    else:
        print_lines(lambda screen: [*score_table(rows, screen), file_score_caption(total, screen)])
