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
    """Run `command` so that it ends with an exit code and never with a traceback for what is not our mistake.

    2 for wrong usage (a ConfigError, as for what typer refuses), 1 for any other error, 128 and the signal's number for
    one that stopped it.
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
    """Say which file it is about: without a name it is standard output, such as a full disk behind > FILE."""
    if error.filename is None:
        _write_nowhere()
    what = "standard output cannot be written" if error.filename is None else str(error.filename)
    try:
        complain(command, f"{what}: {error.strerror}.")
    except OSError:  # the terminal is gone, and with it whoever would read this
        leave_terminal()


def _write_nowhere() -> None:
    """Python flushes standard output once more at its end, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave_terminal() -> None:
    """Write nowhere from now on, as the terminal is gone; Python, too, would fail at its end, and with another code."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_memory(error: Exception) -> bool:
    """torch's allocators raise RuntimeError, and a child of it on an accelerator; oneDNN only says what it could not
    do.
    """
    told = ("allocate memory", "out of memory", "ALLOC_FAILED")  # the last by cuBLAS and cuDNN
    return isinstance(error, MemoryError) or any(words in str(error) for words in told) or _is_onednn(error)


def _is_onednn(error: Exception) -> bool:
    return re.match("could not (create|execute) an? (memory|primitive|stream|engine)", str(error)) is not None


def complain(command: str | None, message: str, *, everywhere: bool = False) -> None:
    """`minigpt COMMAND: message` on standard error, without a COMMAND where there is none yet.

    Of several processes the first one says it, or each `everywhere`. A MinigptError is one of all of them, or of the
    first.
    """
    console = stderr()
    console.quiet = console.quiet and not everywhere
    say(console, bounded(f"minigpt{f' {command}' if command else ''}: {in_flags(message)}"))


def note(message: str, *, quiet: bool = False) -> None:
    """A sentence on standard error about what was done differently from what was asked."""
    if not quiet:
        say(stderr(), bounded(f"note: {in_flags(message)}"))


def in_flags(message: str) -> str:
    """`message` with the settings that it names as the flags of the command that runs."""
    return spelled(message, spelling(_renamed))


def say(console: Console, message: str) -> None:
    """A sentence: broken between words in a terminal, each line with the margin of the first; one line elsewhere."""
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
    """Standard error, but what cannot be written there, as where the disk behind it is full, ends nothing: it is tried
    again with what comes next. A closed pipe is told.
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
    """Python flushes standard error once more at its end; where that cannot be, it would end with a code of its own."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def stdout() -> Console:
    """For results; colour and redraws only in a terminal. Of several processes, only the first one shows any."""
    return _Console(file=sys.stdout, highlight=False, markup=False, emoji=False, quiet=bool(launched_rank()))


def colours(console: Console) -> bool:
    """Whether it shows any."""
    return console.color_system is not None and not console.no_color


def stderr() -> Console:
    """For progress, notes and errors."""
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # while a display redraws
    file = cast("IO[str]", _Unfailing(stream))
    return _Console(file=file, highlight=False, markup=False, emoji=False, quiet=bool(launched_rank()))


@contextmanager
def signals_raise() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP end the program as Ctrl-C does: on the way out, things are tidied up."""
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
    """While entered, Ctrl-C, SIGTERM and SIGHUP are remembered rather than obeyed; a second one is obeyed.

    A signal that was set to be ignored, as nohup does, stays ignored.
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
