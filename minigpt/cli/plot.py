"""`minigpt plot`: the folders of runs in; their loss curves, in the terminal or as a picture, out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.completion import complete_model
from minigpt.cli.config_file import Config
from minigpt.cli.guard import guarded, note, say, stdout
from minigpt.cli.options import Quiet, choice, json_flag
from minigpt.settings import RANGES, X_AXES, Y_AXES, require

if TYPE_CHECKING:
    from minigpt.training.records import LossCurves


@guarded
def plot(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Runs, by folder or by name. By default the newest in ./checkpoints.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    x: Annotated[str, choice(X_AXES, "{values}.", "--x")] = "step",
    y: Annotated[
        str | None,
        choice(
            Y_AXES,
            "{values}. By default the first where it is known.",
            "--y",
            remarks={"bits-per-byte": "which compares tokenizers", "nats": "per token"},
            show_default=False,
        ),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="A logarithmic x axis.")] = False,
    smooth: Annotated[
        int | None,
        typer.Option(
            min=RANGES["smooth"].least,
            help="Show the training loss as the mean of so many steps. By default a fiftieth of the run.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a picture instead: FILE.svg or FILE.png.", show_default=False)
    ] = None,
    config: Config = None,
    json: Annotated[bool, json_flag("a line a run")] = False,
    quiet: Quiet = False,
) -> None:
    """Show how the losses of one or several trainings went.

    [bold]minigpt plot[/bold]
        the newest run
    [bold]minigpt plot checkpoints/*[/bold]
        all runs
    [bold]minigpt plot --out losses.svg[/bold]
        a picture
    """
    require(not (json and out), "--json and --out exclude each other.")
    require(
        out is None or out.suffix.lower() in (".svg", ".png"),
        f"--out {out} must end in .svg or .png.",
    )
    from minigpt.checkpoint.runs import find_run, newest_run, read_run
    from minigpt.training.curves import cautions, loss_curves

    named = map(find_run, run) if run else [newest_run(otherwise="or name the folder of a run")]
    folders = list(dict.fromkeys(named))
    logs = [read_run(folder) for folder in folders]
    curves = loss_curves(logs, x=x, y=y, smooth=smooth, log=log)
    for sentence in cautions(logs, curves):
        note(sentence, quiet=quiet)
    if json:
        _print_json(folders, curves)
    elif out is not None:
        _write_picture(curves, out, log=log)
    else:
        _print_plot(curves, log=log)


def _print_json(folders: "Sequence[Path]", curves: "Sequence[LossCurves]") -> None:
    from minigpt.checkpoint.files import storable
    from minigpt.render.machine import to_json

    for folder, curve in zip(folders, curves, strict=True):
        print(to_json(curve, path=storable(folder)))


def _write_picture(curves: "Sequence[LossCurves]", out: Path, *, log: bool) -> None:
    from minigpt.checkpoint.files import write_atomically
    from minigpt.render.picture import loss_picture

    data = loss_picture(curves, out.suffix.lower().removeprefix("."), log=log)
    write_atomically(out, lambda temporary: temporary.write_bytes(data))
    say(stdout(), str(out))


def _print_plot(curves: "Sequence[LossCurves]", *, log: bool) -> None:
    from minigpt.render.plot import loss_plot
    from minigpt.render.screen import Screen
    from minigpt.render.style import symbols_for

    console = stdout()
    screen = Screen(console.width, symbols_for(console.encoding))
    coloured = console.color_system is not None and not console.no_color
    height = min(24, max(12, screen.width // 4))
    if console.is_terminal:
        height = min(height, console.height - 3 * len(curves) - 2)
    console.print(loss_plot(curves, screen, height=height, log=log, coloured=coloured), soft_wrap=True)
