"""Writes files atomically and synced, and reads files as untrusted input."""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minigpt.errors import CheckpointError, OutputError
from minigpt.records import read_object
from minigpt.settings import MODELS

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"  # of a model
DESCRIPTION = "tokenizer_config.json"  # of its tokenizer, beside the vocabulary
LARGEST_CONFIG = 1 << 24  # bytes of a config.json
GENERATION = "generation_config.json"  # how it is sampled from
INDEX = "model.safetensors.index.json"  # where the weights are in several files
# The names of files that a kill may leave behind: ours below, and safetensors' own.
TEMPORARY = (".*.[0-9]*.tmp", ".tmp??????")

_STANDARD = {"gpt2": "gpt", "marian": "transformer"}  # model_type in config.json, and the kind of model
MODEL_TYPES = _STANDARD | {f"minigpt-{model}": model for model in MODELS if model not in _STANDARD.values()}


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn the system's errors, while this is entered, into CheckpointErrors about `path`."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def writing(what: Path | str, done: str = "written") -> Iterator[None]:
    """Turn the system's errors, while this is entered, into OutputErrors: `what` cannot be `done`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{what} cannot be {done}: {error.strerror or error}.") from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and move it into place.

    Even if killed at any moment, `path` holds either the old contents or the new. Raises OutputError, and leaves
    nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.chmod(temporary, 0o666 & ~_umask())  # safetensors would let nobody else read it
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_names(path.parent)
    except _write_errors() as error:
        message = f"{path} cannot be written: {_reason(error)}. What was saved before is untouched."
        raise OutputError(message) from error
    finally:
        with suppress(OSError):  # a disk that is read-only refuses even what is not there
            temporary.unlink(missing_ok=True)


def _write_errors() -> tuple[type[Exception], ...]:
    """The errors of writing, looked up only after a failure, so that safetensors need not be loaded before."""
    from safetensors import SafetensorError

    return OSError, SafetensorError


def _reason(error: Exception) -> str:
    """The system's reason. NumPy reports only how much was written, and safetensors the name of its temporary file."""
    if isinstance(error, OSError):
        return error.strerror or f"{error} (is the disk full?)"
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else str(error)


def _sync_names(folder: Path) -> None:
    """Sync a folder, so that renames survive a power failure. Not every system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """The permissions taken from new files; the umask can only be read by setting it."""
    os.umask(mask := os.umask(0))
    return mask


def locked(path: Path, otherwise: str, *, surely: bool = False) -> int:
    """Open `path` and lock it for this process until the descriptor is closed or the process ends.

    Raises OutputError, with the message `otherwise`, while another process holds the lock. On systems without locks
    this succeeds, unless it has to be `surely` locked.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        if surely or getattr(error, "errno", None) in (errno.EACCES, errno.EAGAIN):
            os.close(descriptor)
            raise OutputError(otherwise) from error
    return descriptor


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are rejected."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_file(path: Path, most: int | None = None) -> None:
    """Raise CheckpointError unless `path` is a regular file of at most `most` bytes.

    Checkpoints are treated as untrusted input: a device or a pipe could block forever, and a link could lead out of the
    folder. Only links from a snapshot in the Hub's cache to a file of the same repository are followed.
    """
    with reading(path):
        status = path.stat() if _leads_to_own_blob(path) else path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CheckpointError(f"{path} cannot be read: it is a symbolic link. Put the file itself there.")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} cannot be read: it is a folder or a special file.")
    if most is not None and status.st_size > most:
        raise CheckpointError(f"{path} has {status.st_size:,} bytes; more than {most:,} are not read.")


def check_given_file(path: Path, most: int | None = None) -> None:
    """Like `check_file`, for a file that the user names, which may be a link."""
    check_file(Path(os.path.realpath(path)) if path.is_symlink() else path, most)


def _leads_to_own_blob(path: Path) -> bool:
    """Whether a link leads from REPOSITORY/snapshots/COMMIT/path to REPOSITORY/blobs/HASH, as in the Hub's cache."""
    if not path.is_symlink():
        return False
    commit = Path(os.path.realpath(path.parent))
    blob = Path(os.path.normpath(commit / os.readlink(path)))
    blobs = commit.parent.parent / "blobs"
    return commit.parent.name == "snapshots" and blob.parent == blobs and not (blob.is_symlink() or blobs.is_symlink())


def starts_with(path: Path, magic: bytes) -> bool:
    """Whether `path` is a file with these first bytes."""
    if not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        return file.read(len(magic)) == magic


def read_json_object(path: Path, most: int | None = None) -> dict[str, Any]:
    """The JSON object in `path`, of at most `most` bytes. Raises CheckpointError if there is none or it cannot be read.

    NaN and infinity are accepted, because Python's own writer and other programs produce them.
    """
    check_file(path, most)
    return read_object(path, float)


def read_own_json(path: Path) -> dict[str, Any]:
    """Like `read_json_object`, for a file of ours, without NaN, infinity or lone surrogates, as it is written again."""
    check_file(path)
    values = read_object(path)
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{path} is damaged: it contains a text with half a character in it.") from error
    return values


def sha256_of(paths: Sequence[Path]) -> str:
    """The SHA-256 of a file in hexadecimal; for several files, the hash of their hashes. Raises CheckpointError."""
    hashes = []
    for path in paths:
        with reading(path), path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def storable(path: str | Path) -> str:
    """`path` as JSON can hold it, with bytes that are not UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
