"""Operations on tensors, each done as is fastest on the processor."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from minigpt.models.device import cpu_capabilities

_SHORT = 64  # tokens up to which _ShortAttention is used
_LONGEST = 1024  # tokens for explicit attention, whose weights take memory with their square


def causal_attention(q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> Tensor:
    """Causal attention over [B, H, T, D]: the T queries are the last of S positions, and see those up to their own.

    Uses the fused kernel, except for training in bfloat16 on a CPU, where its backward pass is slow: at 8 windows of
    128 tokens and 4 heads of 64, forward and backward take 11 ms per layer on one core, against 2.5 as explicit
    products.
    """
    T, S = q_BHTD.size(2), k_BHSD.size(2)
    trains = q_BHTD.requires_grad and S == T and 1 < T <= _LONGEST
    if trains and q_BHTD.device.type == "cpu" and q_BHTD.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):  # which would take the softmax to float32 and back
            return _written_out(q_BHTD, k_BHSD, v_BHSD)
    if 1 < T < S:  # is_causal means that the first of T sees the first of S
        seen = torch.ones(T, S, dtype=torch.bool, device=q_BHTD.device).tril(S - T)
        return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, attn_mask=seen)
    return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, is_causal=T > 1)


def _written_out(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor) -> Tensor:
    T, D = q_BHTD.shape[-2:]
    q, k, v = (each.flatten(0, 1) for each in (q_BHTD, k_BHTD, v_BHTD))
    future = torch.full((T, T), -torch.inf, dtype=q.dtype).triu(1)
    scores = torch.baddbmm(future, q, k.mT, alpha=1 / math.sqrt(D))  # [B H, T, T]
    return torch.bmm(scores.softmax(dim=-1), v).view_as(q_BHTD)


def masked_attention(q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, allowed: Tensor | None) -> Tensor:
    """Attention [B, H, T, D] to the keys that are `allowed`, [B, 1, 1, S] or [T, S]; None allows all.

    For training on short texts on a CPU, products with gradients of their own take 0.4 of the fused kernel's time in
    float32 and 0.1 in bfloat16 (64 texts of 20 tokens, 4 heads of 32 channels, forward and backward).
    """
    is_short = q_BHTD.size(2) * k_BHSD.size(2) <= _SHORT**2
    if is_short and q_BHTD.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        with torch.autocast("cpu", enabled=False):  # which would take the softmax to float32 and back
            return _ShortAttention.apply(q_BHTD, k_BHSD, v_BHSD, allowed)
    return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, attn_mask=allowed)


class _ShortAttention(torch.autograd.Function):
    """Attention as three products, and its gradients as five."""

    @staticmethod
    def forward(ctx: Any, q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, allowed: Tensor | None) -> Tensor:
        q, k, v = (each.flatten(0, 1).contiguous() for each in (q_BHTD, k_BHSD, v_BHSD))  # [B H, T or S, D]
        scores = torch.bmm(q, k.mT).mul_(1 / math.sqrt(q.size(-1)))
        if allowed is not None:
            scores.view(*q_BHTD.shape[:3], -1).masked_fill_(~allowed, -torch.inf)
        weights = scores.softmax(dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        return torch.bmm(weights, v).view_as(q_BHTD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BHTD: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        dy = dy_BHTD.flatten(0, 1).contiguous()
        dweights = torch.bmm(dy, v.mT)
        # The gradient of a softmax: each weight times (its own gradient minus the weighted mean of all gradients).
        dscores = weights * (dweights - (dweights * weights).sum(-1, keepdim=True)) * (1 / math.sqrt(q.size(-1)))
        found = torch.bmm(dscores, k), torch.bmm(dscores.mT, q), torch.bmm(weights.mT, dy)
        return *(each.unflatten(0, dy_BHTD.shape[:2]) for each in found), None


_Product = Callable[[Tensor, Tensor, Tensor | None, str, list[float], str], Tensor]


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`x [..., in] W^T + b`, like `F.linear`.

    torch passes float32 to MKL, which does not use the AVX-512 of AMD's processors (Zen 4 and newer). oneDNN, which
    torch includes too, does: a product of 2,048 rows takes 0.43 of the time, and a pass of a GPT of 12 x 768 over 200
    tokens half of it. It gains nothing for a single row.
    """
    if _is_plain(x, weight_OI) and x.numel() > x.size(-1) and (product := _onednn()) is not None:
        if torch.is_grad_enabled():
            y_NO = _WithGradients.apply(x.flatten(0, -2), weight_OI, bias_O)
            return torch.ops.aten._unsafe_view(y_NO, (*x.shape[:-1], y_NO.size(-1)))  # as F.linear has it: no view
        return product(x, weight_OI, bias_O, "none", [], "")
    return F.linear(x, weight_OI, bias_O)


class _WithGradients(torch.autograd.Function):
    """oneDNN's product with the gradients that it lacks, which are products too."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return _times(x_NI, weight_OI, bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_NO: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, weight_OI = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _times(dy_NO, weight_OI.T) if needs_x else None,
            _times(x_NI.T, dy_NO.T).T if needs_weight else None,  # as a weight that is stored [in, out] takes it
            dy_NO.sum(0) if needs_bias else None,
        )


def _times(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    product = _onednn()
    assert product is not None
    return product(x, weight_OI, bias_O, "none", [], "")


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether the product is in float32 on the CPU, and not being compiled."""
    return (
        not torch.compiler.is_compiling()
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


@cache
def _onednn() -> _Product | None:
    """oneDNN's product, under the name that torch's compiler uses; None if MKL is as fast, or if it is missing."""
    capabilities = cpu_capabilities()
    is_amd = str(capabilities.get("cpu_name", "")).startswith("AMD")
    if not (is_amd and capabilities.get("avx512_f") and torch.backends.mkldnn.is_available()):
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Zero a random `share` of `x`, and scale the rest to keep the mean; `x` itself unless `training`.

    Srivastava et al., "Dropout", 2014. torch's version draws 53 random bits per element, on a CPU on a single core: a
    sixth of a training step of 5 layers x 256 on two cores. Here a byte per element suffices, and the generator yields
    eight at a time: the share is rounded to 256ths.
    """
    if not training or share == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, share)
    dropped = min(255, max(1, round(256 * share)))
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return x * kept.to(x.dtype).mul_(256 / (256 - dropped))


def sinusoids(context: int, width: int) -> Tensor:
    """[T, C]: channels 2i and 2i + 1 hold the sine and cosine of position / 10,000^(2i / C).

    The wavelengths go from 2π to nearly 10,000 · 2π, and the row at a fixed offset is a rotation of this one, the same
    for every position. Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    channels_C = torch.arange(width, dtype=torch.float64)
    rates_C = 10_000.0 ** -(channels_C.div(2, rounding_mode="floor") * 2 / width)
    angles_TC = torch.arange(context, dtype=torch.float64)[:, None] * rates_C
    # A cosine is a sine a quarter of a turn ahead.
    return (angles_TC + channels_C % 2 * (torch.pi / 2)).sin().float()


def as_array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor on any device; those in bfloat16, which NumPy lacks, in float32.

    The memory is shared where that is possible.
    """
    tensor = tensor.detach().cpu()
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
