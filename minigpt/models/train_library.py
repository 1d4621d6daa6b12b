"""The library made of train.c: its structures, and the functions that gradients.py and the optimizers call.

pip compiles it when it installs minigpt, if there is a C compiler; without one, everything works as it does, through
torch, and training is slower.
"""

import ctypes
from functools import cache
from importlib.util import find_spec

_AVX2 = 3  # as in x86-64-v3
_AT, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float


class Norm(ctypes.Structure):
    _fields_ = [(name, _AT) for name in ("gain", "shift", "dgain", "dshift")]


class Linear(ctypes.Structure):
    _fields_ = [
        *((name, _AT) for name in ("weight", "bias", "dweight", "dbias")),
        *((name, _SIZE) for name in ("n_in", "n_out")),
    ]


class Block(ctypes.Structure):
    _fields_ = [
        ("ln_1", Norm),
        ("qkv", Linear),
        ("projection", Linear),
        ("ln_2", Norm),
        ("inside", Linear),
        ("outside", Linear),
    ]


class Model(ctypes.Structure):
    _fields_ = [
        *((name, _SIZE) for name in ("C", "H", "I", "V", "T", "L", "at_once", "rows", "lowest")),
        ("epsilon", _FLOAT),
        ("dropped", ctypes.c_int32),
        ("scale", _FLOAT),
        ("bfloat16", ctypes.c_int32),
        *((name, _AT) for name in ("keys", "wte", "wpe", "head", "dwte", "dwpe", "dhead")),
        ("ln_f", Norm),
        ("blocks", _AT),
    ]


class AdamW(ctypes.Structure):
    _fields_ = [(name, _FLOAT) for name in ("beta1", "beta2", "epsilon", "rate", "unbias", "kept")]


class Muon(ctypes.Structure):
    _fields_ = [
        *((name, _FLOAT) for name in ("rate", "momentum", "kept")),
        ("rounds", ctypes.c_int32),
        ("quintics", _AT),
        ("bfloat16", ctypes.c_int32),
    ]


_ARGUMENTS = {
    "train_level": (ctypes.c_int, [ctypes.c_int]),
    "train_has_bfloat16": (ctypes.c_int, []),
    "train_work": (_SIZE, [_AT]),
    "train_pass": (ctypes.c_double, [_AT, _AT, _AT, _SIZE, _SIZE, _FLOAT, ctypes.c_int, _AT]),
    "train_add_up": (ctypes.c_double, [_AT, _SIZE, _SIZE]),
    "train_adamw": (None, [_AT, _AT, _AT, _AT, _SIZE, _FLOAT, _AT]),
    "train_muon_work": (_SIZE, [_SIZE, _SIZE, _SIZE]),
    "train_muon": (None, [_AT, _AT, _AT, _SIZE, _SIZE, _SIZE, _FLOAT, _AT, _AT]),
}


@cache
def train_library() -> ctypes.CDLL | None:
    """The compiled train.c; None if it is missing, or of another version than this file."""
    found = find_spec("minigpt.models._train")
    if found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)
        library.train_size.restype = _SIZE
        for name, (result, arguments) in _ARGUMENTS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        fits = library.train_size() == sum(map(ctypes.sizeof, (Model, Block, AdamW, Muon)))
    except (OSError, AttributeError):
        return None
    return library if fits else None


def has_wide_registers() -> bool:
    """Whether the library is compiled, for a processor with AVX2 or more: there it is faster than torch.

    Elsewhere torch's products may be faster, as on Apple's processors; that was not measured.
    """
    library = train_library()
    return library is not None and library.train_level(0) >= _AVX2
