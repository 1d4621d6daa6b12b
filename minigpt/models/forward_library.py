"""The library made of forward.c: its structures, and the functions that native.py and vocabulary.py call.

pip compiles it when it installs minigpt, if there is a C compiler; without one, torch computes the pass, NumPy what
follows over the vocabulary, and minigpt starts and decodes more slowly.
"""

import ctypes
from functools import cache
from importlib.util import find_spec

_INTERFACE = 1  # as in forward.c
_AT, _SIZE = ctypes.c_void_p, ctypes.c_long


class Weights(ctypes.Structure):
    _fields_ = [(name, _AT) for name in ("weight", "scale", "bias")]


class Norm(ctypes.Structure):
    _fields_ = [(name, _AT) for name in ("gain", "shift")]


class Block(ctypes.Structure):
    _fields_ = [
        ("ln_1", Norm),
        ("qkv", Weights),
        ("projection", Weights),
        ("ln_2", Norm),
        ("inside", Weights),
        ("outside", Weights),
    ]


class Model(ctypes.Structure):
    _fields_ = [
        *((name, _SIZE) for name in ("C", "H", "I", "V", "T", "layers", "matrices", "embeddings", "activation")),
        ("epsilon", ctypes.c_float),
        ("wte", _AT),
        ("wpe", _AT),
        ("ln_f", Norm),
        ("head", Weights),
        ("blocks", _AT),
    ]


class Cache(ctypes.Structure):
    _fields_ = [("keys", _AT), ("values", _AT), ("sequences", _SIZE)]


class Pass(ctypes.Structure):
    _fields_ = [
        *((name, _AT) for name in ("model", "cache", "ids")),
        *((name, _SIZE) for name in ("sequences", "count", "position")),
        *((name, _AT) for name in ("targets", "nats", "logits")),
        ("every", _SIZE),
        ("work", _AT),
    ]


@cache
def forward_library() -> ctypes.CDLL | None:
    """The compiled forward.c; None if it is missing, or of another version than this file."""
    found = find_spec("minigpt.models._forward")
    if found is None or found.origin is None:
        return None
    try:
        loaded = ctypes.CDLL(found.origin)
        loaded.forward_size.restype = loaded.forward_work.restype = _SIZE
        loaded.forward_work.argtypes = loaded.forward.argtypes = (_AT, ctypes.c_int)
        loaded.forward.restype, loaded.forward_level.argtypes = None, (ctypes.c_int,)
        loaded.softmax.argtypes, loaded.softmax.restype = (_AT, _SIZE, _AT), ctypes.c_double
        loaded.draw.argtypes, loaded.draw.restype = (_AT, _SIZE, ctypes.c_double), _SIZE
        loaded.list_tokens.argtypes, loaded.list_tokens.restype = (_AT, *(_SIZE,) * 4, _AT), _SIZE
        fits = loaded.forward_size() == sum(map(ctypes.sizeof, (Model, Block, Cache, Pass))) + _INTERFACE
    except (OSError, AttributeError):
        return None
    return loaded if fits else None


def has_library() -> bool:
    """Whether forward.c is compiled, in the same version as this file."""
    return forward_library() is not None


def instruction_set() -> str:
    """What this processor computes with: AVX512, AVX2 or DEFAULT, as torch calls them."""
    loaded = forward_library()
    if loaded is not None:
        return {3: "AVX2", 4: "AVX512"}.get(loaded.forward_level(0), "DEFAULT")
    import torch

    return str(torch.backends.cpu.get_cpu_capability())
