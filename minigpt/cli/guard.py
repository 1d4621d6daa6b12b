"""Wraps every command: errors become one clear line, a closed pipe ends quietly, and Ctrl-C exits with 130."""

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import IO, Any, ParamSpec, cast

import typer
from rich.console import Console
from rich.text import Text

from minigpt.cli.config_file import ConfigFile
from minigpt.cli.environment import blamed
from minigpt.cli.flags import renamed_flags, spelling
from minigpt.errors import ConfigError, MinigptError, bounded, spelled
from minigpt.render.style import safe_text
from minigpt.settings import check_ranges, launched_rank

P = ParamSpec("P")
_renamed: dict[str, str] = {}  # flags of the command that runs, where they are not named as their setting is


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Run `command` so that it ends with an exit code, without a traceback for errors that are not bugs.

    2 for wrong usage (a ConfigError, like what typer rejects), 1 for any other error, 128 plus the number of a signal
    that stopped it.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # __main__ has set it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kwargs.get("quiet"):
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # huggingface_hub has no other way for all of its bars
        _renamed.clear()
        _renamed.update(renamed_flags(command))
        try:
            check_ranges(kwargs)
            command(*args, **kwargs)
            sys.stdout.flush()
        except MinigptError as error:
            config = kwargs.get("config")
            sources = [config.blamed(error.settings, kwargs) if isinstance(config, ConfigFile) else ""]
            sources.append(blamed(error.settings, kwargs))
            complain(command.__name__.replace("_", "-"), "\n".join([error.message, *filter(None, sources)]))
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from error
        except BrokenPipeError:
            _write_nowhere()  # nobody reads on
        except OSError as error:
            complain_of(error, command.__name__.replace("_", "-"))
            raise typer.Exit(1) from error
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            complain(
                command.__name__.replace("_", "-"),
                "This needs more memory than the machine has.\nA smaller --batch-size, --context or model helps.",
                everywhere=True,
            )
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None

    return run


def complain_of(error: OSError, command: str | None = None) -> None:
    """Print the error of a file; without a name it is standard output, for example a full disk behind > FILE."""
    if error.filename is None:
        _write_nowhere()
    what = "standard output cannot be written" if error.filename is None else str(error.filename)
    try:
        complain(command, f"{what}: {error.strerror}.")
    except OSError:  # the terminal is gone, and with it whoever would read this
        leave_terminal()


def _write_nowhere() -> None:
    """Redirect standard output to nowhere, because Python flushes it once more on exit and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave_terminal() -> None:
    """Write nowhere from now on, because the terminal is gone and Python would otherwise fail on exit with another
    code.
    """
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_memory(error: Exception) -> bool:
    """Whether an error means out of memory.

    torch's allocators raise RuntimeError, or a subclass on an accelerator; oneDNN only says what it could not do.
    """
    signs = ("allocate memory", "out of memory", "ALLOC_FAILED")  # the last by cuBLAS and cuDNN
    return isinstance(error, MemoryError) or any(words in str(error) for words in signs) or _is_onednn(error)


def _is_onednn(error: Exception) -> bool:
    return re.match("could not (create|execute) an? (memory|primitive|stream|engine)", str(error)) is not None


def complain(command: str | None, message: str, *, everywhere: bool = False) -> None:
    """Print `minigpt COMMAND: message` on standard error, without COMMAND before one is known.

    Of several processes the first prints it, or each with `everywhere`.
    """
    console = stderr()
    console.quiet = console.quiet and not everywhere
    say(console, bounded(f"minigpt{f' {command}' if command else ''}: {in_flags(message)}"))


def note(message: str, *, quiet: bool = False) -> None:
    """Print a sentence on standard error about what was done differently from what was asked."""
    if not quiet:
        say(stderr(), bounded(f"note: {in_flags(message)}"))


def in_flags(message: str) -> str:
    """`message` with its settings spelled as the flags of the running command."""
    return spelled(message, spelling(_renamed))


def say(console: Console, message: str) -> None:
    """Print a sentence: wrapped in a terminal, each line with the margin of the first; one line elsewhere."""
    text = Text(safe_text(message))
    if console.is_terminal:
        margin = len(message) - len(message.lstrip(" "))
        lines = Text(text.plain[margin:]).wrap(console, max(1, console.width - margin))
        text = Text("\n").join(Text(" " * margin).append_text(line) for line in lines)
    console.print(text, soft_wrap=True)


class _Console(Console):
    """A console that leaves a closed pipe to `guarded`; rich would end the program with an error."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Unfailing:
    """A standard error whose failed writes, for example on a full disk, are retried with the next one.

    A closed pipe is still reported.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

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


def release_stderr() -> None:
    """Detach a standard error that fails: Python flushes it on exit, and would change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def stdout() -> Console:
    """The console for results; colour and redraws only in a terminal. Of several processes, only the first prints."""
    return _Console(file=sys.stdout, highlight=False, markup=False, emoji=False, quiet=bool(launched_rank()))


def colours(console: Console) -> bool:
    """Whether standard output shows colours."""
    return console.color_system is not None and not console.no_color


def stderr() -> Console:
    """The console for progress, notes and errors."""
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # while a display redraws
    file = cast("IO[str]", _Unfailing(stream))
    return _Console(file=file, highlight=False, markup=False, emoji=False, quiet=bool(launched_rank()))


@contextmanager
def signals_raise() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP end the program as Ctrl-C does, with all clean-up."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopSignals:
    """While entered, Ctrl-C, SIGTERM and SIGHUP are recorded rather than obeyed; a second one is obeyed.

    A signal that is ignored, as under nohup, stays ignored.
    """

    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, signal.Handlers] = {}

    def __call__(self) -> bool:
        return self.received is not None

    def __enter__(self) -> "StopSignals":
        for number in (getattr(signal, name) for name in self._NAMES if hasattr(signal, name)):
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                self._before[number] = before  # type: ignore[assignment]
                signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            with suppress(OSError):
                if os.isatty(2):
                    os.write(2, b"\x1b[?25h")  # the cursor, which a live display hides
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
