"""The standard streams of a process whose other ends are closed or full."""

import os
import sys
from typing import IO


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
