"""The progress of long work: a bar in a terminal, elsewhere one plain line."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from minigpt.render.style import compact

_PATIENCE_SECONDS = 1.0


class WorkDisplay:
    """Shows on `console` (standard error) the progress of work that takes over a second, and clears it at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._redraws = console.is_terminal and not console.is_dumb_terminal
        self._progress: Progress | None = None

    def __enter__(self) -> "WorkDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def begin(self, name: str, total: int | None, unit: str = "characters") -> Callable[[int], None]:
        """Begin a stage; returns a function that is called with the number of further units done. `total`, if known."""
        self._stop()
        started, done, announced = self._clock(), 0, False

        def advance(amount: int) -> None:
            nonlocal done, announced
            done += amount
            if not announced and self._clock() - started >= _PATIENCE_SECONDS:
                announced = True
                self._show(name, total, unit)
            if self._progress is not None:
                self._progress.update(self._progress.task_ids[0], completed=done)

        return advance

    def _show(self, name: str, total: int | None, unit: str) -> None:
        if not self._redraws:
            self._console.print(Text(name if total is None else f"{name} {compact(total)} {unit}"), soft_wrap=True)
            return
        bar = BarColumn(max(4, min(24, self._console.width - 38)))
        columns = (TextColumn(" {task.description}"), bar, TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._progress.add_task(name, total=total)
        self._progress.start()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
