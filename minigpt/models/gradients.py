"""A GPT's loss and its gradients on the CPU, in C (train.c), where it could be compiled.

The result is that of autograd on gpt.py, in less time: what lies between two products is computed in one pass over
memory, and each thread takes its part of the batch forward and backward alone. The threads wait for each other once a
step, not at every operation, so another program that uses a core slows them in proportion.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from minigpt.models import train_library as c
from minigpt.models.gpt import GPT, MLP, Block, CausalSelfAttention, Conv1D
from minigpt.models.train_library import train_library
from minigpt.models.workers import Workers

_TOKENS_AT_ONCE = 512  # of a thread, or one window: what lies between two products then stays in its cache
_LOGITS_AT_ONCE = 1 << 25  # numbers, over all threads
_ALIGNED = 16  # numbers: every gradient begins a line of the cache

Batch = tuple[Tensor, Tensor]  # ids and targets [B, T], int64


def has_gradients(model: GPT) -> bool:
    """Whether `Gradients` supports the model: a GPT with all its parts and GPT-2's GELU, in float32 on a CPU, where
    train.c is compiled.

    A part of it may be frozen: the embeddings, and with them the first blocks.
    """
    weight, config = model.wte.weight, model.config
    whole = all(type(b.attn) is CausalSelfAttention and type(b.mlp) is MLP for b in model.blocks)
    plain = whole and config.activation == "gelu_new" and weight.dtype == torch.float32
    return plain and weight.device.type == "cpu" and _learns_upwards(model) and train_library() is not None


def _learns_upwards(model: GPT) -> bool:
    learning = [{p.requires_grad for p in block.parameters()} for block in model.blocks]
    lowest = sum(each == {False} for each in learning)
    embeddings = {model.wte.weight.requires_grad, model.wpe.weight.requires_grad}
    top = all(p.requires_grad for p in model.ln_f.parameters())
    return top and all(each == {True} for each in learning[lowest:]) and not (lowest and True in embeddings)


class Gradients:
    """`gradients(batches, key)` sets the `grad` of each parameter that learns, and returns the mean loss in nats.

    `key` chooses what dropout zeroes. The result depends on the number of `threads` in its last bits. The model's
    parameters must stay where they are in memory; the memory of the gradients is used again by the next call.
    `bfloat16`: multiply in that, if the processor can.
    """

    def __init__(self, model: GPT, workers: Workers, *, bfloat16: bool = False) -> None:
        self._model, self._workers, self._bfloat16 = model, workers, bfloat16
        self._parts: list[_Part] = []
        self.squares = 0.0  # the sum of the squares of all gradients

    @property
    def flat(self) -> Tensor:
        """All gradients of the last call, in one tensor of which they are parts."""
        return self._parts[0].flat

    def __call__(self, batches: Sequence[Batch], key: int) -> float:
        ids, targets = (torch.cat(each) for each in zip(*batches, strict=True))
        keys = np.random.SeedSequence(key).generate_state(2 * self._model.config.layers + 1)
        nats = self._in_parts(
            ids, lambda part, share: part.learn(ids[share], targets[share], ids.numel(), share.start, keys)
        )
        flat = [part.flat for part in self._parts[: len(nats)]]
        self.squares = sum(
            self._workers.run(
                [partial(_add_up, [each[share] for each in flat]) for share in _shares(len(flat[0]), len(flat))]
            )
        )
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                parameter.grad = self._parts[0].gradients[name]
        return sum(nats) / ids.numel()

    def nats(self, ids_BT: Tensor, targets_BT: Tensor) -> float:
        """The summed nats of these windows, without dropout and gradients."""
        return sum(self._in_parts(ids_BT, lambda part, share: part.nats(ids_BT[share], targets_BT[share])))

    def _in_parts(self, ids_BT: Tensor, work: Callable[["_Part", slice], float]) -> list[float]:
        """What `work` returns for each thread's share of the windows."""
        shares = _shares(len(ids_BT), min(self._workers.count, len(ids_BT)))
        for _ in range(len(shares) - len(self._parts)):
            self._parts.append(_Part(self._model, _LOGITS_AT_ONCE // self._workers.count, bfloat16=self._bfloat16))
        parts = zip(self._parts, shares, strict=False)
        return self._workers.run([partial(work, part, share) for part, share in parts])


def _shares(size: int, count: int) -> list[slice]:
    return [slice(first, end) for first, end in pairwise(size * i // count for i in range(count + 1))]


def _add_up(gradients: list[Tensor]) -> float:
    library = train_library()
    assert library is not None
    addresses = (ctypes.c_void_p * len(gradients))(*(each.data_ptr() for each in gradients))
    squares: float = library.train_add_up(addresses, len(gradients), len(gradients[0]))
    return squares


class _Part:
    """One thread's part of the batch: its gradients, and memory for the activations of so many windows at once."""

    def __init__(self, model: GPT, logits_at_once: int, *, bfloat16: bool) -> None:
        config, library = model.config, train_library()
        assert library is not None
        self._library = library
        parameters = dict(model.named_parameters())
        sizes = [-(-p.numel() // _ALIGNED) * _ALIGNED for p in parameters.values()]
        self.flat = torch.empty(sum(sizes))
        places = zip(parameters.items(), self.flat.split(sizes), strict=True)
        self.gradients = {name: place[: p.numel()].view_as(p) for (name, p), place in places}
        self._addresses = {id(p): self.gradients[name].data_ptr() for name, p in parameters.items() if p.requires_grad}
        self._blocks = (c.Block * config.layers)(*map(self._block, model.blocks))
        learning = [block.ln_1.weight.requires_grad for block in model.blocks]
        unembedding = model.wte.weight if config.tied else model.lm_head.weight
        self._model = c.Model(
            C=config.width,
            H=config.heads,
            I=config.mlp_width,
            V=config.vocab_size,
            T=config.context,
            L=config.layers,
            rows=max(1, logits_at_once // config.vocab_size),
            lowest=learning.count(False),
            epsilon=config.layer_norm_epsilon,
            dropped=round(config.dropout * (1 << 24)),
            scale=1 / (1 - config.dropout),
            bfloat16=bfloat16,
            wte=model.wte.weight.data_ptr(),
            wpe=model.wpe.weight.data_ptr(),
            head=unembedding.data_ptr(),
            dwte=self._gradient_of(model.wte.weight),
            dwpe=self._gradient_of(model.wpe.weight),
            dhead=self._gradient_of(unembedding),
            ln_f=self._norm(model.ln_f),
            blocks=ctypes.addressof(self._blocks),
        )
        self._work, self._no_keys = torch.empty(0), np.zeros(2 * config.layers + 1, np.uint32)

    def _block(self, block: Block) -> c.Block:
        attn, mlp = block.attn, block.mlp
        return c.Block(
            ln_1=self._norm(block.ln_1),
            qkv=self._linear(attn.c_attn),
            projection=self._linear(attn.c_proj),
            ln_2=self._norm(block.ln_2),
            inside=self._linear(mlp.c_fc),
            outside=self._linear(mlp.c_proj),
        )

    def _norm(self, norm: nn.LayerNorm) -> c.Norm:
        gain, shift = norm.weight, norm.bias
        return c.Norm(gain.data_ptr(), shift.data_ptr(), self._gradient_of(gain), self._gradient_of(shift))

    def _linear(self, part: Conv1D) -> c.Linear:
        weight, bias = part.weight, part.bias
        gradients = self._gradient_of(weight), self._gradient_of(bias)
        return c.Linear(weight.data_ptr(), bias.data_ptr(), *gradients, *weight.shape)

    def _gradient_of(self, parameter: Tensor) -> int | None:
        """The address of a parameter's gradient; None, a null pointer, if it is frozen."""
        return self._addresses.get(id(parameter))

    def learn(self, ids_BT: Tensor, targets_BT: Tensor, tokens: int, first: int, keys: np.ndarray) -> float:
        """The summed nats of these windows; `flat` receives the gradient of their share of the mean over all `tokens`.

        `first`: how many windows of the batch come before them. `keys` [2 layers + 1]: one for each use of dropout.
        """
        self.flat.zero_()
        return self._pass(ids_BT, targets_BT, first, 1 / tokens, keys, learn=True)

    def nats(self, ids_BT: Tensor, targets_BT: Tensor) -> float:
        """The summed nats of these windows, without dropout and gradients."""
        return self._pass(ids_BT, targets_BT, 0, 1.0, self._no_keys, learn=False)

    def _pass(
        self, ids_BT: Tensor, targets_BT: Tensor, first: int, scale: float, keys: np.ndarray, *, learn: bool
    ) -> float:
        ids, targets, context = ids_BT.contiguous(), targets_BT.contiguous(), ids_BT.size(1)
        self._model.keys, self._model.T = keys.ctypes.data, context
        self._model.at_once = context * min(len(ids_BT), max(1, _TOKENS_AT_ONCE // context))
        at_model = ctypes.addressof(self._model)
        size = self._library.train_work(at_model)
        if len(self._work) < size:
            self._work = torch.empty(size)
        places = ids.data_ptr(), targets.data_ptr(), ids.numel(), first * context
        nats: float = self._library.train_pass(at_model, *places, scale, learn, self._work.data_ptr())
        return nats
