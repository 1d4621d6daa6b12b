"""A GPT's forward pass for a single token, unrolled in torch, for decoding where forward.c cannot be used."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.models.gpt import ACTIVATIONS, GPT, Block
from minigpt.models.kv_cache import KVCache
from minigpt.models.precision import Int8GPT, Int8Product

# A one-row product in two halves that are added streams the weights up to 1.7 times as fast on two cores. Below this
# width a product is over before a second core has woken up.
SPLIT_WIDTH = 256
_HEAD_PARAMETERS = 1 << 24  # from here on, the output head is worth a copy as [C, V], which streams twice as fast


class FlatStep:
    """`GPT.forward` for a single token, unrolled: `step(token)` gives the logits [V] after it.

    Avoiding nn.Module's calls saves a sixth of the time at 6 layers x 384. A test checks that both agree.
    """

    def __init__(self, model: GPT, cache: KVCache, threads: int) -> None:
        self._config, self._cache = model.config, cache
        self._outer = (model.wte.weight, model.wpe.weight, model.ln_f.weight, model.ln_f.bias)
        self._layers = [_layer_tensors(block) for block in model.blocks]
        self._product, self._head = _product(model, threads), _head(model)
        self._activation, self._epsilon = ACTIVATIONS[model.config.activation], model.config.layer_norm_epsilon

    @torch.inference_mode()
    def __call__(self, token: int) -> Tensor:
        product, C, position = self._product, self._config.width, self._cache.length
        shape, heads, head_width = (C,), self._config.heads, C // self._config.heads
        wte, wpe, lnf_w, lnf_b = self._outer
        epsilon = self._epsilon
        slots, views = self._cache.next_slots()
        x = wte.narrow(0, token, 1) + wpe.narrow(0, position, 1)  # [1, C]
        for i, layer in enumerate(self._layers):
            ln1_w, ln1_b, attn_w, attn_b, proj_w, proj_b, ln2_w, ln2_b, fc_w, fc_b, out_w, out_b = layer
            h = torch.layer_norm(x, shape, ln1_w, ln1_b, epsilon)
            qkv = product(attn_b, h, attn_w).view(3, 1, heads, 1, head_width)
            slots[i].copy_(qkv.narrow(0, 1, 2))
            y = F.scaled_dot_product_attention(qkv.select(0, 0), views[2 * i], views[2 * i + 1]).view(1, C)
            x.add_(product(proj_b, y, proj_w))
            h = torch.layer_norm(x, shape, ln2_w, ln2_b, epsilon)
            h = self._activation(product(fc_b, h, fc_w))
            x.add_(product(out_b, h, out_w))
        self._cache.length += 1
        return self._head(torch.layer_norm(x, shape, lnf_w, lnf_b, epsilon)).view(-1)


def _layer_tensors(block: Block) -> tuple[Any, ...]:
    """Weights and biases in order of use; an Int8Product stands for its own weight."""
    attn, mlp = block.attn, block.mlp
    parts: list[nn.Module] = [block.ln_1, attn.c_attn, attn.c_proj, block.ln_2, mlp.c_fc, mlp.c_proj]
    return tuple(t for part in parts for t in (part if isinstance(part, Int8Product) else part.weight, part.bias))


def _head(model: GPT) -> Callable[[Tensor], Tensor]:
    """The function from x [1, C] to logits. A large float32 head on a CPU uses a copy [C, V] of the output vectors."""
    if isinstance(model, Int8GPT) or model.device.type != "cpu":
        return model.head
    head = model.unembedding.detach()
    if head.dtype == torch.bfloat16:
        return lambda x: torch.mv(head, x[0])
    return partial(torch.mm, mat2=head.T.contiguous() if head.numel() >= _HEAD_PARAMETERS else head.T)


def _product(model: GPT, threads: int) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The fastest function of (bias, x [1, in], weight) for bias + x @ weight, for how the weights are stored."""
    if isinstance(model, Int8GPT):
        return _int8_product
    on_cpu, config = model.device.type == "cpu", model.config
    if on_cpu and model.wte.weight.dtype == torch.bfloat16:
        return _row_product
    even = config.width % 2 == 0 and config.mlp_width % 2 == 0
    return _split_product if even and config.width >= SPLIT_WIDTH and on_cpu and threads > 1 else torch.addmm


def _split_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`bias + x @ weight` for one row x [1, in], computed as two halves of `in` at once."""
    return torch.bmm(x.view(2, 1, -1), weight.view(2, -1, weight.size(1))).sum(0).add_(bias)


def _row_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`bias + x @ weight` for one row x [1, in] and a weight that lies in memory as [out, in]."""
    return torch.addmv(bias, weight.T, x[0])[None]


def _int8_product(bias: Tensor, x: Tensor, part: Int8Product) -> Tensor:
    return torch._weight_int8pack_mm(x.to(torch.bfloat16), part.weight, part.scale).float().add_(bias)
