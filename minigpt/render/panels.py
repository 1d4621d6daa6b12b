"""A comparison in; the panels of its plot out: what each shows, and a line of points for every model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from minigpt.contest.records import Comparison, Contender, Points
from minigpt.render.style import compact, duration

NAMES = {"window": "dense window", "rnn": "RNN", "lstm": "LSTM", "gpt": "GPT"}
NAMES |= {  # of a GPT without a part
    "no-positions": "no positions",
    "one-head": "one head",
    "no-attention": "no attention",
    "no-mlp": "no MLP",
}
_LEAST = 1e-12


@dataclass(frozen=True)
class Panel:
    """`name` is for machines. A logarithmic axis of y leaves out what is below _LEAST."""

    name: str
    title: str
    x: str
    lines: tuple[tuple[str, Points], ...]  # the model's name, and its points
    log_x: bool = True
    log_y: bool = False
    percent: bool = False

    @property
    def points(self) -> Points:
        """All that can be drawn."""
        return tuple(point for _, points in self.lines for point in self.drawn(points))

    def drawn(self, points: Points) -> Points:
        """Those that have a place on the axes."""
        return tuple((x, y) for x, y in points if (x > 0 or not self.log_x) and (y >= _LEAST or not self.log_y))


def panels(comparison: Comparison) -> list[Panel]:
    """Those of which something is measured, in the order of the story."""
    made = [
        _panel(comparison, "speed", "trained tokens a second", "context", lambda c: c.training_tokens_per_second),
        _panel(
            comparison,
            "tokens",
            f"bits per byte, over {compact(comparison.tokens or 0)} tokens",
            "tokens",
            lambda c: c.equal_tokens.by_tokens[1:] if c.equal_tokens else (),
            log_x=False,
        ),
        _panel(
            comparison,
            "time",
            f"bits per byte, over {duration(comparison.seconds or 0)}",
            "seconds",
            lambda c: c.equal_time.by_seconds[1:] if c.equal_time else (),
            log_x=False,
        ),
        _panel(
            comparison,
            "position",
            "nats a token, by how much is seen",
            "tokens seen",
            lambda c: by_octaves(c.loss_nats_by_position or ()),
        ),
        _panel(
            comparison,
            "gradient",
            "gradient of a late loss, relative to the nearest token's",
            "tokens before",
            lambda c: relative(c.gradient_by_distance or ()),
            log_y=True,
        ),
        _panel(
            comparison,
            "recall",
            "keys recalled",
            "tokens ago",
            lambda c: c.recall_by_distance,
            percent=True,
        ),
        _panel(comparison, "cost", "milliseconds for a generated token", "its number", lambda c: c.step_milliseconds),
    ]
    return [panel for panel in made if panel.lines]


def _panel(
    comparison: Comparison,
    name: str,
    title: str,
    x: str,
    points_of: Callable[[Contender], Points | None],
    *,
    log_x: bool = True,
    log_y: bool = False,
    percent: bool = False,
) -> Panel:
    lines = tuple((NAMES[c.model], points) for c in comparison.contenders if (points := points_of(c)))
    return Panel(name, title, x, lines, log_x, log_y, percent)


def line_names(panels: Sequence[Panel]) -> list[str]:
    """Of all that have a line somewhere. What a line looks like goes by its place here: a panel may lack others."""
    return list(dict.fromkeys(name for panel in panels for name, _ in panel.lines))


def by_octaves(points: Points) -> Points:
    """Means over the points at 1, 2, 3 to 4, 5 to 8, ..., each at the end of its stretch."""
    return tuple((float(last), sum(y for _, y in stretch) / len(stretch)) for _, last, stretch in octaves(points))


def octaves(points: Points) -> Iterator[tuple[int, int, Points]]:
    """(first, last, the points) of each stretch that ends at a power of two, or with the points."""
    end, start = 1, 0
    while start < len(points):
        stretch = points[start:end]
        yield start + 1, start + len(stretch), stretch
        start, end = end, 2 * end


def relative(points: Points) -> Points:
    """Each y as a multiple of the first one."""
    return tuple((x, y / points[0][1]) for x, y in points) if points and points[0][1] else points
