"""`minigpt plot`: the loss curves of runs, in the terminal or as a picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minigpt.checkpoint.files import write_bytes
from minigpt.cli.completion import complete_model
from minigpt.cli.console import note, say, stdout
from minigpt.cli.flags import command, json_flag
from minigpt.errors import named
from minigpt.render.machine import to_json
from minigpt.render.plot import check_picture, loss_picture, loss_plot, picture_format
from minigpt.render.style import Screen
from minigpt.settings import CurveSettings, require
from minigpt.training.curves import run_curves
from minigpt.training.records import LossCurves


@command
def plot(
    wanted: CurveSettings,
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Runs, by folder or by name. By default the newest in ./checkpoints.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a picture instead: FILE.svg or FILE.png.", show_default=False)
    ] = None,
    json: Annotated[bool, json_flag("a line a run")] = False,
) -> None:
    """
    [bold]minigpt plot[/bold]
        the newest run
    [bold]minigpt plot checkpoints/*[/bold]
        all runs
    [bold]minigpt plot --out losses.svg[/bold]
        a picture
    """
    require(not (json and out), f"{named('json')} and {named('out')} exclude each other.")
    check_picture("out", out)
    found = run_curves(run, wanted)
    note(*found.cautions)
    if json:
        for curve, path in zip(found.curves, found.paths, strict=True):
            print(to_json(curve, path=path))
    elif out is not None:
        write_bytes(out, loss_picture(found.curves, picture_format(out), log=wanted.log))
        say(stdout(), str(out))
    else:
        _print_plot(found.curves, log=wanted.log)


def _print_plot(curves: Sequence[LossCurves], *, log: bool) -> None:
    console = stdout()
    screen = replace(Screen.of(console), width=console.width)
    height = min(24, max(12, screen.width // 4))
    if console.is_terminal:
        height = min(height, console.height - 3 * len(curves) - 2)
    console.print(loss_plot(curves, screen, height=height, log=log), soft_wrap=True)
