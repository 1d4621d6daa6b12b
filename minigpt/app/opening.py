"""Opens what a command was given: the checkpoint, the device and the text."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.checkpoint.folder import Checkpoint, Stored, read
from minigpt.checkpoint.runs import newest_run
from minigpt.errors import ConfigError, CorpusError, concerning, named
from minigpt.models.device import is_surely_cpu
from minigpt.models.kinds import gpt_of
from minigpt.models.native import is_native
from minigpt.models.threads import use_threads
from minigpt.settings import Beginning, Machine, ModelConfig, Reading, Weights, require
from minigpt.settings.model import NAMES
from minigpt.text.formats import check_argument, read_prompt, read_text

if TYPE_CHECKING:
    import torch

_USUAL, _AS_STORED = Reading(), Weights()


def use_device(
    name: str, threads: int | None, resolve: "Callable[[str], torch.device] | None" = None
) -> "torch.device":
    """The device by name; sets `threads` CPU threads."""
    import torch

    from minigpt.models.device import resolve_device

    if threads is not None:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # or an LSTM's steps on a GPU would differ from its full passes
    return (resolve or resolve_device)(name)


def open_checkpoint(
    path: Path | None,
    machine: Machine,
    weights: Weights = _AS_STORED,
    *,
    reading: Beginning = _USUAL,
    called: str = "checkpoint",
    needs_torch: bool = False,
) -> Checkpoint:
    """Load the checkpoint by path, or the newest run, with its weights stored as `weights` says.

    A GPT on the CPU computes in C if it can, and torch is then not loaded, unless what is asked `needs_torch`.
    `reading`: how its tokenizer reads a prompt. `called`: the setting that gave the path.
    """
    in_c = not needs_torch and is_surely_cpu(machine.device)
    target = None if in_c else use_device(machine.device, machine.threads)  # a device that is not there comes first
    with concerning(called):
        found = read(path if path is not None else newest_run())
    if in_c and is_native(found.config):
        if machine.threads is not None:
            use_threads(machine.threads)
        loaded = found.in_c(weights.dtype, weights.quantize)
    else:
        loaded = _in_torch(found, target or use_device(machine.device, machine.threads), weights)
    special = isinstance(reading, Reading) and reading.special
    return replace(loaded, tokenizer=loaded.tokenizer.reading(special=special, no_bos=reading.no_bos))


def _in_torch(found: Stored, device: "torch.device", weights: Weights) -> Checkpoint:
    loaded = found.in_torch(device)
    if weights == _AS_STORED:
        return loaded
    from minigpt.models.precision import stored

    model = gpt_of(loaded.torch_model, f"{named('dtype')} and {named('quantize')} are for the products of blocks")
    return replace(loaded, model=stored(model, weights.dtype, weights.quantize))


def given_text(argument: str | None, file: Path | None) -> str:
    """The text from the argument, `--file`, or standard input (`-`, or no argument and not typed at a terminal)."""
    if argument is not None and file is not None:
        raise ConfigError(f"Give the text as an argument or with {named('file')}, not both.")
    if file is not None:
        return read_text(str(file))
    if argument == "-" or (argument is None and not sys.stdin.isatty()):
        return read_prompt()
    return check_argument(argument or "")


def check_source(config: ModelConfig, text: str) -> None:
    """Raise ConfigError for a text that is no source for a model of pairs."""
    name = NAMES[config.model]
    require(bool(text.strip()), f"{name[0].upper()}{name[1:]} needs a text to begin from.")


def text_to_look_at(argument: str | None, file: Path | None, *, advice: str) -> str:
    """Like `given_text`, but an empty text is an error: of usage unless a file or a pipe gave it."""
    text = given_text(argument, file)
    if not text:
        elsewhere = file is not None or argument == "-" or (argument is None and not sys.stdin.isatty())
        raise (CorpusError if elsewhere else ConfigError)(f"There is no text to look at.\n{advice}")
    return text
