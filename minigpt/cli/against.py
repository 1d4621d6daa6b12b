"""`inspect-probs --against`: two checkpoints and a text in; what both expect, or what it costs both, out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.cli.guard import stdout
from minigpt.render.against import compared_next_table, compared_text_caption, compared_text_table
from minigpt.render.machine import to_json, write_steps
from minigpt.render.screen import Screen
from minigpt.render.style import safe_text

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


def show_against(one: "Checkpoint", other: Path, text: str, top: int, *, every: bool, json: bool) -> None:
    """What may come after `text`, or with `every` each stretch of it."""
    from minigpt.checkpoint.folder import load
    from minigpt.inspection.against import ComparedTally, compare_next, compare_text

    second = load(other, one.model.device)
    names, console = _names(one.path, second.path), stdout()
    screen = Screen.of(console)
    if not every:
        record = compare_next(one, second, text, top=top)
        if json:
            print(to_json(record))
        else:
            console.print(compared_next_table(record, text, names, screen), soft_wrap=True)
        return
    tally = ComparedTally()
    spans = tally.watch(compare_text(one, second, text))
    if json:
        write_steps(spans, lambda: {"totals": tally.totals()}, sys.stdout, name="spans")
        return
    for line in compared_text_table(spans, names, screen):
        console.print(line, soft_wrap=True)
    console.print(compared_text_caption(tally.totals(), names, screen), soft_wrap=True)


def _names(one: Path, other: Path) -> tuple[str, str]:
    """The checkpoints', as a table shows them."""
    short = [safe_text(_name(path.resolve())) for path in (one, other)]
    if short[0] == short[1]:
        short = [f"{name} ({number})" for number, name in enumerate(short, 1)]
    return short[0], short[1]


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}" if path.parent.name == "snapshots" else path.name
