"""Bytes as stored, and the file name they came under, in; the bytes inside and the inner file name out."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from pathlib import PurePath

from minigpt.errors import CorpusError
from minigpt.text.wording import needs_extra


def decompress_zst(data: bytes) -> bytes:
    """All frames of `data`. Raises ImportError where nothing here reads zstd, ValueError where the data are damaged."""
    if sys.version_info >= (3, 14):
        from compression import zstd

        try:
            return zstd.decompress(data)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from error
    return _decompress_with_zstandard(data)


def _decompress_with_zstandard(data: bytes) -> bytes:
    import zstandard

    frames = []
    while data:
        # The package's one-call readers return a truncated frame as if it were whole; only this object tells.
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            frames.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if not frame.eof:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        data = frame.unused_data
    return b"".join(frames)


DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": decompress_zst,
}


def is_compressed(path: str) -> bool:
    return PurePath(path).suffix.lower() in DECOMPRESSORS


def inner_path(path: str) -> str:
    """`path` without its compression suffixes: notes.txt for notes.txt.gz."""
    while is_compressed(path):
        path = path[: -len(PurePath(path).suffix)]
    return path


def decompress(data: bytes, path: str, name: str) -> bytes:
    """`data` with every compression that the suffixes of `path` speak of undone; `name` is for the message."""
    while is_compressed(path):
        suffix = PurePath(path).suffix
        try:
            data = DECOMPRESSORS[suffix.lower()](data)
        except ImportError as error:
            raise needs_extra(name, "the package zstandard", "zstd") from error
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise CorpusError(
                f"{name} is damaged or not a {suffix} file: {error}.\nFetch or compress it again."
            ) from error
        path = path[: -len(suffix)]
    return data
