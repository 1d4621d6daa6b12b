"""The tokenizers library is written in Rust: its panics reach Python as a BaseException, with a trace on descriptor 2.

Here they become an ordinary error, and the trace goes nowhere.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO

_STANDARD_ERROR = 2
_one_at_a_time = Lock()  # descriptor 2 is the process's


class Panic(Exception):
    """The library broke down over what it was given; `str` is what it said."""


@contextmanager
def panics_raised() -> Iterator[None]:
    """Raise Panic in place of the library's own exception; Ctrl-C and an exit pass through."""
    try:
        yield
    except BaseException as error:
        if _is_panic(error):
            raise Panic(str(error)) from None
        raise


@contextmanager
def quiet_panics() -> Iterator[None]:
    """As `panics_raised`, and without the trace; what else goes to standard error meanwhile comes after the block.

    For short work only: a display of another thread stands still.
    """
    with _one_at_a_time, _held_back(), panics_raised():
        yield


def _is_panic(error: BaseException) -> bool:
    return type(error).__module__ == "pyo3_runtime" and not isinstance(error, Exception)  # it cannot be imported


@contextmanager
def _held_back() -> Iterator[None]:
    """Standard error goes into a file, and from there to its place at the end, unless that is a Panic."""
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
