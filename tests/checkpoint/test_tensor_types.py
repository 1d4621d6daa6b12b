"""The types of stored numbers. What each byte stands for, and what a number is rounded to, is judged by torch 2.13."""

import warnings

import numpy as np
import pytest
import torch

from minigpt.checkpoint.tensors import STORED, is_floating_point, rounded, widened

TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
EIGHT_BITS = [name for name in TORCH if name.startswith("F8")]


@pytest.fixture(autouse=True)
def no_warnings() -> None:
    warnings.simplefilter("error")


def in_torch(numbers: np.ndarray, dtype: str) -> np.ndarray:
    return torch.from_numpy(numbers).to(TORCH[dtype]).to(torch.float32).numpy()


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=True)


def test_every_type_has_its_size_and_its_kind() -> None:
    assert TORCH.keys() == STORED.keys()
    for name, dtype in TORCH.items():
        assert STORED[name].itemsize == dtype.itemsize
        assert is_floating_point(name) == dtype.is_floating_point


@pytest.mark.parametrize("dtype", EIGHT_BITS)
def test_every_number_of_eight_bits(dtype: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert same(widened(codes, dtype), torch.from_numpy(codes).view(TORCH[dtype]).float().numpy())


def test_every_number_of_bfloat16() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    assert same(widened(codes, "BF16"), torch.from_numpy(codes).view(torch.bfloat16).float().numpy())


def test_what_needs_no_widening_is_not_copied() -> None:
    for name in ("F64", "F32", "F16", "I32"):
        stored = np.zeros(3, STORED[name])
        assert widened(stored, name) is stored
        assert rounded(stored, name) is stored


def hard_numbers(within: np.ndarray, largest: float) -> np.ndarray:
    """Numbers of a type, those halfway between two, what is next to these, and any bits, up to the type's largest."""
    halfway = within[1:] / 2 + within[:-1] / 2
    near = [np.nextafter(halfway, np.float32(to), dtype=np.float32) for to in (-np.inf, np.inf)]
    bits = np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint64).astype(np.uint32).view(np.float32)
    every = np.concatenate([within, halfway, *near, bits, np.float32([np.nan, 0, -0.0])])
    return every[np.isnan(every) | (np.abs(every) <= largest)]


@pytest.mark.parametrize("dtype", ["BF16", "F16", *EIGHT_BITS])
def test_numbers_are_rounded_to_the_nearest(dtype: str) -> None:
    codes = np.arange(1 << 8 * STORED[dtype].itemsize).astype(STORED[dtype].str.replace("f", "u"))
    within = widened(codes.view(STORED[dtype]), dtype).astype(np.float32)
    within = np.sort(within[np.isfinite(within)])
    numbers = hard_numbers(within, within[-1])
    assert same(rounded(numbers, dtype).astype(np.float32), in_torch(numbers, dtype))
    wide = np.random.default_rng(1).normal(size=10_000)
    assert same(rounded(wide, dtype).astype(np.float32), in_torch(wide, dtype))


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_beyond_the_largest_number_is_infinity(dtype: str) -> None:
    assert rounded(np.array([1e40, -1e40, np.inf]), dtype).tolist() == [np.inf, -np.inf, np.inf]


def test_a_type_without_infinity_ends_at_its_largest_number() -> None:
    assert rounded(np.float32([449, 1e30, -1e30]), "F8_E4M3").tolist() == [448, 448, -448]
