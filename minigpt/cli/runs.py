"""`minigpt runs`: lists the runs in a folder."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from minigpt.checkpoint.records import RunSummary
from minigpt.checkpoint.runs import RUNS
from minigpt.cli.console import note, print_lines
from minigpt.cli.flags import command, csv_flag, json_flag
from minigpt.render.machine import to_json, write_rows
from minigpt.render.runs import runs_table


@command
def runs(
    folder: Annotated[Path, typer.Option("--dir", help="The folder of runs.")] = RUNS,
    json: Annotated[bool, json_flag("a line a run")] = False,
    csv: Annotated[bool, csv_flag("A row a run")] = False,
) -> None:
    """
    [bold]minigpt runs[/bold]
        those in ./checkpoints
    [bold]minigpt runs --dir elsewhere --json[/bold]
        another folder, for another program
    """
    from minigpt.checkpoint.listing import list_runs

    found = list_runs(folder)
    if json:
        for run in found:
            print(to_json(run))
    elif csv:
        write_rows(RunSummary, found, sys.stdout)
    elif not found:
        note(f"no model is in {folder} yet. Train one with: minigpt train YOUR-TEXT.txt")
    else:
        print_lines(lambda screen: runs_table(found, str(folder), screen))
        if folder.resolve() != RUNS.resolve():
            note(f"a command finds one of these by its path: -c {shlex.quote(found[0].path)}")
