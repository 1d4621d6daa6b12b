"""The progress of a training and of other long work: live in a terminal, elsewhere plain lines."""

import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from minigpt.checkpoint.records import TrainRecord
from minigpt.render.style import Screen, compact, duration, quoted, safe_text
from minigpt.training.records import Overfitting

_PATIENCE_SECONDS = 1.0
_SMOOTHED_STEPS = 20


def redraws(console: Console) -> bool:
    """Whether the console is a terminal that can redraw a line."""
    return console.is_terminal and not console.is_dumb_terminal


def progress_row(share: float, text: str, screen: Screen) -> Table:
    """A bar, its percentage, and a text."""
    row = Table.grid(padding=(0, 1), expand=False)
    bar = ProgressBar(total=1.0, completed=share, width=max(8, min(40, screen.width - 28)))
    row.add_row("", bar, f"{share:4.0%}", text)
    return row


class WorkDisplay:
    """Shows on `console` (standard error) the progress of work that takes over a second, and clears it at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._progress: Progress | None = None

    def __enter__(self) -> "WorkDisplay":
        return self

    def __exit__(self, *error: object) -> None:
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
        if not redraws(self._console):
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


class LiveDisplay(ABC):
    """A display on `console` (standard error) that is redrawn four times a second, if the terminal can redraw."""

    def __init__(self, console: Console, *, transient: bool = False) -> None:
        self._console, self._transient = console, transient
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if redraws(self._console):
            # What is printed meanwhile goes above the display, but into a file or a pipe if that is where it belongs.
            to_screen = sys.stdout.isatty()
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=4,
                redirect_stdout=to_screen,
                transient=self._transient,
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    @abstractmethod
    def _render(self) -> RenderableType:
        """What the terminal shows now."""

    def _print(self, line: str) -> None:
        self._console.print(Text(safe_text(line)), soft_wrap=not self._live)


def overfitting(found: Overfitting) -> str:
    """The warning that a model memorises its text, and what would help besides the regularization that it has."""
    helps = [
        "more --weight-decay" if found.more_decay else "",
        ("more --dropout" if found.dropout else "--dropout") if found.more_dropout else "",
        "a longer text",
        "a smaller model",
        "fewer epochs",
    ]
    *most, last = filter(None, helps)
    dropout = f"dropout {found.dropout:g}" if found.dropout else "no dropout"
    planned = "; --minutes plans a training that ends before it overfits" if found.is_plannable else ""
    return (
        f"After {found.now.epoch:.1f} epochs the model is overfitting: it memorises the training text, whose loss "
        f"still falls, but the best validation loss, that of epoch {found.best.epoch:.1f}, is three or more "
        f"evaluations old. The best model is kept. This run has weight decay {found.weight_decay:g} and {dropout}: "
        f"{', '.join(most)} or {last} would help{planned}."
    )


def stopped_early(now: TrainRecord, best: TrainRecord, steps: int, patience: int) -> str:
    """The message at the end of a run that ran out of patience."""
    times = "evaluation was" if patience == 1 else f"{patience} evaluations were"
    return (
        f"stopped early, after step {now.step:,} of {steps:,} and {now.epoch:.1f} epochs: the last {times} no better "
        f"than that of step {best.step:,}, at epoch {best.epoch:.1f}."
    )


class TrainDisplay(LiveDisplay):
    """Shows a run of `steps` steps, or of this many `seconds`; without a live terminal, a line for each evaluation."""

    def __init__(self, console: Console, steps: int, seconds: float | None = None) -> None:
        super().__init__(console)
        self._steps, self._seconds = steps, seconds
        self._record: TrainRecord | None = None
        self._evaluated: TrainRecord | None = None
        self._best: TrainRecord | None = None
        self._recent: deque[TrainRecord] = deque(maxlen=_SMOOTHED_STEPS)
        self._sample = ""
        self._warned = False
        self._finished = False

    def update(self, record: TrainRecord) -> None:
        """Show the next record."""
        self._record = record
        if record.loss_nats is not None:
            self._recent.append(record)
        if record.validation_loss_nats is not None:
            self._evaluated = record
            self.remember(record)
        if not self._live and (record.validation_loss_nats is not None or record.step == self._steps):
            self._print(self._plain_line(record))

    def remember(self, record: TrainRecord) -> None:
        """Note the best step from a record, also from an earlier session."""
        best = self._best.validation_loss_nats if self._best else None
        if record.validation_loss_nats is not None and (best is None or record.validation_loss_nats < best):
            self._best = record

    def finish(self) -> None:
        """Mark the run as complete, with as many steps as there was time for: a plan in seconds only estimates them."""
        self._finished = True

    def show_sample(self, text: str) -> None:
        """Show a short sample of the current model."""
        self._sample = text
        if not self._live:
            self._print("  " + quoted(text, 100, Screen.of(self._console).symbols))

    def warn_overfitting(self, found: Overfitting) -> None:
        """Show the warning, once."""
        if not self._warned:
            self._warned = True
            self._print(overfitting(found))

    def _plain_line(self, record: TrainRecord) -> str:
        end = f"step {record.step:,}/{self._steps:,}"
        if self._seconds is not None:
            over = self._over(record)
            rest = f", {over}" if over else f"/{duration(self._seconds)}"
            end = f"{duration(record.seconds)}{rest}  step {record.step:,}"
        return "  ".join([end, *self._numbers(record)])

    def _over(self, record: TrainRecord) -> str:
        """How much longer than planned a run takes, because it has at least one step and one evaluation."""
        more = 0 if self._seconds is None else round(record.seconds) - round(self._seconds)
        return f"{duration(more)} over" if more > 0 else ""

    def _numbers(self, record: TrainRecord) -> list[str]:
        numbers = [f"loss {self._loss():.3f}"] if self._recent else []
        if self._evaluated is not None:
            numbers.append(f"validation {self._evaluated.validation_loss_nats:.3f}")
            numbers.append(f"{self._evaluated.validation_bits_per_byte:.3f} bits/byte")
        numbers.append(f"epoch {record.epoch:.2f}")
        if self._recent:
            numbers.append(f"{self._rate():,.0f} tokens/s")
        return numbers

    def _loss(self) -> float:
        """The training loss averaged over the last steps, because that of one batch is noisy."""
        return sum(r.loss_nats or 0.0 for r in self._recent) / len(self._recent)

    def _seconds_a_step(self, record: TrainRecord) -> float:
        """Seconds per step, evaluations and saves included; not before step 100, when these weigh too much."""
        if record.step >= 100:
            return record.seconds / record.step
        return record.tokens / record.step / self._rate()

    def _left(self, record: TrainRecord) -> float | None:
        """The remaining seconds."""
        if self._seconds is not None:
            return max(0.0, self._seconds - record.seconds)
        return self._seconds_a_step(record) * (self._steps - record.step) if self._recent else None

    def _rate(self) -> float:
        """The median rate of the last steps."""
        rates = sorted(record.tokens_per_second for record in self._recent)
        return rates[len(rates) // 2]

    def _render(self) -> RenderableType:
        record, screen = self._record, Screen.of(self._console)
        if record is None:
            return Text(" starting", "dim")
        lines: list[RenderableType] = [Text(), self._bar(record, screen)]
        lines.append(screen.caption(self._steps_of(record), *self._numbers(record)))
        if self._best is not None and self._best.step:
            lines.append(screen.caption(f"best at step {self._best.step:,}, saved"))
        if self._sample:
            sample = Text(quoted(self._sample, 2 * screen.width - 4, screen.symbols))
            lines += [Text(), Padding(sample, (0, 0, 0, 1))]
        return Group(*lines)

    def _steps_of(self, record: TrainRecord) -> str:
        """The step and the expected total: by the pace so far in a time budget, or as planned before there is any."""
        if self._seconds is None:
            return f"step {record.step:,} of {self._steps:,}"
        if self._finished:
            return f"step {record.step:,}"
        left = self._left(record) or 0.0
        steps = record.step + round(left / self._seconds_a_step(record)) if self._recent else self._steps
        return f"step {record.step:,} of about {steps:,}"

    def _bar(self, record: TrainRecord, screen: Screen) -> Table:
        share = record.step / self._steps if self._seconds is None else min(1.0, record.seconds / self._seconds)
        share = 1.0 if self._finished else share
        left = None if self._finished else self._left(record)
        rest = self._over(record) or ("" if left is None else f"{duration(left)} left")
        times = duration(record.seconds) + (f", {rest}" if rest else "")
        return progress_row(share, times, screen)
