"""A small GPT and the keys and values of a text in; the logits after one more token out, in as few calls as can be.

One token through a narrow layer takes a few microseconds of arithmetic, and each call around it another. So what is
linear is multiplied out beforehand, into copies of the weights:

- All that is added to the stream has its mean over the width taken off first. The stream then has the mean 0, and of a
  layer norm only the division is left: its scale and shift go into the product that follows it.
- A bias is one more row of its matrix, which meets the 1 behind each input. 1/sqrt(D) goes into the queries.
- A matrix is cut into as many groups of columns as there are threads. Each core meets the same group at every step and
  finds it in its own cache; and no sum is divided, so that the logits do not depend on the number of threads.
- Products and GELU are torch's; the rest is NumPy's, whose calls on a few hundred numbers take a third of the time.
- The values have a column of ones: the weighted sum of it is what the softmax divides by.

A test pins the logits to those of GPT.forward.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.gpt import GPT, LAYER_NORM_EPS, Conv1D
from minigpt.models.kv_cache import KVCache

LARGEST = 1 << 24  # parameters: a copy of 64 MB, made in 0.1 s; in larger models the weights take nearly all the time
_COLUMNS = 64  # the fewest that are worth a thread


class _Layer(NamedTuple):
    """Its products, each from the buffer where its input is into the one where its output belongs; what it has seen."""

    attention: Callable[[], Tensor]
    projection: Callable[[], Tensor]
    inside: Callable[[], Tensor]
    outside: Callable[[], Tensor]
    keys_HDT: np.ndarray
    values_HTD: np.ndarray


def can_fold(model: GPT) -> bool:
    """Whether the model is on the CPU, in float32, small, and one as in the GPT-2 release."""
    weight = model.wte.weight
    plain = all(isinstance(part, Conv1D) for block in model.blocks for part in (block.attn.c_attn, block.mlp.c_fc))
    small = model.config.parameter_count() <= LARGEST
    return plain and small and model.config.is_usual and weight.device.type == "cpu" and weight.dtype == torch.float32


def count_parts(width: int, threads: int) -> int:
    """Into how many groups of columns a matrix is cut: at most a thread each."""
    return max(parts for parts in range(1, max(1, min(threads, width // _COLUMNS)) + 1) if width % parts == 0)


class FoldedStep:
    """`step(token)` is the logits [V] after one more token; `begin` takes over what a prefill has cached."""

    @torch.inference_mode()
    def __init__(self, model: GPT, cache: KVCache, threads: int) -> None:
        C, H, V, T = model.config.width, model.config.heads, model.config.vocab_size, model.config.context
        D, parts = C // H, count_parts(C, threads)
        self._cache, self._context, self._width, self._vocab = cache, T, C, V
        self._wte, self._wpe = _centred(model.wte.weight).numpy(), _centred(model.wpe.weight).numpy()
        self._x = np.empty(C, np.float32)
        normed, mixed, inner = _ending_with_1(C), _ending_with_1(C), _ending_with_1(4 * C)
        qkv, change = torch.empty(3 * C), torch.empty(C)
        self._normed, self._change, self._inner = normed[:C].numpy(), change.numpy(), inner[: 4 * C]
        self._q, self._k, self._v = (part.reshape(H, 1, D) for part in qkv.numpy().reshape(3, C))
        self._mixed = mixed[:C].numpy().reshape(H, 1, D)

        def product(weight: Tensor, x: Tensor, y: Tensor | None = None) -> Callable[[], Tensor]:
            """Cut into parts; without `y`, each product is a new tensor."""
            columns = weight.view(len(weight), parts, -1).transpose(0, 1).contiguous()
            out = None if y is None else y.view(parts, 1, -1)
            return partial(torch.bmm, x.view(1, 1, -1).expand(parts, 1, -1), columns, out=out)

        scale_q = torch.ones(3 * C)
        scale_q[:C] = 1 / math.sqrt(D)
        keys, values = (np.ones((model.config.layers, H, *shape), np.float32) for shape in ((D, T), (T, D + 1)))
        self._layers = [
            _Layer(
                product(_after_norm(block.ln_1, block.attn.c_attn) * scale_q, normed, qkv),
                product(_into_stream(block.attn.c_proj), mixed, change),
                product(_after_norm(block.ln_2, block.mlp.c_fc), normed, self._inner),
                product(_into_stream(block.mlp.c_proj), inner, change),
                *seen,
            )
            for block, *seen in zip(model.blocks, keys, values, strict=True)
        ]
        head = _with_bias(model.ln_f.weight[:, None] * model.wte.weight.T, model.wte.weight @ model.ln_f.bias)
        self._head = product(F.pad(head, (0, -V % parts)), normed)

    def begin(self) -> None:
        """Take over the keys and values of the cache, which stays as it is."""
        self._length = n = self._cache.length
        for layer, kv in zip(self._layers, self._cache.kv[:, :, 0, :, :n].numpy(), strict=True):
            layer.keys_HDT[:, :, :n] = kv[0].transpose(0, 2, 1)
            layer.values_HTD[:, :n, :-1] = kv[1]

    def settle(self) -> None:
        """Put the keys and values of the steps since then into the cache."""
        first, end = self._cache.length, self._length
        for layer, kv in zip(self._layers, self._cache.kv[:, :, 0, :, first:end].numpy(), strict=True):
            kv[0] = layer.keys_HDT[:, :, first:end].transpose(0, 2, 1)
            kv[1] = layer.values_HTD[:, first:end, :-1]
        self._cache.length = end

    def __call__(self, token: int) -> Tensor:
        with np.errstate(all="ignore"):  # damaged weights are found out by their logits
            return self._forward(token)

    def _forward(self, token: int) -> Tensor:
        x, position = self._x, self._length
        self._length = end = position + 1
        np.add(self._wte[token], self._wpe[position], x)
        for attention, projection, inside, outside, keys, values in self._layers:
            self._norm()
            attention()
            keys[:, :, position] = self._k[:, 0]
            values[:, position, :-1] = self._v[:, 0]
            scores = np.matmul(self._q, keys[:, :, :end])  # [H, 1, end]
            np.subtract(scores, np.maximum.reduce(scores, 2, keepdims=True), scores)
            sums = np.matmul(np.exp(scores, scores), values[:, :end])  # [H, 1, D + 1]
            np.divide(sums[:, :, :-1], sums[:, :, -1:], self._mixed)
            projection()
            np.add(x, self._change, x)
            self._norm()
            inside()
            F.gelu(self._inner, approximate="tanh", out=self._inner)  # type: ignore[call-arg]
            outside()
            np.add(x, self._change, x)
        self._norm()
        return self._head().view(-1)[: self._vocab]

    def _norm(self) -> None:
        x = self._x
        np.multiply(x, 1 / math.sqrt(x.dot(x) / self._width + LAYER_NORM_EPS), self._normed)


def _ending_with_1(size: int) -> Tensor:
    return torch.ones(size + 1)


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(-1, keepdim=True)


def _with_bias(weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([weight, bias[None]])  # [in + 1, out]


def _after_norm(norm: torch.nn.LayerNorm, part: Conv1D) -> Tensor:
    return _with_bias(norm.weight[:, None] * part.weight, part.bias + norm.bias @ part.weight)


def _into_stream(part: Conv1D) -> Tensor:
    return _centred(_with_bias(part.weight, part.bias))
