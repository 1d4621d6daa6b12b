"""A folder's weights: safetensors, in one file or in several by an index, are read; other formats are refused.

The folder is untrusted input: a header's length and offsets are compared with the file's size before memory is
allocated for what they describe, and names in an index lead to no other folder.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minigpt.checkpoint.files import CONFIG, WEIGHTS, check_file, read_json_object, reading
from minigpt.errors import CheckpointError, brief, named

INDEX = "model.safetensors.index.json"
_LARGEST_HEADER = 1 << 24  # bytes; that of gpt2-xl has 70 thousand
_LARGEST_INDEX = 1 << 24
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of an open file: its shape and type, with its values read on demand."""

    file: Any
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def read(self) -> Tensor:
        """A view of the file's pages."""
        tensor: Tensor = self.file.get_tensor(self.name)
        return tensor

    def transposed(self) -> "StoredTensor":
        """The tensor with its axes in reverse."""
        return replace(self, file=_Transposed(self), shape=self.shape[::-1])


@dataclass(frozen=True)
class _Transposed:
    tensor: StoredTensor

    def get_tensor(self, name: str) -> Tensor:
        """The tensor, for StoredTensor."""
        return self.tensor.read().T.contiguous()


@contextmanager
def open_tensors(folder: Path) -> Iterator[tuple[dict[str, StoredTensor], Path]]:
    """The tensors of `folder` by name, while entered, and the file that lists them. Raises CheckpointError.

    model.safetensors takes precedence over an index, as everywhere.
    """
    with ExitStack() as opened:
        if not (folder / WEIGHTS).is_symlink() and not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
            yield _of_shards(folder, opened), folder / INDEX
        else:
            yield _open(folder / WEIGHTS, opened), folder / WEIGHTS


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, with the index, or a GGUF file itself: the files for a fingerprint.

    Raises CheckpointError.
    """
    if folder.is_file():
        return [folder]
    if not (folder / INDEX).exists() or (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    return [folder / INDEX, *(folder / name for name in sorted(set(_weight_map(folder / INDEX).values())))]


def _of_shards(folder: Path, opened: ExitStack) -> dict[str, StoredTensor]:
    """The tensors that the index lists, each read from the file that it names."""
    placed = _weight_map(folder / INDEX)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(placed.values())):
        for tensor, stored in _open(folder / name, opened).items():
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


def _open(path: Path, opened: ExitStack) -> dict[str, StoredTensor]:
    check_file(path)
    try:
        with reading(path):
            _check_header(path)
            file = opened.enter_context(safe_open(path, framework="pt"))
            return {name: _stored(file, name, path) for name in list(file.keys())}
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    except RuntimeError as error:  # torch's, where so much cannot be mapped into memory
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _check_header(path: Path) -> None:
    """Check the header's length before reading it; the library then checks every offset against the file's size."""
    with path.open("rb") as file:
        start, size = file.read(8), path.stat().st_size
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise _damaged(path, f"its header would have {length:,} bytes, and the file has {size:,}")
    if length > _LARGEST_HEADER:
        raise _damaged(path, f"its header has {length:,} bytes, more than any GPT-2 needs")


def _stored(file: Any, name: str, path: Path) -> StoredTensor:
    view = file.get_slice(name)
    dtype = _DTYPES.get(view.get_dtype())
    if dtype is None:
        raise CheckpointError(f"{path}: {name} holds {view.get_dtype()}, which cannot be loaded.")
    return StoredTensor(file, name, tuple(view.get_shape()), dtype)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or is not a safetensors file ({reason}).")


_TENSORFLOW = ("*.ckpt.index", "*.ckpt.meta", "*.ckpt.data-*", "hparams.json")
_NANOGPT = "ckpt.pt"
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
    if (folder / _NANOGPT).exists():
        raise CheckpointError(
            f"{folder / _NANOGPT} is a checkpoint of nanoGPT. This makes a folder of it, and unpickles nothing:\n"
            f"  minigpt import {quote(str(folder / _NANOGPT))} FOLDER"
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
