"""Signals while a command works, and standard streams whose other ends are closed or full.

Ctrl-C, SIGTERM and SIGHUP are handled; a signal that is ignored, as under nohup, stays ignored.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Any


@contextmanager
def signals_raise() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP end the program as Ctrl-C does, with all clean-up."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handled(leave, ("SIGTERM", "SIGHUP"), lambda before: before == signal.SIG_DFL):
        yield


class StopSignals:
    """The first of the signals `received`; see `stop_signals`."""

    received: int | None = None

    def __call__(self) -> bool:
        return self.received is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Record a signal; obey the second one."""
        if self.received is not None:
            with suppress(OSError):
                if os.isatty(2):
                    os.write(2, b"\x1b[?25h")  # the cursor, which a live display hides
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """While entered, Ctrl-C, SIGTERM and SIGHUP are recorded rather than obeyed; a second one is obeyed."""
    stopped = StopSignals()
    with _handled(stopped.receive, ("SIGINT", "SIGTERM", "SIGHUP"), lambda before: before != signal.SIG_IGN):
        yield stopped


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], Any], names: tuple[str, ...], replaces: Callable[[Any], bool]
) -> Iterator[None]:
    """While entered, `handler` receives those signals whose earlier handler it `replaces`."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    replaced = {number: before for number in numbers if replaces(before := signal.getsignal(number))}
    for number in replaced:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in replaced.items():
            signal.signal(number, before)


def write_nowhere(*streams: IO[str]) -> None:
    """Nothing reaches `streams` from now on. Python flushes them on exit, and would end with another code."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def release_stderr() -> None:
    """Detach a standard error that fails."""
    try:
        sys.stderr.flush()
    except OSError:
        write_nowhere(sys.stderr)
