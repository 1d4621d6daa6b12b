"""One decoding step of a GPT on the CPU, in C (step.c), where it could be compiled.

pip compiles it when it installs minigpt, if there is a C compiler; without one, everything works as it does, and a step
takes two to three times as long.
"""

import ctypes
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from minigpt.models.gpt import GPT, Conv1D
from minigpt.models.kv_cache import KVCache
from minigpt.models.precision import Int8GPT, Int8Product

_LANES = 16  # step.c adds so many numbers at once
_FLOAT, _BFLOAT16, _INT8 = range(3)


class _Matrix(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("weight", "scale", "bias")]


class _Norm(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("scale", "shift")]


class _Layer(ctypes.Structure):
    _fields_ = [
        ("before_attention", _Norm),
        ("qkv", _Matrix),
        ("projection", _Matrix),
        ("before_mlp", _Norm),
        ("inside", _Matrix),
        ("outside", _Matrix),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_long) for name in ("C", "H", "I", "V", "T", "layers", "matrices", "embeddings")),
        ("epsilon", ctypes.c_float),
        ("wte", ctypes.c_void_p),
        ("wpe", ctypes.c_void_p),
        ("last", _Norm),
        ("head", _Matrix),
        ("work", ctypes.c_void_p),
        ("layer", ctypes.c_void_p),
    ]


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled step.c; None if it is missing, or of another version than this file."""
    found = find_spec("minigpt.models._step")
    if found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)
        library.step_work.restype = library.step_model_size.restype = ctypes.c_long
        library.step.argtypes = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_int)
        fits = library.step_model_size() == ctypes.sizeof(_Model) + ctypes.sizeof(_Layer)
    except (OSError, AttributeError):
        return None
    return library if fits else None


def has_library() -> bool:
    """Whether step.c is compiled, in the same version as this file."""
    return _library() is not None


def is_native(model: GPT) -> bool:
    """Whether `NativeStep` supports the model: GPT-2's GELU, widths divisible by 16, on a CPU, step.c compiled."""
    config = model.config
    plain = config.activation == "gelu_new" and not config.width % _LANES and not config.mlp_width % _LANES
    known = model.wte.weight.dtype in (torch.float32, torch.bfloat16)
    return plain and known and model.device.type == "cpu" and has_library()


class NativeStep:
    """`step(token)` gives the float32 logits [V] after the token, which is added to the cache.

    Weights are read in place; with bfloat16 weights, activations stay in float32. The number of threads, torch's at
    that moment, does not change a single bit of a logit, because each sum is computed by one thread. The cache must be
    filled by the caller, whose torch products may depend on the threads. Raises IndexError for an unknown token.
    """

    def __init__(self, model: GPT, cache: KVCache) -> None:
        library, config = _library(), model.config
        assert library is not None
        self._step, self._cache, self._vocab = library.step, cache, config.vocab_size
        self._kept: list[object] = []  # what the pointers point to
        half = model.wte.weight.dtype == torch.bfloat16
        layers = (_Layer * config.layers)()
        for layer, block, (keys, values) in zip(layers, model.blocks, cache.kv[:, :, 0], strict=True):
            assert keys.is_contiguous()
            layer.before_attention, layer.before_mlp = self._norm(block.ln_1), self._norm(block.ln_2)
            layer.qkv, layer.projection = self._matrix(block.attn.c_attn), self._matrix(block.attn.c_proj)
            layer.inside, layer.outside = self._matrix(block.mlp.c_fc), self._matrix(block.mlp.c_proj)
            layer.keys, layer.values = self._at(keys), self._at(values)
        self._model = _Model(
            C=config.width,
            H=config.heads,
            I=config.mlp_width,
            V=config.vocab_size,
            T=config.context,
            layers=config.layers,
            matrices=_INT8 if isinstance(model, Int8GPT) else _BFLOAT16 if half else _FLOAT,
            embeddings=_BFLOAT16 if half else _FLOAT,
            epsilon=config.layer_norm_epsilon,
            wte=self._at(model.wte.weight),
            wpe=self._at(model.wpe.weight),
            last=self._norm(model.ln_f),
            head=self._int8(model.int8_head) if isinstance(model, Int8GPT) else _Matrix(self._at(model.unembedding)),
            layer=self._at(layers),
        )
        self._at_model = ctypes.addressof(self._model)
        self._model.work = self._at(torch.empty(library.step_work(ctypes.byref(self._model))))

    def __call__(self, token: int) -> Tensor:
        position, logits_V = self._cache.length, torch.empty(self._vocab)
        assert position < self._cache.kv.size(4), "a full cache takes no more"
        if not 0 <= token < self._vocab:  # C would read beyond the table
            raise IndexError(f"There is no token {token} in a vocabulary of {self._vocab}.")
        self._step(self._at_model, token, position, logits_V.data_ptr(), torch.get_num_threads())
        self._cache.length = position + 1
        return logits_V

    def _at(self, what: Tensor | ctypes.Array[_Layer]) -> int:
        """The address of a tensor, valid for as long as this step."""
        if isinstance(what, Tensor):
            what = what.detach().contiguous()
        self._kept.append(what)
        return what.data_ptr() if isinstance(what, Tensor) else ctypes.addressof(what)

    def _norm(self, norm: nn.LayerNorm) -> _Norm:
        return _Norm(self._at(norm.weight.float()), self._at(norm.bias.float()))

    def _matrix(self, part: Conv1D | Int8Product) -> _Matrix:
        if isinstance(part, Int8Product):
            return self._int8(part)
        weight = part.weight
        as_read = weight.T if weight.dtype == torch.bfloat16 else weight
        return _Matrix(self._at(as_read), None, self._at(part.bias.float()))

    def _int8(self, part: Int8Product) -> _Matrix:
        bias = None if part.bias is None else self._at(part.bias)
        return _Matrix(self._at(part.weight), self._at(part.scale.float()), bias)
