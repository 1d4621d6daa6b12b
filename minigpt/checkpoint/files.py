"""Bytes in, a file on disk out: whole and synced, or not there at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from minigpt.errors import CheckpointError, OutputError

TEMPORARY = ".*tmp*"  # the names that a kill may leave behind: ours below, and safetensors' own .tmpXXXXXX


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and move it into place.

    Killed at any moment, `path` holds the old contents or the new ones. Raises OutputError, with nothing left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.chmod(temporary, 0o666 & ~_umask())  # safetensors would let nobody else read it
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise OutputError(f"{path} cannot be written: {reason}. What was saved before is untouched.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """What is taken from the rights of new files; it can only be read by setting it."""
    os.umask(mask := os.umask(0))
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises CheckpointError if it cannot be read or is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object.")
    return value
