"""A sample that grows on the screen, with a table of the current step below it."""

import time
from collections.abc import Callable, Iterable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from minigpt.render.candidates import fewer_candidates, step_table
from minigpt.render.cells import cell_len, wrapped
from minigpt.render.heat import HeatedText, Scale, heat_legend
from minigpt.render.style import Screen, safe_text, token_label, visible
from minigpt.sampling.records import SampleEnd, StepRecord

FRAMES_PER_SECOND = 8

Shown = tuple[bytes, StepRecord | SampleEnd]  # the text that a step adds, UTF-8, and its record


def _table_of_height(record: StepRecord, screen: Screen, height: int) -> Text:
    """The table with as many candidates as fit, so that its captions are never cut off."""
    for count in range(len(record.candidates), 0, -1):
        table = step_table(fewer_candidates(record, count), screen)
        if table.plain.count("\n") < height:
            break
    return table


def step_header(step: int, steps: int, before: str, rate: float, screen: Screen) -> Text:
    """`step 4 of 200 · after “␣the” · 412 tokens/s`."""
    after = f"after {screen.symbols.quote(before)}" if before else ""
    return screen.caption(f"step {step:,} of {steps:,}", after, f"{rate:,.0f} tokens/s" if rate else "")


def stream_text(
    console: Console, prompt: str, pieces: Iterable[Shown], steps: int, scale: Scale | None = None
) -> SampleEnd:
    """Print the text alone as it grows, and a final newline; in the colours of `scale`, if the console has colours."""
    heat = HeatedText(scale)

    def write(text: Text) -> None:
        if scale is not None:
            console.print(text, end="", soft_wrap=True)
        else:
            console.file.write(text.plain)
        console.file.flush()

    write(Text(safe_text(prompt)))
    for data, record in pieces:
        write(_shown(heat, data, record))
    write(Text("\n"))
    _print_legend(console, scale)
    return ended(record)


def print_every_table(
    console: Console, prompt: str, pieces: Iterable[Shown], steps: int, scale: Scale | None = None
) -> SampleEnd:
    """Print a table for every step, then the whole text."""
    screen, heat = Screen.of(console), HeatedText(scale)
    before, whole = _end_of(prompt, screen), Text(safe_text(prompt))
    for step, (data, record) in enumerate(pieces, 1):
        whole.append_text(_shown(heat, data, record))
        if isinstance(record, SampleEnd):
            console.print(whole, soft_wrap=True)
            _print_legend(console, scale)
            return record
        console.print(step_header(step, steps, before, 0.0, screen), step_table(record, screen), Text(), sep="\n")
        before = token_label(record.token, screen.symbols) if record.token else ""
    raise AssertionError("a sample ends with a SampleEnd")


def show_live(
    console: Console, prompt: str, pieces: Iterable[Shown], steps: int, scale: Scale | None = None
) -> SampleEnd:
    """Show the text as it grows, and below it the table of the current step."""
    with LiveSample(console, prompt, steps, scale) as view:
        for data, record in pieces:
            view.add(data, record)
    _print_legend(console, scale)
    return ended(record)


def ended(record: StepRecord | SampleEnd) -> SampleEnd:
    """The last record of a sample, which ends it."""
    assert isinstance(record, SampleEnd), "a sample ends with a SampleEnd"
    return record


def _shown(heat: HeatedText, data: bytes, record: StepRecord | SampleEnd) -> Text:
    """The text that a step adds, in its colours."""
    if isinstance(record, StepRecord):
        heat.add(record)
    return Text.assemble(*((safe_text(text), style) for text, style in heat.released(data)))


def _print_legend(console: Console, scale: Scale | None) -> None:
    if scale is not None:
        console.print(heat_legend(scale, Screen.of(console)))


def _end_of(prompt: str, screen: Screen) -> str:
    return (screen.symbols.ellipsis if len(prompt) > 12 else "") + visible(prompt[-12:], screen.symbols)


class LiveSample:
    """Prints whole lines of the text for good, and redraws the last line and the table.

    A step only records what is new. A frame is drawn at the first step after it is due, so that drawing takes a
    constant share of the time however fast the model is, without a second thread.
    """

    def __init__(
        self,
        console: Console,
        prompt: str,
        steps: int,
        scale: Scale | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console, self._prompt, self._steps, self._clock = console, prompt, steps, clock
        self._heat, self._line = HeatedText(scale), Text()
        self._new: list[Shown] = []
        self._step, self._before = 0, _end_of(prompt, Screen.of(console))
        self._record: StepRecord | None = None
        self._rate = 0.0  # tokens per second, once the sample has ended: that of its totals
        self._live = Live(self, console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> "LiveSample":
        self._live.start()
        self._started = self._clock()
        self._draw(Text(safe_text(self._prompt)))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._draw_new()
        finally:
            self._live.stop()

    def add(self, data: bytes, record: StepRecord | SampleEnd) -> None:
        """Add to the text, and show the table of this record."""
        self._new.append((data, record))
        if isinstance(record, SampleEnd):
            self._rate = record.tokens_per_second
        if self._clock() >= self._due:
            self._draw_new()

    def _draw_new(self) -> None:
        records = [record for _, record in self._new if isinstance(record, StepRecord)]
        if records:
            previous = [self._record, *records][-2]
            if previous is not None and previous.token is not None:
                self._before = token_label(previous.token, Screen.of(self._console).symbols)
            self._step, self._record = self._step + len(records), records[-1]
        text = Text().join(_shown(self._heat, data, record) for data, record in self._new)
        self._new.clear()
        self._draw(text)

    def _draw(self, text: Text) -> None:
        """Add to the text; lines that are full, or that end in a newline, are printed for good."""
        whole, self._line = self._broken(self._line.append_text(text))
        if whole:
            self._console.print(Text("\n").join(whole), soft_wrap=True)  # which draws this view, too, again
        else:
            self._live.refresh()
        self._due = self._clock() + 1 / FRAMES_PER_SECOND

    def _broken(self, text: Text) -> tuple[list[Text], Text]:
        """Whole lines, and the growing one."""
        if cell_len(text.plain) < self._console.width and not set("\n\t") & set(text.plain):
            return [], text
        text.expand_tabs(4)
        *whole, last = wrapped(text, max(1, self._console.width - 1)) or [Text()]
        return whole, last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        screen = Screen.of(self._console)
        yield self._line
        if self._record is not None:
            seconds = self._clock() - self._started
            rate = self._rate or (self._step / seconds if seconds else 0.0)
            header = step_header(self._step, self._steps, self._before, rate, screen)
            lines = header.plain.count("\n") + 3  # the text's line, an empty one, the cursor's
            yield Text()
            yield header
            yield _table_of_height(self._record, screen, self._console.height - lines)
