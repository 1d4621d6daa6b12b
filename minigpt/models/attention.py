"""Queries, keys and values in; the mixed values of causal attention out, by what is fastest where they are."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LONGEST = 1024  # tokens, written out: the weights take memory by its square


def causal_attention(q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> Tensor:
    """[B, H, T, D]. The T tokens are the last of S, and each sees itself and what stands before it.

    The fused kernel, but not for a training in bfloat16 on a CPU, where its backward pass is slow: at 8 windows of 128
    tokens and 4 heads of 64, both ways take 11 ms a layer of one core, and written out as products 2.5.
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
