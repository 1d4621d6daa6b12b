"""What the live page of a model holds: weights, tokenizer and snapshots, as much as a page has room for."""

import base64
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.checkpoint.listing import Snapshot, snapshots
from minigpt.checkpoint.runs import SNAPSHOTS, run_of
from minigpt.errors import CheckpointError, ConfigError, escaped, named
from minigpt.models.gpt import GPT
from minigpt.settings.model import NAMES
from minigpt.text.blocks import Stages
from minigpt.text.page_tokenizer import page_tokenizer

MOST = 50_000_000  # bytes of a page
_OF_HISTORY = "int8"  # the type of the snapshots' weights
_ENTRY = 200  # bytes of a snapshot's step and losses, at most


@dataclass(frozen=True)
class LivePage:
    """The text of a page, and how many of the run's snapshots it holds, the final model aside."""

    text: str
    snapshots: int
    of: int  # snapshots


def live_page(checkpoint: Checkpoint, dtype: str, draw: Callable[[Any], str], stages: Stages) -> LivePage:
    """The page of a model with its weights in `dtype`, and as many snapshots of its run as there is room for.

    `draw` makes the text of a page of its data; `stages` shows what is packed. Raises ConfigError for a model or a
    tokenizer that a page cannot hold, CheckpointError for damaged snapshots.
    """
    frame = len(draw(_frame(checkpoint, dtype)).encode())  # all but weights
    data = page_data(checkpoint, dtype, frame, stages)
    return LivePage(draw(data), max(0, len(data["history"]) - 1), max(0, len(_snapshots(checkpoint)) - 1))


def page_data(
    checkpoint: Checkpoint, dtype: str, frame: int = 0, stages: Stages = lambda *stage: lambda done: None
) -> dict[str, Any]:
    """All that a page computes with: `config`, `dtype`, `weights`, `tokenizer`, and `history`, the final model last.

    `frame`: the bytes of the page without weights. Raises what `live_page` does.
    """
    data, model = _frame(checkpoint, dtype), _gpt(checkpoint)
    room = MOST - frame - packed_size(model, dtype)
    if room < 0:
        raise ConfigError(_too_large(checkpoint, model, dtype, len(json.dumps(data["tokenizer"])), frame))
    taken = _snapshots(checkpoint)
    kept = _spread(taken[:-1], room // (packed_size(model, _OF_HISTORY) + _ENTRY))
    advance = stages("packing", model.parameter_count() * (1 + len(kept)), "parameters")
    data["weights"] = packed_weights(model, dtype, advance)
    data["history"] = [*_history(model, kept, advance), *(_entry(final, None) for final in taken[-1:])]
    return data


def _frame(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    """The data of a page, still without weights."""
    config, tokenizer = packed_config(_gpt(checkpoint)), page_tokenizer(checkpoint.tokenizer)
    return {"config": config, "dtype": dtype, "weights": {}, "tokenizer": tokenizer, "history": []}


def _gpt(checkpoint: Checkpoint) -> GPT:
    model = checkpoint.model
    if not isinstance(model, GPT):
        kind = NAMES[model.config.model]
        raise ConfigError(
            f"{_name(checkpoint)} is {kind}: a page computes with the blocks of a GPT, and no other model."
        )
    return model


def _too_large(checkpoint: Checkpoint, model: GPT, dtype: str, tokenizer: int, frame: int) -> str:
    """The message about a model that does not fit, with the size of all that would be in the page."""
    size = packed_size(model, dtype)
    parts = {"weights": size, "tokenizer": tokenizer, "the tokens' texts and scripts": frame - tokenizer}
    listed = ", ".join(f"{what} {_megabytes(part)}" for what, part in parts.items())
    fits = [kind for kind in ("bfloat16", "int8") if packed_size(model, kind) + frame <= MOST]
    advice = f"{named('dtype', fits[0])} would fit" if fits else "no type of weights would fit: export it as a folder"
    return (
        f"{_name(checkpoint)} would make a page of {_megabytes(size + frame)} in {dtype} ({listed}), "
        f"and a page holds at most {MOST / 1e6:.0f} MB; {advice}."
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _name(checkpoint: Checkpoint) -> str:
    return escaped(str(checkpoint.path))


def _snapshots(checkpoint: Checkpoint) -> list[Snapshot]:
    """Those of the run, then its final model; none where the checkpoint is no run with snapshots."""
    run = run_of(checkpoint.path)
    if run is None or run != checkpoint.path or not any((run / SNAPSHOTS).glob("step-*")):
        return []
    *earlier, final = snapshots(run)
    return [*(snapshot for snapshot in earlier if snapshot.step != final.step), final]


def _spread(items: Sequence[Snapshot], most: int) -> list[Snapshot]:
    """As many of the items as allowed, evenly spread from the first to the last; of a single one, the first."""
    count = min(len(items), most)
    return [items[round(number * (len(items) - 1) / max(1, count - 1))] for number in range(count)]


def _history(model: GPT, kept: Sequence[Snapshot], advance: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    for snapshot in kept:
        earlier = load(snapshot.path).model
        if not isinstance(earlier, GPT) or earlier.config != model.config:
            raise CheckpointError(f"{escaped(str(snapshot.path))} is a model of another shape than its run.")
        yield _entry(snapshot, packed_weights(earlier, _OF_HISTORY, advance))


def _entry(snapshot: Snapshot, weights: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    return {"step": snapshot.step, "bits_per_byte": snapshot.validation_bits_per_byte, "weights": weights}


# --- weights as text

_FRAME = 160  # characters of a tensor's name, type and shape, at most


def packed_weights(
    model: GPT, dtype: str, advance: Callable[[int], None] = lambda parameters: None
) -> dict[str, dict[str, Any]]:
    """Each tensor by GPT-2's name: `dtype`, `shape`, and `data`, its little-endian numbers in base64.

    As float32, bfloat16, or int8: then every row of a matrix has a scale, its largest amount divided by 127, in
    `scales` (float32), and vectors stay float32. `advance` is called with the number of parameters that were packed.
    """
    packed = {}
    for name, tensor in model.state_dict().items():
        packed[name] = _packed(tensor.detach().cpu().float(), dtype)
        advance(tensor.numel())
    return packed


def packed_size(model: GPT, dtype: str) -> int:
    """At most how many characters `packed_weights` are as JSON."""
    return sum(_FRAME + _characters(tensor.shape, dtype) for tensor in model.state_dict().values())


def _characters(shape: Sequence[int], dtype: str) -> int:
    """How many characters a tensor's numbers are in base64."""
    bytes_each = {"float32": 4, "bfloat16": 2, "int8": 1 if len(shape) == 2 else 4}[dtype]
    scales = 4 * shape[0] if dtype == "int8" and len(shape) == 2 else 0
    return sum(4 * math.ceil(count / 3) for count in (bytes_each * math.prod(shape), scales))


def packed_config(model: GPT) -> dict[str, Any]:
    """The shape of the model, as the page's forward pass needs it."""
    config = model.config
    return {
        "layers": config.layers,
        "heads": config.heads,
        "width": config.width,
        "context": config.context,
        "vocabulary": config.vocab_size,
        "inside": config.mlp_width,
        "activation": config.activation,
        "epsilon": config.layer_norm_epsilon,
        "parameters": model.parameter_count(),
    }


def _packed(tensor: Tensor, dtype: str) -> dict[str, Any]:
    shape = list(tensor.shape)
    if dtype == "bfloat16":
        return {"dtype": dtype, "shape": shape, "data": _text(tensor.to(torch.bfloat16).view(torch.int16))}
    if dtype == "int8" and tensor.dim() == 2:
        scales = tensor.abs().amax(-1, keepdim=True) / 127
        numbers = (tensor / scales.clamp_min(torch.finfo(torch.float32).tiny)).round().to(torch.int8)
        return {"dtype": dtype, "shape": shape, "data": _text(numbers), "scales": _text(scales)}
    return {"dtype": "float32", "shape": shape, "data": _text(tensor)}


def _text(tensor: Tensor) -> str:
    numbers = tensor.contiguous().numpy()
    return base64.b64encode(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes()).decode()
