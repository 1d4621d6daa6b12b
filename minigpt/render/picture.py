"""Loss curves, or the panels of a comparison, as an SVG or PNG picture, drawn by matplotlib."""

import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.errors import named, needs_extra
from minigpt.render.panels import Panel, line_names, x_label
from minigpt.render.plot import AXES, mean_of, run_name, thinned
from minigpt.settings import require
from minigpt.training.records import LossCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES, _DOTS_PER_INCH = (8.0, 5.0), 150
# Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind people too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = "oD^sv*P"
_MOST_POINTS = 5000
_MARKED = 32  # points of a panel's line
_X_TICKS = 7


def picture_format(path: Path) -> str:
    """`svg` or `png`, by the name of the file."""
    return path.suffix.lower().removeprefix(".")


def check_picture(name: str, path: Path | None) -> None:
    """Raise ConfigError if the setting of that name is not the path of a picture."""
    known = path is None or picture_format(path) in ("svg", "png")
    require(known, f"{named(name, path)} must end in .svg or .png.")


def loss_picture(curves: Sequence[LossCurves], format: str, *, log: bool = False) -> bytes:
    """A picture of the curves; `format` is svg or png. The same curves give the same bytes.

    `log`: x is logarithmic, and every x positive. Raises PackageError if matplotlib is not installed.
    """
    return _picture(format, _INCHES, lambda figure: _draw(figure.add_subplot(), curves, log))


def panel_picture(panels: Sequence[Panel], format: str) -> bytes:
    """A picture of panels in two columns. The same panels give the same bytes. Raises PackageError as above."""
    rows = -(-(len(panels) + 1) // 2)
    return _picture(format, (10.0, 3.0 * rows), lambda figure: _draw_panels(figure, panels, rows))


def _picture(format: str, inches: tuple[float, float], draw: "Callable[[Figure], None]") -> bytes:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("A picture needs the package matplotlib", "plot") from error
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "minigpt", "font.size": 10}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        data = BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a letter in a run's name that the font lacks is drawn as a box
            figure.savefig(data, format=format, dpi=_DOTS_PER_INCH, metadata={"Date": None} if format == "svg" else {})
    return data.getvalue()


def _draw(axes: "Axes", curves: Sequence[LossCurves], log: bool) -> None:
    handles: list[Any] = []
    labels: list[str] = []
    for i, curve in enumerate(curves):
        colour, name = _COLOURS[i % len(_COLOURS)], run_name(curve)
        if curve.training:
            points = thinned(curve.training, _MOST_POINTS)
            handles += axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.7)
            labels.append(f"{name}: training{mean_of(curve.smoothed_steps)}")
        if curve.validation:
            points = thinned(curve.validation, _MOST_POINTS)
            shape = _SHAPES[i % len(_SHAPES)]
            handles += axes.plot(*zip(*points, strict=True), shape + "-", color=colour, markersize=4, linewidth=1.5)
            labels.append(f"{name}: validation, lowest {min(y for _, y in curve.validation):.3f}")
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(AXES[curves[0].x] + (" (seconds)" if curves[0].x == "seconds" else ""))
    axes.set_ylabel(f"loss in {AXES[curves[0].y]}")
    axes.grid(alpha=0.3)
    legend = axes.legend(handles, ["-"] * len(handles))
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)  # $ and _ in a name are letters
        text.set_text(label)


def _draw_panels(figure: "Figure", panels: Sequence[Panel], rows: int) -> None:
    """Draw the panels; the rest of the last row holds the legend."""
    names = line_names(panels)
    handles: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, 2, number + 1)
        for name, points in panel.lines:
            at = names.index(name)
            x, y = zip(*panel.drawn(points), strict=True)
            every = 1 if len(x) <= _MARKED else len(x) // _MARKED
            (handles[name],) = axes.plot(
                x, y, _SHAPES[at] + "-", color=_COLOURS[at], markersize=3, linewidth=1.3, markevery=every
            )
        _set_scales(axes, panel)
    place = figure.add_subplot(rows, 2, len(panels) + 1)
    place.axis("off")
    place.legend([handles[name] for name in names], names, loc="center", frameon=False)


def _set_scales(axes: "Axes", panel: Panel) -> None:
    if panel.log_x:
        axes.set_xscale("log", base=2)
    if panel.log_y:
        axes.set_yscale("log", nonpositive="mask")
    if panel.percent:
        axes.set_ylim(0, 1.05)
    places = panel.x_ticks(_X_TICKS)
    axes.set_xticks(places, list(map(x_label, places)))
    heights, labels = zip(*panel.marks(), strict=True)
    axes.set_yticks([10**height for height in heights] if panel.log_y else heights, labels)
    axes.minorticks_off()
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x)
    axes.grid(alpha=0.3)
