"""Runs every command: errors become one clear line, a closed pipe ends quietly, and Ctrl-C exits with 130."""

import gc
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from minigpt.cli.config_file import blamed
from minigpt.cli.console import complain, running
from minigpt.cli.signals import write_nowhere
from minigpt.errors import ConfigError, MinigptError


@contextmanager
def guarded(name: str, renamed: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[None]:
    """Run a command so that it ends with an exit code, without a traceback for errors that are not bugs.

    2 for wrong usage (a ConfigError, like what typer rejects), 1 for any other error, 128 plus the number of a signal
    that stopped it. `values` are those of its flags; `renamed`: see `Running`.
    """
    gc.enable()  # which __main__ has disabled
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # __main__ has set it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    running.name, running.renamed, running.quiet = name, renamed, bool(values.get("quiet"))
    if running.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # huggingface_hub has no other way for all of its bars
    try:
        yield
        sys.stdout.flush()
    except MinigptError as error:
        complain("\n".join([error.message, *blamed(error.settings, values)]))
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from error
    except BrokenPipeError:
        write_nowhere(sys.stdout)  # nobody reads on
    except OSError as error:
        complain_of(error)
        raise typer.Exit(1) from error
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        advice = "A smaller --batch-size, --context or model helps."
        complain(f"This needs more memory than the machine has.\n{advice}", everywhere=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    finally:
        running.name, running.renamed, running.quiet = "", {}, False


@contextmanager
def importing() -> Iterator[None]:
    """Let Ctrl-C end the process at once, as before a command began, while torch is imported.

    torch imports NumPy from C, and goes on with half of it if that is interrupted by an exception.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def complain_of(error: OSError) -> None:
    """Print the error of a file; without a name it is standard output, for example a full disk behind > FILE."""
    if error.filename is None:
        write_nowhere(sys.stdout)
    what = "standard output cannot be written" if error.filename is None else str(error.filename)
    try:
        complain(f"{what}: {error.strerror}.")
    except OSError:  # the terminal is gone, and with it whoever would read this
        write_nowhere(sys.stdout, sys.stderr)


def _is_memory(error: Exception) -> bool:
    """Whether an error means out of memory.

    torch's allocators raise RuntimeError, or a subclass on an accelerator; oneDNN only says what it could not do.
    """
    signs = ("allocate memory", "out of memory", "ALLOC_FAILED")  # the last by cuBLAS and cuDNN
    onednn = "could not (create|execute) an? (memory|primitive|stream|engine)"
    return (
        isinstance(error, MemoryError)
        or any(sign in str(error) for sign in signs)
        or bool(re.match(onednn, str(error)))
    )
