"""Exports a checkpoint as a clean Hugging Face folder: the standard files, and nothing about its training."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt.checkpoint.files import CONFIG, write_text, writing
from minigpt.checkpoint.folder import Checkpoint, save_description, save_weights
from minigpt.checkpoint.rebuilt import check_folder
from minigpt.checkpoint.records import Exported
from minigpt.checkpoint.runs import CARD, RUN
from minigpt.errors import ConfigError, OutputError, escaped, named
from minigpt.models.kinds import gpt_of

FILES = {".gguf": "gguf", ".html": "page", ".htm": "page"}  # suffixes of exports that are single files
_ELSEWHERE = (".bin", ".ckpt", ".ggml", ".onnx", ".pt", ".pth", ".safetensors")


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if `path`, a .gguf file, a page or a folder, cannot be written, before the work begins.

    Raises ConfigError for a file of another kind.
    """
    kind = path.suffix.lower()
    if kind in _ELSEWHERE:
        raise ConfigError(
            f"{path}: an export is a .gguf file, a page (.html), or a folder, whose weights are safetensors."
        )
    if kind in FILES:
        _refuse(path.is_dir(), f"{path} is a folder; choose another name for the file.")
        _refuse(path.exists() and not path.is_file(), f"{path} is a pipe or a device; choose another name.")
        _refuse(not path.parent.is_dir(), f"{path}: there is no folder {path.parent}.")
    else:
        _refuse(path.exists() and not path.is_dir(), f"{path} is a file; choose another name for the folder.")
        _refuse((path / RUN).exists(), f"{path} is a run, which an export must not replace. Choose another folder.")
        foreign = path.is_dir() and any(path.iterdir()) and not (path / CONFIG).exists()
        _refuse(foreign, f"{path} is not empty and contains no model. Choose a new or an empty folder.")
    _refuse(
        not overwrite and (path.is_file() or (path / CONFIG).exists()),
        f"{path} exists already. Choose another name, or replace it with {named('overwrite')}.",
    )
    folder = path if path.is_dir() else path.parent
    while not folder.exists():
        folder = folder.parent
    where = "the current folder" if folder == Path() else folder
    _refuse(not os.access(folder, os.W_OK | os.X_OK), f"{path} cannot be written: {where} does not allow it.")


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise OutputError(message)


def export_folder(folder: Path, checkpoint: Checkpoint, dtype: str) -> None:
    """Write `checkpoint` as a GPT-2 folder with its weights in `dtype` (of FOLDER_DTYPES).

    The folder appears whole or not at all; in an existing one, each file is replaced and other files stay. Raises
    OutputError, and ConfigError for weights out of float16's range.
    """
    gpt_of(checkpoint.torch_model, "A folder for other programs is made of GPT-2's blocks")
    import torch

    kind: torch.dtype = getattr(torch, dtype)
    largest = max(float(tensor.abs().max()) for tensor in checkpoint.torch_model.state_dict().values())
    if largest > torch.finfo(kind).max:
        raise ConfigError(
            f"{checkpoint.path} holds numbers beyond float16's range: export with {named('dtype', 'bfloat16')}."
        )
    with _beside(folder) as temporary:
        save_description(temporary, checkpoint.model.config, checkpoint.tokenizer, kind, checkpoint.generation)
        check_folder(temporary, checkpoint.tokenizer)
        write_text(temporary / CARD, _card(escaped(folder.resolve().name), checkpoint, dtype))
        save_weights(temporary, checkpoint.torch_model, kind)


def exported(path: Path, kind: str, dtype: str, checkpoint: Checkpoint) -> Exported:
    """The record of a `kind` of export at `path`, a file or a folder."""
    size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]) if file.is_file())
    parameters = checkpoint.model.config.parameter_count()
    return Exported(path=str(path), format=kind, dtype=dtype, parameters=parameters, bytes=size)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder to be filled, which is then renamed to `folder`."""
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with writing(folder):
            temporary.mkdir(parents=True)
            yield temporary
            if folder.exists():
                for path in sorted(temporary.iterdir()):
                    os.replace(path, folder / path.name)
            else:
                os.rename(temporary, folder)
    except OutputError as error:
        raise OutputError(error.message.replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _card(name: str, checkpoint: Checkpoint, dtype: str) -> str:
    """The README.md of the folder."""
    config = checkpoint.model.config
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [minigpt, gpt2]
---

# {name}

A GPT-2 of {config.parameter_count():,} parameters ({config.layers} layer{"s" * (config.layers != 1)} x \
{config.width}, {config.heads} head{"s" * (config.heads != 1)}, context {config.context}, \
vocabulary {config.vocab_size:,}) in {dtype}, exported by minigpt.

    minigpt sample --checkpoint FOLDER
    transformers.AutoModelForCausalLM.from_pretrained("FOLDER")
"""
