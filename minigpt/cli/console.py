"""What commands print with: results go to standard output, and notes, progress and errors to standard error."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text

from minigpt.cli.signals import signals_raise
from minigpt.errors import Spelling, as_flag, bounded, spelled
from minigpt.launch import launched_rank
from minigpt.render.cells import cell_len
from minigpt.render.progress import WorkDisplay
from minigpt.render.style import Screen, safe_text


@dataclass
class Running:
    """The command that runs: how it is called, which of its flags are not named as their settings, and --quiet."""

    name: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False


running = Running()


def spelling(renamed: Mapping[str, str]) -> Spelling:
    """How a command spells settings; `renamed` maps those whose flag has another name."""

    def spell(name: str, value: str | None = None) -> str:
        if name not in renamed:
            return as_flag(name, value)
        return renamed[name] if value is None else f"{renamed[name]} {value}"

    return spell


def in_flags(message: str) -> str:
    """`message` with its settings spelled as the flags of the running command."""
    return spelled(message, spelling(running.renamed))


def say(console: Console, message: str) -> None:
    """Print lines: wrapped between words in a terminal, as they are elsewhere.

    What is to be copied, a line with a margin of two spaces or a command at the end of one, is left whole: only the
    terminal wraps it, and copies it without the break.
    """
    text = safe_text(message)
    if console.is_terminal:
        text = "\n".join(_wrapped(line, console) for line in text.split("\n"))
    console.print(Text(text), soft_wrap=True)


_TO_COPY = re.compile(r"(?:^  |(?<=: )(?:iconv|ls|minigpt|pip|python|tr) ).*")


def _wrapped(line: str, console: Console) -> str:
    """`line` in as many as a terminal needs, each with its margin; a command that does not fit is on one of its own."""
    found = _TO_COPY.search(line)
    if found and not found.start():
        return line
    prose, command = (line[: found.start()], found[0]) if found else (line, "")
    margin = " " * (len(prose) - len(prose.lstrip(" ")))
    wrapped = Text(prose.strip(" ")).wrap(console, max(1, console.width - len(margin)))
    rows = [margin + row.plain.rstrip(" ") for row in wrapped]
    if cell_len(f"{rows[-1]} {command}") <= console.width:
        rows[-1] += f" {command}" if command else ""
    elif command:
        rows.append(f"  {command}")
    return "\n".join(rows)


def note(*messages: str | None) -> None:
    """Print sentences on standard error about what was done differently from what was asked, if there are any."""
    for message in filter(None, messages):
        say(stderr(), bounded(f"note: {in_flags(message)}"))


def complain(message: str, *, everywhere: bool = False) -> None:
    """Print `minigpt COMMAND: message` on standard error, without COMMAND before one is known.

    Of several processes the first prints it, or each with `everywhere`.
    """
    console = stderr(quiet=bool(launched_rank()) and not everywhere)
    say(console, bounded(f"minigpt{running.name and f' {running.name}'}: {in_flags(message)}"))


def print_lines(lines: Callable[[Screen], Iterable[Text]]) -> None:
    """Print on standard output the lines for the screen at hand."""
    console = stdout()
    for line in lines(Screen.of(console)):
        console.print(line, soft_wrap=True)


@contextmanager
def working() -> Iterator[WorkDisplay]:
    """While entered, the progress of long work is shown on standard error, and any signal cleans up."""
    with signals_raise(), WorkDisplay(stderr()) as work:
        yield work


class _Console(Console):
    """A console that leaves a closed pipe to `guarded`; rich would end the program with an error."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Unfailing:
    """A standard error whose failed writes, for example on a full disk, are retried with the next one.

    A closed pipe is still reported. While a display redraws a terminal, what is printed there goes above it.
    """

    def __init__(self, stream: IO[str]) -> None:
        behind = getattr(stream, "rich_proxied_file", None)
        self._stream = stream if behind is None or behind.isatty() else behind
        self.rich_proxied_file = self  # or rich would write past the display

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _pipes_only():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _pipes_only():
            self._stream.flush()


@contextmanager
def _pipes_only() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def stdout() -> Console:
    """The console for results; colour and redraws only in a terminal. Of several processes, only the first prints."""
    return _console(sys.stdout, quiet=bool(launched_rank()))


def stderr(quiet: bool | None = None) -> Console:
    """The console for progress, notes and errors; by default `quiet` with --quiet, and on all processes but one."""
    file = cast("IO[str]", _Unfailing(sys.stderr))
    quiet = running.quiet or bool(launched_rank()) if quiet is None else quiet
    return _console(file, quiet=quiet)


def _console(file: IO[str], *, quiet: bool) -> Console:
    """The console of a stream. FORCE_COLOR and TTY_COMPATIBLE bring colours into a file, and rich would redraw it."""
    plain = partial(_Console, file=file, highlight=False, markup=False, emoji=False, quiet=quiet)
    made = plain()
    if made.is_terminal and not file.isatty():
        return plain(force_terminal=False, color_system=cast(Any, made.color_system))
    return made
