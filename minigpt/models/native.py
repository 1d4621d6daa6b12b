"""A GPT whose forward pass is C (forward.c), on the CPU and without torch, where it could be compiled."""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigpt.models.forward_library import Block, Cache, Model, Norm, Pass, Weights, forward_library, has_library
from minigpt.models.threads import StepThreads, most_threads
from minigpt.settings import ModelConfig
from minigpt.settings.model import ACTIVATIONS

LARGEST_INT8 = 127
_FLOAT, _BFLOAT16, _INT8 = range(3)
_PAD = 64  # as in forward.c
_FEW = 16
_LINE = 64  # bytes of the cache
_COPIED = 4 << 20  # bytes of a weight at most; larger ones wait for memory anyway


def is_native(config: ModelConfig) -> bool:
    """Whether a model of this shape can be a NativeGPT here: a GPT, and forward.c compiled."""
    return config.model == "gpt" and has_library()


def shapes_of(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each weight by its name; a layer's matrices are [in, out]."""
    width, inside, embedding = config.width, config.mlp_width, (config.vocab_size, config.width)
    parts = {
        "ln_1": (width,),
        "attn.c_attn": (width, 3 * width),
        "attn.c_proj": (width, width),
        "ln_2": (width,),
        "mlp.c_fc": (width, inside),
        "mlp.c_proj": (inside, width),
    }
    blocks = {f"h.{layer}.{name}": shape for layer in range(config.layers) for name, shape in parts.items()}
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": embedding, "wpe.weight": (config.context, width)}
    for name, shape in {**blocks, "ln_f": (width,)}.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[-1:]}
    return shapes if config.tied else {**shapes, "lm_head.weight": embedding}


class _CPU:
    """Where a NativeGPT computes, in place of a torch.device."""

    type = "cpu"

    def __str__(self) -> str:
        return self.type


class NativeCache:
    """The keys and values of `sequences` texts that grow together; `length` positions are filled.

    `keys` [layers, B, H, D, T padded], of which a query reads one number of every key after the other, and `values`
    [layers, B, H, T, D].
    """

    def __init__(self, config: ModelConfig, sequences: int) -> None:
        L, H, T, D = config.layers, config.heads, config.context, config.width // config.heads
        size = L * sequences * H * T * D
        self.keys = _room(L, sequences, H, D, -(-T // _PAD) * _PAD, make=np.zeros)
        self.values = _room(size + _PAD, make=np.zeros)[:size].reshape(L, sequences, H, T, D)  # C reads beyond the end
        self.length = 0
        self.step: _Step | None = None  # where the next token of a single sequence is read

    @property
    def column_bytes(self) -> int:
        """The size of one of the `columns`."""
        layers, _, heads, _, head_width = self.values.shape
        return 2 * layers * heads * head_width * self.values.itemsize

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these sequences only, numbered from 0."""
        self._set(self.keys[:, list(rows)], self.values[:, list(rows)])

    def repeat_first(self) -> None:
        """Copy the first sequence to all others."""
        self.keys[:, 1:], self.values[:, 1:] = self.keys[:, :1], self.values[:, :1]

    def columns(self, first: int) -> list[Any]:
        """Copies of the keys and values of a single sequence, one pair for each of its tokens from `first` on."""
        tokens = range(first, self.length)
        return [(self.keys[:, 0, :, :, t].copy(), self.values[:, 0, :, t].copy()) for t in tokens]

    def put(self, columns: Sequence[Any]) -> None:
        """Append what `columns` gave for the same tokens in the same places."""
        for t, (keys, values) in enumerate(columns, start=self.length):
            self.keys[:, 0, :, :, t], self.values[:, 0, :, t] = keys, values
        self.length += len(columns)

    def _set(self, keys: np.ndarray, values: np.ndarray) -> None:
        self.keys, self.step = np.ascontiguousarray(keys), None
        padded = _room(values.size + _PAD, make=np.zeros)
        self.values = padded[: values.size].reshape(values.shape)
        self.values[:] = values


class _Step:
    """What a pass over a single token needs, made once for a cache: making it takes as long as a small model."""

    def __init__(self, model: "NativeGPT", cache: NativeCache) -> None:
        self.id, self.logits_V = ctypes.c_int64(), np.empty(model.config.vocab_size, np.float32)
        self._cache = Cache(cache.keys.ctypes.data, cache.values.ctypes.data, cache.keys.shape[1])
        self.asked = Pass(
            model=model.at,
            cache=ctypes.addressof(self._cache),
            ids=ctypes.addressof(self.id),
            sequences=1,
            count=1,
            logits=self.logits_V.ctypes.data,
        )
        self.at = ctypes.addressof(self.asked)
        self._work = _room(model.library.forward_work(self.at, _FEW))
        self.asked.work = self._work.ctypes.data


class NativeGPT:
    """A GPT for inference: its weights are arrays, its forward pass is C.

    `weights` have GPT-2's names, without "transformer.", and are float32 arrays: matrices [in, out], embeddings [V, C]
    and [T, C], and lm_head.weight [V, C] unless it is tied. They are used in place: a mapped file is read as it is
    needed. With `copies`, all but the largest are copied when a text begins to be read token by token, so that they
    begin with a line of the cache, unless they do or are converted. With `dtype` bfloat16, matrices and embeddings are
    rounded to it; with `quantize` int8, matrices are whole numbers from -127 to 127 with a scale for each output. Sums,
    norms, biases and the cache are float32 in any case.

    The number of threads does not change a single bit of a logit, because each sum is computed by one thread. A token's
    logits are the same to the bit whether it is read alone or together with others, up to 16 at a time.
    """

    device = _CPU()

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, np.ndarray],
        *,
        dtype: str = "float32",
        quantize: str = "none",
        copies: bool = False,
    ) -> None:
        loaded = forward_library()
        assert loaded is not None, "forward.c is not compiled"
        self.config, self.dtype, self.quantize = config, dtype, quantize
        self.library, self._kept = loaded, list[object]()  # what pointers point to
        self._matrices = _INT8 if quantize == "int8" else _BFLOAT16 if dtype == "bfloat16" else _FLOAT
        self._to_copy = dict(weights) if copies and self._matrices == _FLOAT else {}
        self._threads = StepThreads(most_threads())
        self._place(weights)

    def _place(self, weights: Mapping[str, np.ndarray]) -> None:
        """Make the model that C reads. An earlier one stays in memory, for a pass in another thread."""
        config, half = self.config, self.dtype == "bfloat16"
        blocks = (Block * config.layers)()
        for number, block in enumerate(blocks):
            name = f"h.{number}."
            block.ln_1, block.ln_2 = self._norm(weights, f"{name}ln_1"), self._norm(weights, f"{name}ln_2")
            block.qkv = self._matrix(weights, f"{name}attn.c_attn")
            block.projection = self._matrix(weights, f"{name}attn.c_proj")
            block.inside = self._matrix(weights, f"{name}mlp.c_fc")
            block.outside = self._matrix(weights, f"{name}mlp.c_proj")
        wte = self._table(weights["wte.weight"], half=half)
        head = weights["wte.weight" if config.tied else "lm_head.weight"]
        of_head = (
            self._int8(head, None)
            if self.quantize == "int8"
            else Weights(wte if config.tied else self._table(head, half=half))
        )
        model = Model(
            C=config.width,
            H=config.heads,
            I=config.mlp_width,
            V=config.vocab_size,
            T=config.context,
            layers=config.layers,
            matrices=self._matrices,
            embeddings=_BFLOAT16 if half else _FLOAT,
            activation=ACTIVATIONS.index(config.activation),
            epsilon=config.layer_norm_epsilon,
            wte=wte,
            wpe=self._table(weights["wpe.weight"], half=half),
            ln_f=self._norm(weights, "ln_f"),
            head=of_head,
            blocks=self._at(blocks),
        )
        self.at = self._at(model)

    def new_cache(self, sequences: int = 1) -> NativeCache:
        """An empty cache. What is read from now on uses as many threads as are allowed now."""
        if (most := most_threads()) != self._threads.most:
            self._threads = StepThreads(most)
        return NativeCache(self.config, sequences)

    def read(self, ids: Sequence[Sequence[int]] | np.ndarray, cache: NativeCache, *, every: bool = False) -> np.ndarray:
        """Append `ids` [B, T] to the first B sequences of `cache`; returns the logits [B, V] after the last ones.

        With `every`, the logits [B, T, V] after each. Raises IndexError for an unknown token.
        """
        if self._to_copy and cache.length and len(ids[0]) == 1:
            self._copy_weights(cache)
        if len(ids) == len(ids[0]) == 1 and not every:
            return self._read_one(int(ids[0][0]), cache)
        ids_BT = self._checked(ids, cache)
        B, T = ids_BT.shape
        logits = np.empty((B, T, self.config.vocab_size) if every else (B, self.config.vocab_size), np.float32)
        self._run(ids_BT, cache, logits=logits.ctypes.data, every=every)
        cache.length += T
        return logits

    def _copy_weights(self, cache: NativeCache) -> None:
        """Have them begin with a line of the cache from now on. Two threads may do so at once, in vain."""
        weights, self._to_copy, cache.step = self._to_copy, {}, None
        if weights:
            self._place({name: in_lines(weight) for name, weight in weights.items()})

    def _read_one(self, token: int, cache: NativeCache) -> np.ndarray:
        """A step of decoding: logits [1, V]."""
        position, config = cache.length, self.config
        if not 0 <= token < config.vocab_size:  # C would read beyond the table
            raise IndexError(f"There is no token {token} in a vocabulary of {config.vocab_size}.")
        assert position < config.context, "a full cache takes no more"
        step = cache.step
        if step is None:
            step = cache.step = _Step(self, cache)
        step.id.value, step.asked.position = token, position
        with self._threads as threads:
            self.library.forward(step.at, threads)
        cache.length = position + 1
        return step.logits_V[None].copy()

    def nats(self, ids: np.ndarray, targets: np.ndarray, cache: NativeCache) -> np.ndarray:
        """Append `ids` [B, T] to the first B sequences; returns the loss [B, T] of `targets` in nats, in float64.

        A target below 0 is left out, and has a loss of 0.
        """
        ids_BT, targets_BT = self._checked(ids, cache), np.ascontiguousarray(targets, np.int64)
        assert ids_BT.shape == targets_BT.shape
        assert targets_BT.max(initial=0) < self.config.vocab_size
        nats = np.zeros(ids_BT.shape, np.float64)
        self._run(ids_BT, cache, targets=targets_BT.ctypes.data, nats=nats.ctypes.data)
        cache.length += ids_BT.shape[1]
        return nats

    def _checked(self, ids: Sequence[Sequence[int]] | np.ndarray, cache: NativeCache) -> np.ndarray:
        ids_BT, vocab_size = np.ascontiguousarray(ids, np.int64), self.config.vocab_size
        low, high = int(ids_BT.min()), int(ids_BT.max())
        if low < 0 or high >= vocab_size:  # C would read beyond the table
            raise IndexError(f"There is no token {low if low < 0 else high} in a vocabulary of {vocab_size}.")
        assert cache.length + ids_BT.shape[1] <= self.config.context, "a full cache takes no more"
        assert ids_BT.shape[0] <= cache.keys.shape[1]
        return ids_BT

    def _run(self, ids_BT: np.ndarray, cache: NativeCache, **asked: int) -> None:
        of_cache = Cache(cache.keys.ctypes.data, cache.values.ctypes.data, cache.keys.shape[1])
        sequences, count = ids_BT.shape
        asked_for = Pass(
            model=self.at,
            cache=ctypes.addressof(of_cache),
            ids=ids_BT.ctypes.data,
            sequences=sequences,
            count=count,
            position=cache.length,
            **asked,
        )
        at, most = ctypes.addressof(asked_for), self._threads.most
        work = _room(self.library.forward_work(at, most))
        asked_for.work = work.ctypes.data
        self.library.forward(at, most if sequences * count > _FEW else self._threads.count)

    def _at(self, what: Any) -> int:
        """The address of an array or a structure, which lives as long as this model."""
        self._kept.append(what)
        return what.ctypes.data if isinstance(what, np.ndarray) else ctypes.addressof(what)

    def _norm(self, weights: Mapping[str, np.ndarray], name: str) -> Norm:
        return Norm(self._table(weights[f"{name}.weight"]), self._table(weights[f"{name}.bias"]))

    def _table(self, weight: np.ndarray, *, half: bool = False) -> int:
        return self._at(as_bfloat16(weight) if half else np.require(weight, np.float32, ["C", "A"]))

    def _matrix(self, weights: Mapping[str, np.ndarray], name: str) -> Weights:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        if self._matrices == _INT8:
            return self._int8(weight.T, bias)
        half = self._matrices == _BFLOAT16
        return Weights(self._table(weight.T if half else weight, half=half), None, self._table(bias))

    def _int8(self, weight: np.ndarray, bias: np.ndarray | None) -> Weights:
        """`weight` [out, in]."""
        whole, scale = as_int8(weight)
        return Weights(self._at(whole), self._at(scale), None if bias is None else self._table(bias))


def in_lines(weight: np.ndarray) -> np.ndarray:
    """`weight`, or a copy that begins with a line of the cache. Without, a step takes up to 1.3 times as long."""
    if weight.ctypes.data % _LINE == 0 or weight.nbytes > _COPIED or weight.dtype != np.float32:
        return weight
    copy = _room(*weight.shape)
    copy[...] = weight
    return copy


def _room(*shape: int, make: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
    """Room for so many float32 numbers, which begins with a line of the cache."""
    size = math.prod(shape)
    room = make(size + _LINE // 4, np.float32)
    first = -room.ctypes.data % _LINE // 4
    return room[first : first + size].reshape(shape)


def as_bfloat16(weight: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 numbers, as uint16: float32 numbers rounded to the nearest, to even."""
    bits = np.ascontiguousarray(weight, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    rounded[np.isnan(weight)] = 0x7FC0
    return rounded


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers that these uint16 stand for in bfloat16."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def as_int8(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers [out, in] from -127 to 127 and a scale [out], a bfloat16 number, of `weight` [out, in]."""
    largest = np.abs(weight).max(axis=1, initial=0).clip(1e-30)
    scale = from_bfloat16(as_bfloat16(largest / np.float32(LARGEST_INT8)))
    whole = np.rint(weight / scale[:, None]).clip(-LARGEST_INT8, LARGEST_INT8)
    return np.ascontiguousarray(whole, np.int8), scale
