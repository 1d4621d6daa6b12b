"""A GPT's weights as text, for a page that computes with them."""

import base64
from typing import Any

import torch
from torch import Tensor

from minigpt.models.gpt import GPT


def packed_weights(model: GPT, dtype: str) -> dict[str, dict[str, Any]]:
    """Each tensor by GPT-2's name: `dtype`, `shape`, and `data`, its little-endian numbers in base64.

    As float32, bfloat16, or int8: then every row of a matrix has a scale, its largest amount divided by 127, in
    `scales` (float32), and vectors stay float32.
    """
    return {name: _packed(tensor.detach().cpu().float(), dtype) for name, tensor in model.state_dict().items()}


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
