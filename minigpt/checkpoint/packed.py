"""A GPT's weights as text, for a page that computes with them."""

import base64
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from minigpt.models.gpt import GPT

_FRAME = 160  # characters of a tensor's name, type and shape, at most


def packed_weights(
    model: "GPT", dtype: str, advance: Callable[[int], None] = lambda parameters: None
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


def packed_size(model: "GPT", dtype: str) -> int:
    """At most how many characters `packed_weights` are as JSON."""
    return sum(_FRAME + _characters(tensor.shape, dtype) for tensor in model.state_dict().values())


def _characters(shape: Sequence[int], dtype: str) -> int:
    """How many characters a tensor's numbers are in base64."""
    bytes_each = {"float32": 4, "bfloat16": 2, "int8": 1 if len(shape) == 2 else 4}[dtype]
    scales = 4 * shape[0] if dtype == "int8" and len(shape) == 2 else 0
    return sum(4 * math.ceil(count / 3) for count in (bytes_each * math.prod(shape), scales))


def packed_config(model: "GPT") -> dict[str, Any]:
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


def _packed(tensor: "Tensor", dtype: str) -> dict[str, Any]:
    import torch

    shape = list(tensor.shape)
    if dtype == "bfloat16":
        return {"dtype": dtype, "shape": shape, "data": _text(tensor.to(torch.bfloat16).view(torch.int16))}
    if dtype == "int8" and tensor.dim() == 2:
        scales = tensor.abs().amax(-1, keepdim=True) / 127
        numbers = (tensor / scales.clamp_min(torch.finfo(torch.float32).tiny)).round().to(torch.int8)
        return {"dtype": dtype, "shape": shape, "data": _text(numbers), "scales": _text(scales)}
    return {"dtype": "float32", "shape": shape, "data": _text(tensor)}


def _text(tensor: "Tensor") -> str:
    numbers = tensor.contiguous().numpy()
    return base64.b64encode(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes()).decode()
