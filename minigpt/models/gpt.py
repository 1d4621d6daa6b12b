"""GPT-2, whole, to be read from top to bottom: token ids go in, a logit for every token of the vocabulary comes out.

Shapes stand at the line ends and, where it helps, in the names:

    B  batch        T  tokens (time)     C  width (channels)
    H  heads        D  head width, C/H   V  vocabulary          S  tokens attended to, the cached ones included
    I  inside the MLP, 4C unless a checkpoint says otherwise

Names of the weights (`wte`, `c_attn`, `ln_f`, ...) and their layout are those of the GPT-2 release, so that
`state_dict()` is, key for key, what a Hugging Face GPT-2 folder holds. Radford et al., "Language Models are
Unsupervised Multitask Learners", 2019.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minigpt.models.functional import causal_attention, dropout, linear
from minigpt.models.kv_cache import KVCache
from minigpt.settings import ModelConfig

INIT_STD = 0.02  # GPT-2's

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": partial(F.gelu, approximate="tanh"),  # GPT-2's
    "gelu": F.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}

Append = Callable[[Tensor], tuple[Tensor, Tensor]]  # new keys and values [2, B, H, T, D] -> all keys, all values


class Conv1D(nn.Module):
    """`y = x W + b`, with W stored [in, out] as in the GPT-2 release (which called it a convolution of width 1).

    nn.Linear stores [out, in]; on a CPU, one row times [in, out] streams the weights 1.1 (768 x 2,304) to 2 times as
    fast (768 x 50,257).
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.T, self.bias)


def explicit_attention(q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> tuple[Tensor, Tensor]:
    """Attention as explicit products: the outputs [B, H, T, D] and the weights [B, H, T, S], whose rows sum to 1.

    Each query scores every key up to its own position, softmax turns the scores into weights, and the output is the
    weighted mean of the values. The fused kernel computes the same without storing the weights. Vaswani et al., 2017.
    """
    T, S = q_BHTD.size(2), k_BHSD.size(2)
    scores = q_BHTD @ k_BHSD.transpose(-2, -1) / math.sqrt(q_BHTD.size(-1))  # [B, H, T, S]
    future = torch.ones(T, S, dtype=torch.bool, device=scores.device).triu(S - T + 1)
    weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return weights @ v_BHSD, weights


class CausalSelfAttention(nn.Module):
    """Each token has a query, a key and a value; it attends to itself and the tokens before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.c_attn = Conv1D(config.width, 3 * config.width)
        self.c_proj = Conv1D(config.width, config.width)

    def forward(self, x_BTC: Tensor, append: Append | None = None, weights: list[Tensor] | None = None) -> Tensor:
        B, T, C = x_BTC.shape
        qkv = self.c_attn(x_BTC).view(B, T, 3, self.heads, C // self.heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # [3, B, H, T, D]
        q, k, v = qkv.unbind(0)
        if append is not None:
            k, v = append(qkv[1:])  # each [B, H, S, D]
        if weights is not None:
            y, layer_weights = explicit_attention(q, k, v)
            weights.append(layer_weights)
        else:
            y = causal_attention(q, k, v)
        y = y.transpose(1, 2).reshape(B, T, C)
        return dropout(self.c_proj(y), self.dropout, self.training)


class MLP(nn.Module):
    """Two linear layers with a nonlinearity, applied to each token separately."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.activation = ACTIVATIONS[config.activation]
        self.c_fc = Conv1D(config.width, config.mlp_width)
        self.c_proj = Conv1D(config.mlp_width, config.width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        h = self.activation(self.c_fc(x_BTC))  # [B, T, I]
        return dropout(self.c_proj(h), self.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP, each on a normalised copy and added to the residual stream (pre-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, eps=config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.width, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x_BTC: Tensor, append: Append | None = None, weights: list[Tensor] | None = None) -> Tensor:
        x_BTC = x_BTC + self.attn(self.ln_1(x_BTC), append, weights)
        return x_BTC + self.mlp(self.ln_2(x_BTC))


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table, not yet initialised.

    nn.Embedding(rows, width) would draw random numbers that are never used, and on the meta device, where a
    checkpoint's shapes are checked, load torch's compiler, which takes a second.
    """
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)


class TokenModel(nn.Module):
    """A model with a vector for each token, `wte`."""

    wte: nn.Embedding

    @property
    def device(self) -> torch.device:
        return self.wte.weight.device

    def parameter_count(self) -> int:
        """The number of parameters, with a tied output head counted once."""
        return sum(p.numel() for p in self.parameters())


class GPT(TokenModel):
    """A decoder-only transformer. `GPT(config)(ids_BT)` gives the logits [B, T, V]: row t predicts token t + 1."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False  # in training, store only the input of each block, and run it twice
        self.wte = embedding(config.vocab_size, config.width)  # token -> vector; tied, it is the output head too
        self.wpe = embedding(config.context, config.width)  # position -> vector
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, eps=config.layer_norm_epsilon)
        if not config.tied:
            self.lm_head = embedding(config.vocab_size, config.width)

    def initialise(self, generator: torch.Generator) -> "GPT":
        """GPT-2's: normal(0, 0.02), with the projections into the residual stream scaled by 1/sqrt(2 layers)."""
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=INIT_STD / math.sqrt(2 * self.config.layers), generator=generator)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=INIT_STD, generator=generator)
        return self

    def forward(
        self,
        ids_BT: Tensor,
        cache: KVCache | None = None,
        *,
        last_only: bool = False,
        weights: list[Tensor] | None = None,
        stream: list[Tensor] | None = None,
    ) -> Tensor:
        """Logits [B, T, V] for `ids_BT`, or [B, 1, V] for its last token.

        With a `cache`, the ids continue where it ends. A list given as `weights` receives every layer's attention
        weights [B, H, T, S], computed explicitly; one given as `stream` receives the residual stream [B, T, C]: the
        embeddings, then the output of each block.
        """
        start = cache.length if cache is not None else 0
        T = ids_BT.size(1)
        assert start + T <= self.config.context, "more tokens than positions"
        x_BTC = self.wte(ids_BT) + self.wpe.weight[start : start + T]
        x_BTC = dropout(x_BTC, self.config.dropout, self.training)
        if stream is not None:
            stream.append(x_BTC)
        for i, block in enumerate(self.h):
            if self.gradient_checkpointing and self.training:
                x_BTC = checkpoint(block, x_BTC, use_reentrant=False)
            else:
                x_BTC = block(x_BTC, partial(cache.append, i) if cache is not None else None, weights)
            if stream is not None:
                stream.append(x_BTC)
        if cache is not None:
            cache.length += T
        if last_only:
            x_BTC = x_BTC[:, -1:]
        return self.unembed(x_BTC)

    def unembed(self, x_BTC: Tensor) -> Tensor:
        """Turn the residual stream into logits [B, T, V]: final norm, then the output head."""
        return self.head(self.ln_f(x_BTC))

    def head(self, x_BTC: Tensor) -> Tensor:
        """A logit for each token: the product of the vector with the token's output vector."""
        return linear(x_BTC, self.unembedding)

    @property
    def unembedding(self) -> Tensor:
        """Each token's output vector [V, C]: its input vector, unless the two are untied."""
        return self.wte.weight if self.config.tied else self.lm_head.weight

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self.h if isinstance(block, Block)]
