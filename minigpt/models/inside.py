"""Records the inside of a GPT as it reads a text: its attention, and the residual stream after each layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.models.gpt import GPT
from minigpt.models.window import window_start


@dataclass(frozen=True)
class Attention:
    """What happened in every layer: weights and scores [layers, H, T, T], the residual stream [layers + 1, T, C]."""

    ids: tuple[int, ...]
    start: int  # index in the text of the first of `ids`
    weights_LHTS: Tensor
    scores_LHTS: Tensor  # -inf where a token does not look, because the other comes later
    stream_LTC: Tensor  # the embedding, then the output of each layer


@torch.inference_mode()
def look_inside(model: GPT, ids: Sequence[int]) -> tuple[Attention, Tensor]:
    """One pass over `ids` (one or more) that records the attention; returns the logits [1, T, V] too."""
    start = window_start(len(ids), model.config.context)
    window = tuple(ids[start:])
    weights, products, stream = list[Tensor](), list[Tensor](), list[Tensor]()
    hooks = [block.attn.c_attn.register_forward_hook(lambda *args: products.append(args[-1])) for block in model.blocks]
    try:
        logits_BTV = model(torch.tensor([window], device=model.device), weights=weights, stream=stream)
    finally:
        for hook in hooks:
            hook.remove()
    attention = Attention(
        ids=window,
        start=start,
        weights_LHTS=torch.cat(weights).double().cpu(),
        scores_LHTS=torch.cat([_scores(qkv, model.config.heads) for qkv in products]).double().cpu(),
        stream_LTC=torch.cat(stream).double().cpu(),
    )
    return attention, logits_BTV


def _scores(qkv_BTC: Tensor, heads: int) -> Tensor:
    """[B, H, T, T]: each query times each key, the input of the softmax."""
    B, T, C3 = qkv_BTC.shape
    q, k, _ = qkv_BTC.view(B, T, 3, heads, C3 // 3 // heads).permute(2, 0, 3, 1, 4)
    scores: Tensor = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return scores.masked_fill(torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(1), -torch.inf)


@torch.inference_mode()
def layer_logits(model: GPT, ids: Sequence[int]) -> list[Tensor]:
    """The logits [V] after `ids` in each layer: the embeddings first, the model's output last."""
    window = ids[window_start(len(ids), model.config.context) :]
    stream: list[Tensor] = []
    model(torch.tensor([window], device=model.device), last_only=True, stream=stream)
    return [model.unembed(x_BTC[:, -1:])[0, 0] for x_BTC in stream]
