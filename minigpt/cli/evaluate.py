"""`minigpt evaluate`: measures a model on whole texts or on pairs, one row per file."""

import sys
from typing import Annotated

import typer

from minigpt.cli.console import note, print_lines, stderr
from minigpt.cli.flags import Checkpoint, command, csv_flag, json_flag
from minigpt.cli.remarks import note_checkpoint
from minigpt.errors import named
from minigpt.render.machine import to_json, write_rows
from minigpt.render.pair_scores import pair_score_lines
from minigpt.render.progress import WorkDisplay
from minigpt.render.scores import file_score_caption, score_table
from minigpt.sampling.records import FileScore, PairScore
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
    [bold]minigpt evaluate pairs.tsv -c checkpoints/translations[/bold]
        a model of pairs: its loss, and what it writes
    """
    require(not (json and csv), f"{named('json')} and {named('csv')} exclude each other.")
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
    if lost := evaluation.losses.note:
        note(lost)
    if json:
        print(to_json(scores[-1], **evaluation.about()))
        return
    if isinstance(scores[-1], PairScore):
        _show_pairs([score for score in scores if isinstance(score, PairScore)], csv=csv)
    else:
        _show_texts([score for score in scores if isinstance(score, FileScore)], csv=csv)


def _show_texts(scores: list[FileScore], *, csv: bool) -> None:
    """Print the scores of files, and of several the total, which comes last, as a table or CSV."""
    rows = scores if len(scores) > 2 else scores[:-1]
    if csv:
        write_rows(FileScore, rows, sys.stdout)
    else:
        print_lines(lambda screen: [*score_table(rows, screen), file_score_caption(scores[-1], screen)])


def _show_pairs(scores: list[PairScore], *, csv: bool) -> None:
    """Like `_show_texts`. CSV leaves out the table of confusions, and says so."""
    rows = scores if len(scores) > 2 else scores[:-1]
    if not csv:
        print_lines(lambda screen: pair_score_lines(rows, scores[-1], screen))
        return
    write_rows(PairScore, rows, sys.stdout, without=("labels",))
    if scores[-1].labels is not None:
        note(f"{named('csv')} has no table of confusions; {named('json')} has it.")
