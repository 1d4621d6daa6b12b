"""The types of stored numbers, by safetensors' names: how each is read into NumPy's, and rounded to."""

from functools import cache
from typing import Any

import numpy as np

from minigpt.models.native import as_bfloat16, from_bfloat16

# What NumPy reads the bytes as.
STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"), "F8_E4M3FNUZ": np.dtype("u1"), "F8_E5M2": np.dtype("u1"), "F8_E5M2FNUZ": np.dtype("u1"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip

# Bits of the exponent, its bias, and the first byte that is not a finite number: in the types FNUZ, the
# one that would be -0. Micikevicius et al., "FP8 Formats for Deep Learning", 2022, and Noune et al., "8-bit Numerical
# Formats for Deep Neural Networks", 2022.
_EIGHT_BITS = {
    "F8_E4M3": (4, 7, 0x7F),
    "F8_E4M3FNUZ": (4, 8, 0x80),
    "F8_E5M2": (5, 15, 0x7C),
    "F8_E5M2FNUZ": (5, 16, 0x80),
}


def is_floating_point(dtype: str) -> bool:
    """Whether the type is one of floating-point numbers."""
    return dtype in ("F64", "F32", "F16", "BF16") or dtype in _EIGHT_BITS


def widened(stored: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers of `stored`, bytes read as STORED has it: BF16 and the types of 8 bits as float32.

    All others are returned as they are, not copied.
    """
    if dtype == "BF16":
        return from_bfloat16(stored)
    return _values(dtype)[stored] if dtype in _EIGHT_BITS else stored


def rounded(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers, rounded to the nearest of the type, with ties to even, as `widened` has them."""
    if dtype in _EIGHT_BITS:
        return _rounded_to_eight_bits(numbers, dtype)
    with np.errstate(all="ignore"):
        if dtype != "BF16":
            return numbers.astype(STORED[dtype], copy=False)
        return from_bfloat16(as_bfloat16(numbers))


def _rounded_to_eight_bits(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """What is beyond the largest number becomes that one."""
    levels = _values(dtype)[: min(_EIGHT_BITS[dtype][2], 0x80)]
    halfway = (levels[1:] + levels[:-1]) / 2
    with np.errstate(all="ignore"):
        amounts = np.abs(numbers.astype(np.float32))
    below, above = (np.searchsorted(halfway, amounts, side) for side in ("left", "right"))
    nearest = levels[below + below % 2 * (above - below)]
    signed: np.ndarray = np.copysign(np.where(np.isnan(amounts), amounts, nearest), numbers)
    return signed


@cache
def _values(dtype: str) -> np.ndarray:
    """The numbers [256] in float32 that the bytes of a type of 8 bits stand for."""
    exponent_bits, bias, first = _EIGHT_BITS[dtype]
    fraction_bits = 7 - exponent_bits
    codes = np.arange(128)
    exponents, fractions = codes >> fraction_bits, codes & ((1 << fraction_bits) - 1)
    whole = np.where(exponents > 0, fractions + (1 << fraction_bits), fractions)
    positive = np.ldexp(whole.astype(np.float32), np.maximum(exponents, 1) - bias - fraction_bits)
    positive[first:] = np.nan
    if dtype == "F8_E5M2":
        positive[first] = np.inf
    values = np.concatenate([positive, -positive])
    if first == 0x80:
        values[first] = np.nan
    return values
