"""Token ids in, one at a time or a window at once; the logits of the next token out: a GPT with its cache."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.models.baselines import Baseline
from minigpt.models.gpt import ACTIVATIONS, GPT, Block
from minigpt.models.kv_cache import KVCache, window_start
from minigpt.models.native import NativeStep, is_native
from minigpt.models.precision import Int8GPT, Int8Product
from minigpt.models.threads import StepThreads, one_thread_but_for_steps, step_threads

# A one-row product in two halves that are added streams the weights up to 1.7 times as fast on two cores. Below this
# width a product is over before a second core has woken up.
_SPLIT_WIDTH = 256
_HEAD_PARAMETERS = 1 << 24  # from here on, the output head is worth a copy as [C, V], which streams twice as fast


@contextmanager
def decoding_threads(model: GPT | Baseline) -> Iterator[None]:
    """One thread for a narrow model on a CPU, which is no faster with two, and 40 times slower when another program
    keeps one of the cores busy. The steps that step.c takes are: they choose their threads themselves, as they go.
    """
    if model.config.width >= _SPLIT_WIDTH or model.device.type != "cpu":
        yield
        return
    with one_thread_but_for_steps():
        yield


class Decoder:
    """Feeds a text to a model token by token and moves the window on when it is full.

    `ids` are all tokens so far; `start` is the index of the first one that the model still sees. The first step makes
    what all of them need.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.config = model.config
        self.cache = KVCache(model.config, device=model.device, dtype=model.wte.weight.dtype)
        self.ids: list[int] = []
        self.start = 0
        self._step: Callable[[int], Tensor] | None = None

    def prefill(self, ids: Sequence[int]) -> Tensor:
        """Read `ids` (one or more) from the start, in one pass over the window; the logits [V] after the last."""
        return self.read(ids, last_only=True)[0]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], *, last_only: bool = False) -> Tensor:
        """As `prefill`, with the logits [T, V] after every token of the window."""
        self.ids = list(ids)
        self.start = window_start(len(self.ids), self.config.context)
        window = torch.tensor([self.ids[self.start :]], device=self.model.device)
        self.cache.length = 0
        return self.model(window, self.cache, last_only=last_only)[0]

    def step(self, token: int) -> Tensor:
        """Append one token; the logits [V] after it."""
        if window_start(len(self.ids) + 1, self.config.context) != self.start:
            return self.prefill([*self.ids, token])
        self.ids.append(token)
        if self._step is None:
            self._step = self._make_step()
        return self._step(token)

    def columns(self, first: int) -> tuple[Tensor, ...]:
        """Copies [layers, 2, 1, H, D] of the keys and values of each token of the window, from number `first` on."""
        return self.cache.kv[:, :, :, :, first : self.cache.length].clone().unbind(4)

    def resume(self, ids: Sequence[int], kept: int, columns: Sequence[Tensor]) -> None:
        """Stand behind `ids` without running the model. The first `kept` tokens of their window are those of the window
        so far; `columns` are those of the others, as they were when these very tokens were in the same places.
        """
        self.ids, self.start = list(ids), window_start(len(ids), self.config.context)
        self.cache.length = kept + len(columns)
        if columns:
            self.cache.kv[:, :, :, :, kept : self.cache.length] = torch.stack(tuple(columns), dim=4)

    def _make_step(self) -> Callable[[int], Tensor]:
        """Only step.c may change its number of threads on the way: torch's products would change their last bits."""
        if not is_native(self.model):
            return FlatStep(self.model, self.cache, torch.get_num_threads())
        return StepThreads(step_threads()).around(NativeStep(self.model, self.cache))


class FlatStep:
    """`GPT.forward` for a single token, written flat: `step(token)` is the logits [V] after it.

    nn.Module's calls are left out, which takes a sixth of the time at 6 layers x 384. A test pins both equal.
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
    """Weights and biases in the order of their use; an Int8Product stands for its own weight."""
    parts: Sequence[nn.Module] = (
        block.ln_1,
        block.attn.c_attn,
        block.attn.c_proj,
        block.ln_2,
        block.mlp.c_fc,
        block.mlp.c_proj,
    )
    return tuple(t for part in parts for t in (part if isinstance(part, Int8Product) else part.weight, part.bias))


def _head(model: GPT) -> Callable[[Tensor], Tensor]:
    """x [1, C] -> the logits. A large one on a CPU, in float32, from a copy [C, V] of the output's vectors."""
    if isinstance(model, Int8GPT) or model.device.type != "cpu":
        return model.head
    head = model.unembedding.detach()
    if head.dtype == torch.bfloat16:
        return lambda x: torch.mv(head, x[0])
    return partial(torch.mm, mat2=head.T.contiguous() if head.numel() >= _HEAD_PARAMETERS else head.T)


def _product(model: GPT, threads: int) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """(bias, x [1, in], weight) -> bias + x @ weight, the fastest way for how the weights are stored."""
    if isinstance(model, Int8GPT):
        return _int8_product
    if model.device.type == "cpu" and model.wte.weight.dtype == torch.bfloat16:
        return _row_product
    return _split_product if _pays_to_split(model, threads) else torch.addmm


def _pays_to_split(model: GPT, threads: int) -> bool:
    even = model.config.width % 2 == 0 and model.config.mlp_width % 2 == 0
    return even and model.config.width >= _SPLIT_WIDTH and model.device.type == "cpu" and threads > 1


def _split_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`bias + x @ weight` for one row x [1, in]: the two halves of `in` at once."""
    return torch.bmm(x.view(2, 1, -1), weight.view(2, -1, weight.size(1))).sum(0).add_(bias)


def _row_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`bias + x @ weight` for one row x [1, in] and a weight that lies in memory as [out, in]."""
    return torch.addmv(bias, weight.T, x[0])[None]


def _int8_product(bias: Tensor, x: Tensor, part: Int8Product) -> Tensor:
    return torch._weight_int8pack_mm(x.to(torch.bfloat16), part.weight, part.scale).float().add_(bias)
