"""Finds the files behind an argument (file, directory, glob, URL or -), each with a way to read its bytes."""

import hashlib
import os
import re
import shlex
import shutil
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path, PurePath
from tempfile import SpooledTemporaryFile, TemporaryDirectory
from typing import IO, Any

from minigpt.errors import CorpusError, escaped, needs_extra
from minigpt.text.blocks import Progress, no_progress
from minigpt.text.compression import inner_path, loaded

WEB = ("http://", "https://")
URL_EXTRAS = {
    "http": ("aiohttp and requests", "https"),
    "https": ("aiohttp and requests", "https"),
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
}
# What the libraries behind fsspec raise when a connection fails, where it is neither an OSError nor a ValueError.
REMOTE_ERRORS = (
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("zipfile", "BadZipFile"),
)
_CHUNK = 1 << 18  # bytes read at once; compressed ones may become ten times as many
_IN_MEMORY = 1 << 24  # bytes: what can be read only once and is larger goes to a temporary file


@dataclass(frozen=True)
class File:
    """A source of bytes that can be read repeatedly. `name` is for people, `path` carries the suffixes.

    Files with the same `key` are the same file. `open` returns a seekable stream.
    """

    name: str
    path: str
    key: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]

    def read(self) -> bytes:
        with Stored(self) as stored:
            return b"".join(stored)


class Stored:
    """One pass over the stored bytes of a file, which hashes and counts them; the file is open inside `with`."""

    def __init__(self, file: File, progress: Progress = no_progress) -> None:
        self._file, self._progress, self._hash = file, progress, hashlib.sha256()
        self._open = ExitStack()
        self.size = 0

    def __enter__(self) -> "Stored":
        with corpus_errors(self._file.name):
            self._stream = self._open.enter_context(self._file.open())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __iter__(self) -> Iterator[bytes]:
        with corpus_errors(self._file.name):
            while chunk := self._stream.read(_CHUNK):
                self._hash.update(chunk)
                self.size += len(chunk)
                self._progress(len(chunk))
                yield chunk

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def fetched_once(fetch: Callable[[], IO[bytes]]) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    """A `File.open` for what can be fetched only once, as a seekable stream."""

    @cache
    def fetched() -> IO[bytes]:
        stream = fetch()
        weakref.finalize(from_the_start, stream.close)
        return stream

    def from_the_start() -> AbstractContextManager[IO[bytes]]:
        fetched().seek(0)
        return nullcontext(fetched())

    return from_the_start


def copied(stream: IO[bytes]) -> IO[bytes]:
    """All of `stream`, in memory while it is small."""
    copy = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it is read again and again
    shutil.copyfileobj(stream, copy, _CHUNK)
    return copy


@dataclass(frozen=True)
class Place:
    """What one argument names: a file, or the files found in a directory or by a glob.

    `label` is its name in one word; `skipped` names the entries that are not regular files.
    """

    name: str
    label: str
    files: tuple[File, ...]
    named: bool = False
    skipped: tuple[str, ...] = ()


def find(argument: str) -> Place:
    """The files that `argument` names, in sorted order. Nothing is read yet, so a file may turn out to be missing."""
    if argument == "-":
        stdin = File("standard input", "", "-", fetched_once(standard_input))
        return Place(stdin.name, "stdin", (stdin,), named=True)
    if "://" in argument and not os.path.lexists(argument):
        return find_by_url(argument)
    return find_local(argument)


# --- this machine


def find_local(path: str) -> Place:
    if os.path.isdir(path):
        return local_place(path, os.path.basename(os.path.abspath(path)), walk(path))
    # A file called notes[1].txt is that file, not a pattern; a missing file without * ? [ is reported on reading.
    if os.path.lexists(path) or not has_magic(path):
        return Place(escaped(path), stem(path), (local_file(path),), named=True)
    return find_by_glob(path)


def local_place(name: str, label: str, entries: Iterable[Path]) -> Place:
    with corpus_errors(escaped(name)):
        ordered = sorted(set(entries))
        return Place(
            escaped(name),
            label,
            files=tuple(local_file(str(entry)) for entry in ordered if entry.is_file()),
            skipped=tuple(escaped(str(entry)) for entry in ordered if not entry.is_file()),
        )


def local_file(path: str) -> File:
    def opened() -> IO[bytes]:
        return open(path, "rb")

    def copy() -> IO[bytes]:
        with opened() as stream:
            return copied(stream)

    # A pipe can be read only once. A missing file is reported on opening.
    is_pipe = os.path.exists(path) and not os.path.isfile(path)
    return File(escaped(path), path, os.path.realpath(path), fetched_once(copy) if is_pipe else opened)


def walk(top: str | Path) -> Iterator[Path]:
    """The entries below `top` without hidden ones. Links to directories are not followed: they may lead anywhere."""
    for folder, folders, names in os.walk(top, onerror=raise_unreadable):
        folders[:] = [name for name in folders if not is_hidden(name)]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in (*names, *links) if not is_hidden(name))


def raise_unreadable(error: OSError) -> None:
    raise unreadable(escaped(str(error.filename)), error) from error


def find_by_glob(pattern: str) -> Place:
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if has_magic(part))
    base, rest = Path(*parts[:first]), parts[first:]
    try:
        matches = [match for match in base.glob("/".join(rest)) if may_match(match.relative_to(base), rest)]
    except ValueError as error:
        raise CorpusError(f"{escaped(pattern)} is not a glob: {error}.\nFor example: 'texts/**/*.txt'") from error
    if not matches:
        raise no_match(escaped(pattern))
    return local_place(pattern, os.path.basename(os.path.abspath(base)), chain.from_iterable(map(below, matches)))


def below(match: Path) -> Iterable[Path]:
    """The files in a directory that a glob matched; a link to one is not followed, as in `walk`."""
    return walk(match) if match.is_dir() and not match.is_symlink() else (match,)


def may_match(match: Path, pattern: tuple[str, ...]) -> bool:
    """Whether a glob, as in a shell, may match a hidden file: only if it spells out the dot."""
    return any(map(is_hidden, pattern)) or not any(map(is_hidden, match.parts))


def has_magic(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def is_hidden(name: str) -> bool:
    return name.startswith(".") and name != ".."


def standard_input() -> IO[bytes]:
    if sys.stdin is None:  # started with a closed descriptor, as by <&-
        raise CorpusError("standard input is closed.\nPipe a text in: cat notes.txt | minigpt train -")
    return copied(sys.stdin.buffer)


# --- by URL


def find_by_url(url: str) -> Place:
    from fsspec.implementations.local import LocalFileSystem

    filesystem, path = open_filesystem(url)
    if isinstance(filesystem, LocalFileSystem):
        return find_local(path)
    with corpus_errors(shown_url(url)):
        paths = remote_paths(filesystem, path)
    if paths is None:
        file = remote_file(filesystem, path, url)
        return Place(file.name, stem(file.path), (file,), named=True)
    if not paths:
        raise no_match(shown_url(url))
    container = "".join(url.partition("::")[1:])  # zip://*.txt::https://... names its archive after the ::
    files = (remote_file(filesystem, each, filesystem.unstrip_protocol(each) + container) for each in sorted(paths))
    return Place(shown_url(url), PurePath(before_magic(path)).name, tuple(files))


def open_filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for `url`, and the path inside it."""
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(url)
    except ImportError as error:
        for protocol in re.findall(r"(\w+)://", url):
            if protocol in URL_EXTRAS:
                packages, extra = URL_EXTRAS[protocol]
                raise needs_extra(f"{shown_url(url)} cannot be opened without {packages}", extra) from error
        raise CorpusError(f"{shown_url(url)} cannot be opened: {escaped(str(error))}.") from error
    except (ValueError, TypeError) as error:  # an unknown protocol, or a URL that lacks a part
        advice = "hf:// opens at once, https:// and s3:// with an extra, others with what fsspec asks for."
        raise CorpusError(f"{shown_url(url)} cannot be opened: {escaped(str(error))}.\n{advice}") from error
    except reading_errors() as error:
        raise unreadable(shown_url(url), error) from error
    return filesystem, path


def remote_paths(filesystem: Any, path: str) -> list[str] | None:
    """The files in the directory or under the glob `path`; None if it is a single file."""
    if path.startswith(WEB):  # there ? starts a query, and a page is not a directory
        return None
    if filesystem.isdir(path):
        found = filesystem.find(path)
        return [each for each in found if not any(map(is_hidden, each.removeprefix(path).split("/")))]
    if has_magic(path) and not filesystem.exists(path):
        filesystem.ls(before_magic(path))  # glob takes a failing connection for an empty folder; ls raises
        return [each for each, about in filesystem.glob(path, detail=True).items() if about["type"] == "file"]
    return None


def remote_file(filesystem: Any, path: str, url: str) -> File:
    key = f"{filesystem.to_json()} {path}"  # the arguments of a file system say which server or archive it reads
    return File(shown_url(url), without_query(path), key, fetched_once(partial(download, filesystem, path)))


def download(filesystem: Any, path: str) -> IO[bytes]:
    """Download to an anonymous temporary file: not all of fsspec's file systems can write to an open one."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        target = os.path.join(folder, "fetched")
        filesystem.get_file(path, target)
        return open(target, "rb")


def shown_url(url: str) -> str:
    """`url` for messages and for run.json: without a password or a signed query."""
    return escaped(without_query(re.sub(r"\b(https?|s?ftp|ssh)://[^/@]*@", r"\1://", url)))


def without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0] if url.startswith(WEB) else url


def before_magic(path: str) -> str:
    """The folder that a glob searches; a path that is not a glob, unchanged."""
    return re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0] if has_magic(path) else path


def stem(path: str) -> str:
    """The name of a file: tinyshakespeare for texts/tinyshakespeare.txt.gz."""
    return PurePath(inner_path(path)).stem


# --- errors


@contextmanager
def corpus_errors(name: str) -> Iterator[None]:
    """Raise a CorpusError in place of whatever reading `name` may raise."""
    try:
        yield
    except FileNotFoundError as error:
        raise CorpusError(
            f"{name} does not exist.\nGive a text file, a directory, a glob, a URL, or - for standard input."
        ) from error
    except reading_errors() as error:
        raise unreadable(name, error) from error


def reading_errors() -> tuple[type[Exception], ...]:
    return (OSError, ValueError, *loaded(REMOTE_ERRORS))


def unreadable(name: str, error: Exception) -> CorpusError:
    reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    advice = "Check the address and the connection." if "://" in name else f"To see more: ls -ld {shlex.quote(name)}"
    return CorpusError(f"{name} cannot be read: {escaped(reason).rstrip('.')}.\n{advice}")


def no_match(name: str) -> CorpusError:
    return CorpusError(f"{name} matches no file.\nFor the .txt files of a directory and all below it: 'texts/**/*.txt'")
