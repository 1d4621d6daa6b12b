"""A folder's weights in safetensors, one file or several by an index, and the types of numbers that are stored.

The folder is untrusted input: a header's length and offsets are compared with the file's size before memory is
allocated for what they describe, and names in an index lead to no other folder.
"""

import math
import os
from dataclasses import dataclass
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from minigpt.checkpoint.files import CONFIG, INDEX, WEIGHTS, check_file, read_json_object, reading
from minigpt.errors import CheckpointError, brief, named
from minigpt.models.native import as_bfloat16, from_bfloat16

_LARGEST_HEADER = 1 << 24  # bytes; that of gpt2-xl has 70 thousand
_LARGEST_INDEX = 1 << 24

# What NumPy reads the bytes of a type as, by safetensors' names.
STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"), "F8_E4M3FNUZ": np.dtype("u1"), "F8_E5M2": np.dtype("u1"), "F8_E5M2FNUZ": np.dtype("u1"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip

# Bits of the exponent, its bias, and the first byte that is not a finite number: in the types FNUZ, the
# one that would be -0. Micikevicius et al., "FP8 Formats for Deep Learning", 2022, and Noune et al., "8-bit Numerical
# Formats for Deep Neural Networks", 2022.
_EIGHT_BITS = {
    "F8_E4M3": (4, 7, 0x7F),
    "F8_E4M3FNUZ": (4, 8, 0x80),
    "F8_E5M2": (5, 15, 0x7C),
    "F8_E5M2FNUZ": (5, 16, 0x80),
}


def is_floating_point(dtype: str) -> bool:
    """Whether the type is one of floating-point numbers."""
    return dtype in ("F64", "F32", "F16", "BF16") or dtype in _EIGHT_BITS


def widened(stored: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers of `stored`, bytes read as STORED has it: BF16 and the types of 8 bits as float32.

    All others are returned as they are, not copied.
    """
    if dtype == "BF16":
        return from_bfloat16(stored)
    return _values(dtype)[stored] if dtype in _EIGHT_BITS else stored


def rounded(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers, rounded to the nearest of the type, with ties to even, as `widened` has them."""
    if dtype in _EIGHT_BITS:
        return _rounded_to_eight_bits(numbers, dtype)
    with np.errstate(all="ignore"):
        if dtype != "BF16":
            return numbers.astype(STORED[dtype], copy=False)
        return from_bfloat16(as_bfloat16(numbers))


def _rounded_to_eight_bits(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """What is beyond the largest number becomes that one."""
    levels = _values(dtype)[: min(_EIGHT_BITS[dtype][2], 0x80)]
    halfway = (levels[1:] + levels[:-1]) / 2
    with np.errstate(all="ignore"):
        amounts = np.abs(numbers.astype(np.float32))
    below, above = (np.searchsorted(halfway, amounts, side) for side in ("left", "right"))
    nearest = levels[below + below % 2 * (above - below)]
    signed: np.ndarray = np.copysign(np.where(np.isnan(amounts), amounts, nearest), numbers)
    return signed


@cache
def _values(dtype: str) -> np.ndarray:
    """The numbers [256] in float32 that the bytes of a type of 8 bits stand for."""
    exponent_bits, bias, first = _EIGHT_BITS[dtype]
    fraction_bits = 7 - exponent_bits
    codes = np.arange(128)
    exponents, fractions = codes >> fraction_bits, codes & ((1 << fraction_bits) - 1)
    whole = np.where(exponents > 0, fractions + (1 << fraction_bits), fractions)
    positive = np.ldexp(whole.astype(np.float32), np.maximum(exponents, 1) - bias - fraction_bits)
    positive[first:] = np.nan
    if dtype == "F8_E5M2":
        positive[first] = np.inf
    values = np.concatenate([positive, -positive])
    if first == 0x80:
        values[first] = np.nan
    return values


class Numbers(Protocol):
    """Where the numbers of a tensor are."""

    def read(self) -> np.ndarray:
        """The numbers in the tensor's shape, as STORED has them."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of an open file: its shape and type, by safetensors' name, with its values read on demand."""

    numbers: Numbers
    name: str
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> np.ndarray:
        """The numbers: a read-only view of the file's pages where that is possible, and never to be written to.

        Numbers of bfloat16 and of 8 bits are widened to float32, each time; all others keep their type.
        """
        return widened(self.numbers.read(), self.dtype)

    def transposed(self) -> "StoredTensor":
        """The tensor with its axes in reverse."""
        return StoredTensor(_Transposed(self.numbers), self.name, self.shape[::-1], self.dtype)


@dataclass(frozen=True)
class _Transposed:
    numbers: Numbers

    def read(self) -> np.ndarray:
        return np.ascontiguousarray(self.numbers.read().T)


@dataclass(frozen=True)
class _Mapped:
    """Numbers in a file that is mapped into memory, from byte `start` on."""

    file: mmap
    start: int
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> np.ndarray:
        flat = np.frombuffer(self.file, STORED[self.dtype], math.prod(self.shape), self.start)
        return np.require(flat, requirements="A").reshape(self.shape)  # safetensors aligns nothing after int8


def open_tensors(folder: Path) -> tuple[dict[str, StoredTensor], Path]:
    """The tensors of `folder` by name, and the file that lists them. Raises CheckpointError.

    model.safetensors takes precedence over an index, as everywhere.
    """
    if not (folder / WEIGHTS).is_symlink() and not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        return _of_shards(folder), folder / INDEX
    return _open(folder / WEIGHTS), folder / WEIGHTS


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, with the index, or a GGUF file itself: the files for a fingerprint.

    Raises CheckpointError.
    """
    if folder.is_file():
        return [folder]
    if not (folder / INDEX).exists() or (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    return [folder / INDEX, *(folder / name for name in sorted(set(_weight_map(folder / INDEX).values())))]


def _of_shards(folder: Path) -> dict[str, StoredTensor]:
    """The tensors that the index lists, each read from the file that it names."""
    placed = _weight_map(folder / INDEX)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(placed.values())):
        for tensor, stored in _open(folder / name).items():
            if placed.get(tensor) != name:
                where = f"places in {placed[tensor]}" if tensor in placed else "does not name"
                raise CheckpointError(f"{folder / name} holds {brief(repr(tensor))}, which {INDEX} {where}.")
            found[tensor] = stored
    missing = sorted(set(placed) - set(found))
    if missing:
        raise CheckpointError(
            f"{folder / placed[missing[0]]} lacks {brief(repr(missing[0]))}, which {INDEX} places there."
        )
    return found


def _weight_map(path: Path) -> dict[str, str]:
    """The file of each tensor, which must be beside the index."""
    placed = read_json_object(path, _LARGEST_INDEX).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(f"{path} has no weight_map, which says which file holds which tensor.")
    for name in placed.values():
        if not isinstance(name, str) or not name.endswith(".safetensors") or Path(name).name != name or "\\" in name:
            raise CheckpointError(
                f"{path} names {brief(repr(name))}; what it may name is a .safetensors file in its own folder."
            )
    return placed


def _open(path: Path) -> dict[str, StoredTensor]:
    check_file(path)
    try:
        with reading(path), path.open("rb") as file:
            start = _data_start(file, path)
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
            with safe_open(path, framework="np") as checked:
                views = {name: checked.get_slice(name) for name in checked.offset_keys()}
                kinds = {name: (tuple(view.get_shape()), view.get_dtype()) for name, view in views.items()}
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise CheckpointError(f"{path} was replaced while it was read. Try again.")
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    found = {}
    for name, (shape, dtype) in kinds.items():
        if dtype not in STORED:
            raise CheckpointError(f"{path}: {name} holds {dtype}, which cannot be loaded.")
        found[name] = StoredTensor(_Mapped(mapped, start, shape, dtype), name, shape, dtype)
        start += math.prod(shape) * STORED[dtype].itemsize  # the library has checked that one follows on another
    return found


def _data_start(file: BinaryIO, path: Path) -> int:
    """Check the header's length before it is read; the library then checks every offset against the file's size."""
    start, size = file.read(8), os.fstat(file.fileno()).st_size
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise _damaged(path, f"its header would have {length:,} bytes, and the file has {size:,}")
    if length > _LARGEST_HEADER:
        raise _damaged(path, f"its header has {length:,} bytes, more than any GPT-2 needs")
    return 8 + length


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or is not a safetensors file ({reason}).")


_TENSORFLOW = ("*.ckpt.index", "*.ckpt.meta", "*.ckpt.data-*", "hparams.json")
NANOGPT = "ckpt.pt"  # which nanoGPT saves
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def refuse_other_formats(folder: Path) -> None:
    """Raise CheckpointError for weights in formats that can execute code, or that are obsolete.

    If there are safetensors too, those are loaded and the others ignored.
    """
    if (folder / WEIGHTS).exists() or (folder / INDEX).exists():
        return
    if name := _first(folder, _TENSORFLOW):
        raise CheckpointError(
            f"{folder / name} is of a TensorFlow checkpoint, which is not read. OpenAI's own models are on the Hub:\n"
            f"-c openai-community/gpt2 (and gpt2-medium, gpt2-large, gpt2-xl). This converts another:\n"
            f"  pip install tensorflow 'transformers<5' && python -m transformers.models.gpt2."
            f"convert_gpt2_original_tf_checkpoint_to_pytorch --gpt2_checkpoint_path {quote(str(folder))} "
            f"--pytorch_dump_folder_path OUT && {_to_safetensors('OUT')}"
        )
    if not (folder / CONFIG).exists() and (name := _first(folder, ("*.gguf",))):
        raise CheckpointError(
            f"{folder} has no {CONFIG}. Its {name} can be named: {named('checkpoint', folder / name)}."
        )
    if (folder / NANOGPT).exists():
        raise CheckpointError(
            f"{folder / NANOGPT} is a checkpoint of nanoGPT. This makes a folder of it, and unpickles nothing:\n"
            f"  minigpt import {quote(str(folder / NANOGPT))} FOLDER"
        )
    if name := _first(folder, _PICKLES):
        raise CheckpointError(
            f"{folder / name} is a pickle, which can run any program, and is not read. If you trust who made it, this "
            f"converts it, with transformers installed:\n  {_to_safetensors(str(folder))}"
        )


def _to_safetensors(folder: str) -> str:
    code = f"from transformers import GPT2LMHeadModel as M; M.from_pretrained({folder!r}).save_pretrained({folder!r})"
    return f"python -c {quote(code)}"


def _first(folder: Path, patterns: tuple[str, ...]) -> str:
    return next((path.name for pattern in patterns for path in sorted(folder.glob(pattern))), "")
