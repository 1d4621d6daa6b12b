"""A GPT of torch's as a `Network`: through C on the same weights where that is possible, else through torch.

A single token goes through a forward pass that is unrolled, without nn.Module's calls.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.models.functional import as_array
from minigpt.models.gpt import ACTIVATIONS, GPT, Block
from minigpt.models.kinds import Model
from minigpt.models.kv_cache import KVCache
from minigpt.models.native import NativeGPT, is_native, shapes_of
from minigpt.models.network import NOT_SCORED, Autocast, Network
from minigpt.models.precision import Int8GPT, Int8Product
from minigpt.models.workers import one_thread

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


def network(model: GPT) -> Network:
    """A NativeGPT that shares the memory of a plain GPT in float32 on a CPU; for any other, a TorchNetwork."""
    weights = dict(model.state_dict())
    is_plain = {name: tuple(t.shape) for name, t in weights.items()} == shapes_of(model.config)
    at_hand = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in weights.values())
    if is_plain and at_hand and is_native(model.config):
        return NativeGPT(model.config, {name: t.numpy() for name, t in weights.items()})
    return TorchNetwork(model)


class TorchNetwork:
    """A GPT that continues a KVCache in torch."""

    def __init__(self, model: GPT) -> None:
        self.model, self.config = model, model.config
        self._step: FlatStep | None = None
        self._step_kv: Tensor | None = None

    def new_cache(self, sequences: int = 1) -> KVCache:
        """An empty cache."""
        return KVCache(self.config, sequences, device=self.model.device, dtype=self.model.wte.weight.dtype)

    def read(self, ids: Sequence[Sequence[int]], cache: KVCache, *, every: bool = False) -> np.ndarray:
        """Like NativeGPT.read."""
        if len(ids) == len(ids[0]) == cache.kv.size(2) == 1:
            logits_BTV = self._single_step(cache)(ids[0][0]).view(1, 1, -1)
        else:
            logits_BTV = self._forward(torch.tensor(ids, device=self.model.device), cache, last_only=not every)
        found = as_array(logits_BTV)
        return found if every else found[:, -1]

    def nats(self, ids: np.ndarray, targets: np.ndarray, cache: KVCache) -> np.ndarray:
        """Like NativeGPT.nats, of an empty cache."""
        assert not cache.length
        return target_nats(self.model, ids, targets)

    @torch.inference_mode()
    def _forward(self, ids_BT: Tensor, cache: KVCache, *, last_only: bool) -> Tensor:
        every, rows = cache.kv, len(ids_BT)
        cache.kv = every[:, :, :rows]
        try:
            return self.model(ids_BT, cache, last_only=last_only)
        finally:
            cache.kv = every

    def _single_step(self, cache: KVCache) -> FlatStep:
        """The step that writes to this cache; another cache lies elsewhere."""
        if self._step is None or self._step_kv is not cache.kv:
            self._step, self._step_kv = FlatStep(self.model, cache, torch.get_num_threads()), cache.kv
        return self._step


@torch.inference_mode()
def target_nats(model: Model, ids: np.ndarray, targets: np.ndarray, autocast: Autocast | None = None) -> np.ndarray:
    """The loss [B, T] of `targets` in nats, in float64, and 0 for NOT_SCORED."""
    ids_BT, targets_BT = (torch.from_numpy(numbers).to(model.device) for numbers in (ids, targets))
    with nullcontext() if autocast is None else autocast():
        logits_BTV = model(ids_BT)
    return loss_of(logits_BTV, targets_BT)


def loss_of(logits_BTV: Tensor, targets_BT: Tensor) -> np.ndarray:
    """The loss [B, T] of `targets_BT` by these logits, in float64."""
    flat = F.cross_entropy(
        logits_BTV.float().flatten(0, 1), targets_BT.flatten(), reduction="none", ignore_index=NOT_SCORED
    )
    return flat.cpu().double().view(targets_BT.shape).numpy()


@contextmanager
def decoding_threads(model: Model) -> Iterator[None]:
    """Use one thread for a narrow model on a CPU."""
    narrow = model.config.width < SPLIT_WIDTH and model.device.type == "cpu"
    with one_thread() if narrow else nullcontext():
        yield
