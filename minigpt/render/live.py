"""The pieces of a sample in; text that grows on the screen out, with a table of the current step below it."""

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from minigpt.records import SampleEnd, StepRecord
from minigpt.render.style import safe_text, token_label, visible
from minigpt.render.tables import Screen, fewer_candidates, step_table

Shown = tuple[str, StepRecord | SampleEnd]  # the text that a step adds, and its record


def _table_of_height(record: StepRecord, screen: Screen, height: int) -> Text:
    """The table with as many candidates as fit, so that its captions are never what is cut off."""
    for count in range(len(record.candidates), 0, -1):
        table = step_table(fewer_candidates(record, count), screen)
        if table.plain.count("\n") < height:
            break
    return table


def step_header(step: int, steps: int, before: str, rate: float, screen: Screen) -> Text:
    """`step 4 of 200 · after “␣the” · 412 tokens/s`."""
    quotes = screen.symbols.quotes
    after = f"after {quotes[0]}{before}{quotes[1]}" if before else ""
    return screen.caption(f"step {step:,} of {steps:,}", after, f"{rate:,.0f} tokens/s" if rate else "")


def last_record(records: Iterable[StepRecord | SampleEnd]) -> SampleEnd:
    """Run through the records of a sample; the one that ends it."""
    end = None
    for record in records:
        end = record
    assert isinstance(end, SampleEnd)
    return end


def stream_text(console: Console, prompt: str, pieces: Iterable[Shown], steps: int) -> SampleEnd:
    """The text alone, as it grows, and a newline behind it."""

    def write(text: str) -> None:
        console.file.write(safe_text(text))
        console.file.flush()

    def written() -> Iterable[StepRecord | SampleEnd]:
        write(prompt)
        for text, record in pieces:
            write(text)
            yield record
        write("\n")

    return last_record(written())


def print_every_table(console: Console, prompt: str, pieces: Iterable[Shown], steps: int) -> SampleEnd:
    """A table for every step, then the whole text."""
    screen = Screen.of(console)
    before = _end_of(prompt, screen)
    for step, (_, record) in enumerate(pieces, 1):
        if isinstance(record, SampleEnd):
            console.print(Text(safe_text(record.text)), soft_wrap=True)
            return record
        console.print(step_header(step, steps, before, 0.0, screen), step_table(record, screen), Text(), sep="\n")
        before = token_label(record.token, screen.symbols) if record.token else ""
    raise AssertionError("a sample ends with a SampleEnd")


def show_live(console: Console, prompt: str, pieces: Iterable[Shown], steps: int) -> SampleEnd:
    """The text as it grows, and below it the table of the step that is being taken."""
    with LiveSample(console, steps) as view:
        view.write(prompt)
        view.after(_end_of(prompt, Screen.of(console)))

        def shown() -> Iterable[StepRecord | SampleEnd]:
            for text, record in pieces:
                view.write(text)
                if isinstance(record, StepRecord):
                    view.show(record)
                yield record

        return last_record(shown())


def _end_of(prompt: str, screen: Screen) -> str:
    return visible(prompt[-12:], screen.symbols)


class LiveSample:
    """Whole lines of the text go to the terminal's history at once; the last line and the table are redrawn."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._steps = console, steps
        self._line = ""
        self._step, self._before, self._token = 0, "", ""
        self._started = time.perf_counter()
        self._record: StepRecord | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=12, vertical_overflow="crop")

    def __enter__(self) -> "LiveSample":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def write(self, text: str) -> None:
        """Add to the text; lines that are full, or that a newline ends, are printed for good."""
        *whole, self._line = self._wrap(self._line + safe_text(text).expandtabs(4))
        for line in whole:
            self._console.print(Text(line), soft_wrap=True)

    def after(self, label: str) -> None:
        """What stands before the first step."""
        self._token = label

    def show(self, record: StepRecord) -> None:
        """Make `record` the one whose table is shown."""
        symbols = Screen.of(self._console).symbols
        self._before, self._token = self._token, token_label(record.token, symbols) if record.token else ""
        self._step, self._record = self._step + 1, record

    def _wrap(self, text: str) -> list[str]:
        wrapped = Text(text).wrap(self._console, max(1, self._console.width - 1), overflow="fold")
        return [line.plain for line in wrapped] or [""]

    def _render(self) -> RenderableType:
        screen = Screen.of(self._console)
        parts: list[RenderableType] = [Text(self._line)]
        if self._record is not None:
            rate = self._step / (time.perf_counter() - self._started)
            header = step_header(self._step, self._steps, self._before, rate, screen)
            lines = header.plain.count("\n") + 3  # the text's line, an empty one, the cursor's
            parts += [Text(), header, _table_of_height(self._record, screen, self._console.height - lines)]
        return Group(*parts)
