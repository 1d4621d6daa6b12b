"""`minigpt sample --beam`: the most probable targets of a source."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from minigpt.cli.console import note, print_lines
from minigpt.cli.remarks import note_checkpoint
from minigpt.render.machine import to_json
from minigpt.render.pair_scores import beam_table
from minigpt.settings import Drawing, Machine, SampleShown, SampleSource


def beam(
    source: SampleSource, drawing: Drawing, shown: SampleShown, machine: Machine, given: Mapping[str, Any]
) -> None:
    """Print the targets, best first: a table, one line of JSON, or the best one as it is."""
    from minigpt.app.sample_run import BeamRun

    run = BeamRun.search(source, drawing, machine, given)
    note_checkpoint(run.checkpoint)
    note(*run.prompt_notes)
    if shown.json:
        print(to_json({"targets": run.targets}, **run.checkpoint.about(prompt=run.text, beam=run.width)))
    elif shown.raw:
        sys.stdout.buffer.write(run.targets[0].text.encode())
        sys.stdout.buffer.flush()
    else:
        print_lines(partial(beam_table, run.targets, run.text))
