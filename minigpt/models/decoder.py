"""Token ids in, one at a time or a window at once; the logits of the next token out: a GPT with its cache."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.gpt import GPT, LAYER_NORM_EPS, Block
from minigpt.models.kv_cache import KVCache, window_start

# A one-row product runs on one core; in two halves that are added it runs on two, and streams the weights 1.7 times
# as fast. Below this width a product is over before a second core has woken up.
_SPLIT_WIDTH = 256


@contextmanager
def decoding_threads(model: GPT) -> Iterator[None]:
    """One thread for a narrow model on a CPU, whose steps are no faster with two, and 40 times slower when another
    program keeps one of the cores busy: a product waits for the thread that is not being run.
    """
    threads = torch.get_num_threads()
    if model.config.width < _SPLIT_WIDTH and model.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Decoder:
    """Feeds a text to a model token by token and moves the window on when it is full.

    `ids` are all tokens so far; `start` is the index of the first one that the model still sees.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.config = model.config
        self.cache = KVCache(model.config, device=model.device, dtype=model.wte.weight.dtype)
        self._outer = (model.wte.weight, model.wpe.weight, model.ln_f.weight, model.ln_f.bias)
        self._layers = [_layer_tensors(block) for block in model.blocks]
        self.ids: list[int] = []
        self.start = 0
        self._product = _split_product if _pays_to_split(model) else torch.addmm

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

    @torch.inference_mode()
    def step(self, token: int) -> Tensor:
        """Append one token; the logits [V] after it."""
        if window_start(len(self.ids) + 1, self.config.context) != self.start:
            return self.prefill([*self.ids, token])
        self.ids.append(token)
        return self._forward_one(token)

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

    def _forward_one(self, token: int) -> Tensor:
        """`GPT.forward` for a single token, written flat.

        A small model's products take less time than nn.Module's calls around them: without those, a step at 4 layers
        x 128 takes half of the time. A test pins both equal.
        """
        product, C, position = self._product, self.config.width, self.cache.length
        shape, heads, head_width = (C,), self.config.heads, C // self.config.heads
        wte, wpe, lnf_w, lnf_b = self._outer
        slots, views = self.cache.next_slots()
        x = wte.narrow(0, token, 1) + wpe.narrow(0, position, 1)  # [1, C]
        for i, layer in enumerate(self._layers):
            ln1_w, ln1_b, attn_w, attn_b, proj_w, proj_b, ln2_w, ln2_b, fc_w, fc_b, out_w, out_b = layer
            h = torch.layer_norm(x, shape, ln1_w, ln1_b, LAYER_NORM_EPS)
            qkv = product(attn_b, h, attn_w).view(3, 1, heads, 1, head_width)
            slots[i].copy_(qkv.narrow(0, 1, 2))
            y = F.scaled_dot_product_attention(qkv.select(0, 0), views[2 * i], views[2 * i + 1]).view(1, C)
            x.add_(product(proj_b, y, proj_w))
            h = torch.layer_norm(x, shape, ln2_w, ln2_b, LAYER_NORM_EPS)
            h = F.gelu(product(fc_b, h, fc_w), approximate="tanh")
            x.add_(product(out_b, h, out_w))
        self.cache.length += 1
        x = torch.layer_norm(x, shape, lnf_w, lnf_b, LAYER_NORM_EPS)
        return F.linear(x, wte)[0]


def _layer_tensors(block: Block) -> tuple[Tensor, ...]:
    parts = (block.ln_1, block.attn.c_attn, block.attn.c_proj, block.ln_2, block.mlp.c_fc, block.mlp.c_proj)
    return tuple(t for part in parts for t in (part.weight, part.bias))


def _pays_to_split(model: GPT) -> bool:
    wide = model.config.width >= _SPLIT_WIDTH and model.config.width % 2 == 0
    return wide and model.device.type == "cpu" and torch.get_num_threads() > 1


def _split_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`bias + x @ weight` for one row x [1, in]: the two halves of `in` at once."""
    return torch.bmm(x.view(2, 1, -1), weight.view(2, -1, weight.size(1))).sum(0).add_(bias)
