"""Reads what torch.save wrote without unpickling it: the plain values, and each tensor on demand.

The file is a zip archive, which holds a pickle, data.pkl, and the numbers of each storage in a file of their own. It is
untrusted: no more memory is allocated than the size of the file allows, and nothing is decompressed.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigpt.checkpoint.files import check_given_file, reading
from minigpt.checkpoint.pickled import DICT, LARGEST, Call, read_pickle
from minigpt.checkpoint.tensors import STORED, StoredTensor
from minigpt.errors import CheckpointError, brief, escaped

ARCHIVE = b"PK\x03\x04"  # with which the file begins
_LARGEST_READ = 1 << 22  # bytes at once: GPT-2 XL's list of files, with its optimizer's, has some 300 thousand

_STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
# Single numbers and paths beside the tensors, which nothing here asks for.
_ASIDE = (
    *(f"torch.{name}" for name in ("device", "Size", "float64", "float32", "float16", "bfloat16")),
    *(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")),
    *("numpy.dtype", "_codecs.encode"),
    *(f"pathlib.{name}Path" for name in ("Posix", "Windows", "_local.Posix", "_local.Windows")),
)
_ALLOWED = frozenset((DICT, _TENSOR, _PARAMETER, *_STORAGES, *_ASIDE))


class _Bounded(BufferedReader):
    """A file from which zipfile reads no more at once than is allowed, whatever sizes stand in it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_READ:
            raise zipfile.BadZipFile("its list of files is too long")
        return super().read(size)


@dataclass(frozen=True)
class TorchFile:
    """An open file of `size` bytes. `root` is the folder in the archive that holds everything."""

    path: Path
    archive: zipfile.ZipFile
    root: str
    size: int

    def value(self) -> Any:
        """What was saved, as `read_pickle` has it: a tensor is a Call."""
        return read_pickle(bytes(self.content("data.pkl", LARGEST)), str(self.path), _ALLOWED)

    def tensor(self, value: Any, name: str) -> StoredTensor:
        """A tensor in `value`; `name` is for messages. Raises CheckpointError if it is none, or does not fit."""
        if isinstance(value, Call) and value.function == _PARAMETER:
            value = next(iter(value.arguments), None)
        try:
            if value.function != _TENSOR:
                raise TypeError("a call of something else")
            storage, offset, shape, strides, *_ = value.arguments
            _, kind, key, _, numbers = storage.key
            dtype, lengths = _STORAGES[kind.name], (offset, numbers, *shape, *strides)
            if (
                type(key) is not str
                or not all(type(length) is int and length >= 0 for length in lengths)
                or len(shape) != len(strides)
            ):
                raise ValueError("not a shape")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path}: {name} is not a tensor of numbers.") from error
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if math.prod(shape) > numbers or (math.prod(shape) and last >= numbers):
            raise self._damaged(f"{name} has more numbers than are stored")
        place = _Numbers(self, f"data/{key}", numbers, dtype, offset, tuple(shape), tuple(strides), name)
        return StoredTensor(place, name, tuple(shape), dtype)

    def content(self, name: str, most: int) -> bytearray:
        """A file in the archive, of at most `most` bytes. Raises CheckpointError."""
        called = brief(escaped(name))
        try:
            entry = self.archive.getinfo(self.root + name)
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise self._damaged(f"{called} in it is compressed, or encrypted")
            if entry.file_size > most or entry.header_offset + entry.file_size > self.size:
                raise self._damaged(f"{called} in it would have {entry.file_size:,} bytes")
            data = bytearray()
            with self.archive.open(entry) as file:
                while part := file.read(_LARGEST_READ // 2):
                    data += part
            return data
        except KeyError as error:
            raise self._damaged(f"{called} is missing in it") from error
        except _ZIP_ERRORS as error:
            raise self._damaged(brief(escaped(str(error)))) from error

    def _damaged(self, reason: str) -> CheckpointError:
        return _damaged(self.path, reason)


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """The file, while entered. Raises CheckpointError."""
    check_given_file(path)
    with reading(path), _Bounded(open(path, "rb", buffering=0)) as file:
        try:
            archive = zipfile.ZipFile(file)
            names = archive.namelist()
        except _ZIP_ERRORS as error:
            raise _damaged(path, brief(escaped(str(error)))) from error
        root = next((name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")), "")
        opened = TorchFile(path, archive, root, path.stat().st_size)
        if f"{root}byteorder" in names and opened.content("byteorder", 10) != b"little":
            raise CheckpointError(f"{path} was written by a big-endian machine, whose numbers are not read.")
        yield opened


_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class _Numbers:
    """Where the numbers of a tensor are: in an `entry` of so many, from `offset` on, `strides` apart."""

    file: TorchFile
    entry: str
    numbers: int
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    name: str = field(compare=False)  # for messages

    def read(self) -> np.ndarray:
        dtype = STORED[self.dtype]
        wanted = self.numbers * dtype.itemsize
        data = self.file.content(self.entry, wanted)
        if len(data) < wanted:
            raise _damaged(self.file.path, f"{self.name} has fewer bytes than it needs")
        axes = zip(self.shape, self.strides, strict=True)
        steps = [dtype.itemsize * stride if length > 1 else 0 for length, stride in axes]
        return as_strided(np.frombuffer(data, dtype)[self.offset :], self.shape, steps)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged, or torch.save did not write it ({reason}).")
