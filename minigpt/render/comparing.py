"""The progress of a comparison: live in a terminal, elsewhere one plain line per measurement."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from minigpt.contest.records import Comparison
from minigpt.render.compare import comparison_table
from minigpt.render.panels import NAMES
from minigpt.render.screen import Screen
from minigpt.render.style import duration

_WORDS = {
    "training_tokens_per_second": "training speed at five contexts",
    "step_milliseconds": "cost of generated tokens",
    "peak_bytes": "memory of a training step",
    "equal_tokens": "training, with as many tokens as the others",
    "equal_time": "training, with as much time as the others",
    "loss_nats_by_position": "loss and gradient by position",
    "recall_by_distance": "learning to recall a key",
}


class ComparingDisplay:
    """Shows on `console` (standard error) what is being measured and the table as it fills; live if it can redraw."""

    def __init__(
        self, console: Console, total: int, minutes: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._total, self._minutes, self._clock = console, total, minutes, clock
        self._number, self._what, self._share, self._loss = 0, "", 0.0, ""
        self._comparison: Comparison | None = None
        self._began = clock()
        self._before = 0.0  # seconds that were spent before this process
        redraws = console.is_terminal and not console.is_dumb_terminal
        live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._live = live if redraws else None

    def __enter__(self) -> "ComparingDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, number: int, model: str, what: str, comparison: Comparison) -> None:
        """Measurement `number` of all begins; `comparison` holds those before it."""
        if self._comparison is None:
            self._before = comparison.spent_seconds
        self._number, self._share, self._loss, self._comparison = number, 0.0, "", comparison
        self._what = f"{NAMES[model]}: {_WORDS.get(what, f'trying the learning rate {what}')}"
        if not self._live:
            spent, whole = duration(self._spent()), duration(60 * self._minutes)
            self._console.print(Text(f"{spent}/{whole}  {number} of {self._total}  {self._what}"), soft_wrap=True)

    def advance(self, step: int, steps: int, loss_nats: float | None) -> None:
        """Report a step of the current measurement."""
        self._share = step / steps
        self._loss = "" if loss_nats is None else f"loss {loss_nats:.3f}"

    def _spent(self) -> float:
        return self._before + self._clock() - self._began

    def _render(self) -> RenderableType:
        if self._comparison is None:
            return Text(" starting", "dim")
        screen = Screen.of(self._console)
        whole = 60 * self._minutes
        share = min(1.0, self._spent() / whole)
        bar = ProgressBar(total=1.0, completed=share, width=max(8, min(40, screen.width - 28)))
        row = Table.grid(padding=(0, 1), expand=False)
        row.add_row(
            "", bar, f"{share:4.0%}", f"{duration(self._spent())}, {duration(max(0.0, whole - self._spent()))} left"
        )
        done = f"{self._share:.0%}" if self._share else ""
        caption = screen.caption(f"{self._number} of {self._total}", self._what, done, self._loss)
        lines = list(comparison_table(self._comparison, screen))
        room = max(0, self._console.height - 5)
        return Group(*lines[:1], *lines[1:][-room:], Text(), row, caption)
