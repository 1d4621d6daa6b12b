"""The Transformer, whole, as Figure 1 of Vaswani et al., "Attention Is All You Need", 2017, draws it.

An encoder reads the source, and a decoder writes the target. Multi-head attention is used three ways: the source over
itself, the target over its own past, and the target over the source. Each is added to what it read and normalised
(post-norm). It is saved as transformers' Marian, which computes the same.

Shapes are named as in gpt.py; S is the number of tokens of the source, or generally of those that are attended to.
"""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from minigpt.models.encoder_decoder import PADDING, EncoderDecoder, State
from minigpt.models.functional import dropout, masked_attention, sinusoids
from minigpt.models.gpt import Conv1D
from minigpt.settings import ModelConfig, require

Self = TypeVar("Self", bound="Transformer")


def split_heads(x_BTE: Tensor, parts: int, heads: int) -> Tensor:
    """[B, parts, H, T, D]: queries, keys or values that a projection computed side by side."""
    B, T, E = x_BTE.shape
    return x_BTE.view(B, T, parts, heads, E // parts // heads).permute(0, 2, 3, 1, 4)


def attend(
    q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, allowed: Tensor | None, weights: list[Tensor] | None = None
) -> Tensor:
    """Scaled dot-product attention [B, T, C]: for each query the mean of the values, weighted by how well keys match.

    `allowed` [B, 1, 1, S] or [T, S] says which keys may be attended to; None allows all. A list `weights` receives
    them, [B, H, T, S].
    """
    if weights is None:
        y_BHTD = masked_attention(q_BHTD, k_BHSD, v_BHSD, allowed)
    else:
        scores = q_BHTD @ k_BHSD.transpose(-2, -1) / math.sqrt(q_BHTD.size(-1))  # [B, H, T, S]
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        weights.append(scores.softmax(dim=-1))
        y_BHTD = weights[-1] @ v_BHSD
    return y_BHTD.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Every token of a text has a query, a key and a value; which keys a query may meet, the caller says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.c_attn = Conv1D(config.width, 3 * config.width)
        self.c_proj = Conv1D(config.width, config.width)

    def forward(self, x_BTC: Tensor, allowed: Tensor | None, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs [B, T, C], and all keys and values [B, 2, H, S, D]: those of the `past`, then those of x."""
        qkv = split_heads(self.c_attn(x_BTC), 3, self.heads)
        kv = qkv[:, 1:] if past is None else torch.cat([past, qkv[:, 1:]], dim=3)
        return self.c_proj(attend(qkv[:, 0], kv[:, 0], kv[:, 1], allowed)), kv


class CrossAttention(nn.Module):
    """The queries come from the target, keys and values from the source."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.c_query = Conv1D(config.width, config.width)
        self.c_kv = Conv1D(config.width, 2 * config.width)
        self.c_proj = Conv1D(config.width, config.width)

    def keys_and_values(self, source_BSC: Tensor) -> Tensor:
        """[B, 2, H, S, D] of the encoded source."""
        return split_heads(self.c_kv(source_BSC), 2, self.heads)

    def forward(self, x_BTC: Tensor, kv: Tensor, allowed: Tensor | None, weights: list[Tensor] | None) -> Tensor:
        q = split_heads(self.c_query(x_BTC), 1, self.heads)[:, 0]
        return self.c_proj(attend(q, kv[:, 0], kv[:, 1], allowed, weights))


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them, applied to each token separately."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.width, config.mlp_width)
        self.c_proj = Conv1D(config.mlp_width, config.width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        return self.c_proj(self.c_fc(x_BTC).relu())


class EncoderBlock(nn.Module):
    """Self-attention over the whole source, then the feed-forward network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attn, self.ln_1 = SelfAttention(config), _norm(config)
        self.mlp, self.ln_2 = FeedForward(config), _norm(config)

    def forward(self, x_BSC: Tensor, allowed: Tensor | None) -> Tensor:
        x_BSC = self.ln_1(x_BSC + dropout(self.attn(x_BSC, allowed)[0], self.dropout, self.training))
        return self.ln_2(x_BSC + dropout(self.mlp(x_BSC), self.dropout, self.training))


class DecoderBlock(nn.Module):
    """Masked self-attention over the target so far, attention over the source, then the feed-forward network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attn, self.ln_1 = SelfAttention(config), _norm(config)
        self.cross, self.ln_2 = CrossAttention(config), _norm(config)
        self.mlp, self.ln_3 = FeedForward(config), _norm(config)

    def forward(
        self,
        x_BTC: Tensor,
        past: Tensor | None,
        causal: Tensor | None,
        source_kv: Tensor,
        allowed: Tensor | None,
        weights: list[Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """The outputs [B, T, C], and the keys and values of the target so far."""
        y_BTC, kv = self.attn(x_BTC, causal, past)
        x_BTC = self.ln_1(x_BTC + dropout(y_BTC, self.dropout, self.training))
        y_BTC = self.cross(x_BTC, source_kv, allowed, weights)
        x_BTC = self.ln_2(x_BTC + dropout(y_BTC, self.dropout, self.training))
        return self.ln_3(x_BTC + dropout(self.mlp(x_BTC), self.dropout, self.training)), kv


def _norm(config: ModelConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.layer_norm_epsilon)


class Stack(nn.Module):
    """The blocks of an encoder or a decoder."""

    def __init__(self, config: ModelConfig, block: type[nn.Module]) -> None:
        super().__init__()
        self.h = nn.ModuleList(block(config) for _ in range(config.layers))


class Transformer(EncoderDecoder):
    """Figure 1. Token vectors are scaled by the root of the width, and sinusoidal positions are added to them.

    Its state: which of the source's tokens are no padding [B, S]; for each layer, the keys and values of the source
    [B, 2, H, S, D]; and, once there is a target, for each layer those of the target so far [B, 2, H, T, D].
    """

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder, self.decoder = Stack(config, EncoderBlock), Stack(config, DecoderBlock)
        self.register_buffer("positions", position_table(config.context, config.width), persistent=False)

    def initialise(self: Self, generator: torch.Generator) -> Self:
        """Matrices are normal with the variance 2 / (rows + columns) (Glorot and Bengio, 2010), token vectors with the
        variance 1 / columns; biases are 0, gains of norms 1.
        """
        for name, parameter in self.named_parameters():
            if name == "wte.weight":
                nn.init.normal_(parameter, std=self.config.width**-0.5, generator=generator)
            elif parameter.dim() == 2:
                nn.init.xavier_normal_(parameter, generator=generator)
        return self

    def embed(self, ids_BT: Tensor, start: int = 0) -> Tensor:
        """Vectors [B, T, C] of tokens that begin at position `start`."""
        end = start + ids_BT.size(1)
        most = self.config.context
        require(end <= most, f"A text of {end:,} tokens is more than the {most:,} that this model reads.")
        x_BTC = self.wte(ids_BT) * math.sqrt(self.config.width) + self.positions[start:end]
        return dropout(x_BTC, self.config.dropout, self.training)

    def encode(self, source_BS: Tensor) -> State:
        is_token = source_BS != PADDING
        allowed = None if bool(is_token.all()) else is_token[:, None, None]
        x_BSC = self.embed(source_BS.clamp(min=0))
        for block in self.encoder.h:
            x_BSC = block(x_BSC, allowed)
        return is_token, *(block.cross.keys_and_values(x_BSC) for block in self.decoder.h)  # type: ignore[union-attr,operator]

    def decode(self, inputs_BT: Tensor, state: State, weights: list[Tensor] | None = None) -> tuple[Tensor, State]:
        is_token, *kvs = state
        sources, pasts = kvs[: self.config.layers], kvs[self.config.layers :]
        before, T = pasts[0].size(3) if pasts else 0, inputs_BT.size(1)
        allowed = None if bool(is_token.all()) else is_token[:, None, None]
        causal = None
        if T > 1:
            causal = torch.ones(T, before + T, dtype=torch.bool, device=inputs_BT.device).tril(before)
        x_BTC, kept = self.embed(inputs_BT, before), []
        for layer, block in enumerate(self.decoder.h):
            x_BTC, kv = block(x_BTC, pasts[layer] if pasts else None, causal, sources[layer], allowed, weights)
            kept.append(kv)
        return x_BTC, (is_token, *sources, *kept)


def position_table(context: int, width: int) -> Tensor:
    """[T, C]: the sinusoids of section 3.5, all sines before all cosines, as Marian has them."""
    table_TC = sinusoids(context, width)
    return torch.cat([table_TC[:, 0::2], table_TC[:, 1::2]], dim=1)
