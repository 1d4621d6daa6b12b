"""Calls of the tokenizers library, which is written in Rust: they can be interrupted, and their panics are errors.

A panic reaches Python as a BaseException, with a trace on descriptor 2. Here it becomes an ordinary error, and the
trace is dropped. A long call runs in its own thread, so that signals are handled meanwhile.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO, TypeVar

T = TypeVar("T")
_SECONDS = 0.2  # between checks for signals, which the system may deliver to another thread


def interruptible(work: Callable[[Callable[[], bool]], T]) -> T:
    """Run `work` in a thread, so that signals are handled meanwhile; return or raise what it does.

    Python handles no signal while its main thread is inside a library, however long that takes. If a handler raises an
    exception, the waiting ends, and the function that `work` is called with returns True, so that it can stop.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    left = threading.Event()

    def run() -> None:
        try:
            results.append(work(left.is_set))
        except BaseException as error:  # the library's panics are no Exceptions
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)  # the program may end before it
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS)
    except BaseException:
        left.set()
        raise
    if errors:
        raise errors[0]
    return results[0]


_STANDARD_ERROR = 2
_one_at_a_time = Lock()  # descriptor 2 is the process's


class Panic(Exception):
    """The library panicked; `str` is its message."""


@contextmanager
def panics_raised() -> Iterator[None]:
    """Raise Panic in place of the library's own exception; Ctrl-C and exits pass through."""
    try:
        yield
    except BaseException as error:
        if _is_panic(error):
            raise Panic(str(error)) from None
        raise


@contextmanager
def quiet_panics() -> Iterator[None]:
    """Like `panics_raised`, without the trace; other output to standard error meanwhile appears after the block.

    For short work only: what other threads display waits for it.
    """
    with _one_at_a_time, _held_back(), panics_raised():
        yield


def _is_panic(error: BaseException) -> bool:
    return type(error).__module__ == "pyo3_runtime" and not isinstance(error, Exception)  # it cannot be imported


@contextmanager
def _held_back() -> Iterator[None]:
    """Redirect standard error to a file, and print it at the end, unless it is a Panic's."""
    try:
        place = os.dup(_STANDARD_ERROR)
    except OSError:  # it is closed
        place = os.open(os.devnull, os.O_WRONLY)
    is_panic = False
    with _file() as held:
        os.dup2(held.fileno(), _STANDARD_ERROR)
        try:
            yield
        except Panic:
            is_panic = True
            raise
        finally:
            os.dup2(place, _STANDARD_ERROR)
            os.close(place)
            if not is_panic:
                held.seek(0)
                with suppress(OSError):  # whoever would read this is gone
                    os.write(_STANDARD_ERROR, held.read())


def _file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # there is no room
        return open(os.devnull, "r+b")
