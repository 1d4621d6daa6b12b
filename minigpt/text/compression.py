"""Decompresses files as streams of bytes, and finds the name of the file inside."""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any

from minigpt.errors import CorpusError, needs_extra
from minigpt.text.findings import Findings

_MOST = 1 << 18  # bytes that come out at once, about
_LARGEST_WINDOW = 31  # its logarithm: what `zstd --long=31` asks for, of which no more is used than a file fills
_FEW = 64  # bytes passed to zstandard at once: it has no output limit, and expands four of them to at most 128 kB


class _Gzip:
    """zlib's stream, with the attribute names of the other decompressors."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, most)

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data


class _Zstandard:
    """A stream of the package zstandard, with the attribute names of the other decompressors."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, memoryview(b"")

    def decompress(self, data: bytes, most: int) -> bytes:
        self._rest = memoryview(bytes(self._rest) + data) if data else self._rest
        parts, size = list[bytes](), 0
        while self._rest and size < most and not self._stream.eof:
            parts.append(self._stream.decompress(self._rest[:_FEW]))
            self._rest, size = self._rest[_FEW:], size + len(parts[-1])
        return b"".join(parts)

    @property
    def needs_input(self) -> bool:
        return not self._rest

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data + self._rest)


def zst_decompressor() -> Any:
    """Raises ImportError if nothing installed reads zstd."""
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW})
    import zstandard

    return _Zstandard(zstandard.ZstdDecompressor(max_window_size=1 << _LARGEST_WINDOW).decompressobj())


_ZSTD_ERRORS = (("zstandard", "ZstdError"), ("compression.zstd", "ZstdError"))
# Each makes an object for one stream: .decompress(bytes, most), .needs_input once nothing more comes of them, .eof, and
# .unused_data, where the next stream begins.
DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    ".gz": _Gzip,
    ".bz2": bz2.BZ2Decompressor,
    ".xz": lzma.LZMADecompressor,
    ".zst": zst_decompressor,
}
# The first bytes of a stream. gzip and bzip2 (_TOLERANT) ignore other bytes after its end; xz refuses such a file.
_MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0"}
_TOLERANT = (".gz", ".bz2")


def is_compressed(path: str) -> bool:
    return PurePath(path).suffix.lower() in DECOMPRESSORS


def inner_path(path: str) -> str:
    """`path` without its compression suffixes: notes.txt for notes.txt.gz."""
    while is_compressed(path):
        path = path[: -len(PurePath(path).suffix)]
    return path


def decompress(chunks: Iterable[bytes], path: str, name: str, found: Findings | None = None) -> Iterator[bytes]:
    """Undo every compression that the suffixes of `path` name; `name` appears in messages.

    Bytes after the end of a gzip or bzip2 stream that begin no other are ignored, as their own tools do, and counted in
    `found`; those of xz and zstd refuse such a file.
    """
    found = Findings() if found is None else found
    while is_compressed(path):
        suffix = PurePath(path).suffix
        chunks = _decompress_one(chunks, suffix, name, found)
        path = path[: -len(suffix)]
    return iter(chunks)


def _decompress_one(chunks: Iterable[bytes], suffix: str, name: str, found: Findings) -> Iterator[bytes]:
    kind = suffix.lower()
    try:
        yield from _streams(chunks, kind, found)
    except ImportError as error:
        raise needs_extra(f"{name} cannot be opened without the package zstandard", "zstd") from error
    except reading_errors() as error:
        raise CorpusError(f"{name} is damaged or not a {suffix} file: {error}.\nFetch or compress it again.") from error


def reading_errors() -> tuple[type[Exception], ...]:
    """The errors that the libraries raise for damaged data."""
    return (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, *loaded(_ZSTD_ERRORS))


def loaded(errors: Iterable[tuple[str, str]]) -> tuple[type[Exception], ...]:
    """Those `errors`, each a module and a name in it, whose modules are loaded."""
    return tuple(getattr(sys.modules[module], name) for module, name in errors if module in sys.modules)


def _streams(chunks: Iterable[bytes], kind: str, found: Findings) -> Iterator[bytes]:
    """Decompress one stream after another, as pigz, zstd and cat produce them; zeros in between are padding.

    A few bytes may expand to gigabytes, so they come out in pieces, one of which is in memory. After the first stream,
    bytes that begin no other are counted, and nothing else is read.
    """
    new, magic = DECOMPRESSORS[kind], _MAGIC.get(kind, b"")
    stream, rest, is_first = None, iter(chunks), True
    for chunk in rest:
        while chunk:
            if stream is None:
                chunk = chunk.lstrip(b"\0")
                while not is_first and 0 < len(chunk) < len(magic) and (more := next(rest, b"")):
                    chunk += more
                if not is_first and not chunk.startswith(magic[: len(chunk)]):
                    if kind not in _TOLERANT:
                        raise ValueError("other bytes follow its end")
                    found.trailing += len(chunk) + sum(map(len, rest))
                    return
                if not chunk:
                    break
                stream, is_first = new(), False
            yield stream.decompress(chunk, _MOST)
            while not (stream.eof or stream.needs_input):
                yield stream.decompress(b"", _MOST)
            chunk = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")
