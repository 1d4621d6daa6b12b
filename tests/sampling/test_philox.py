"""Philox 4x32-10: the words are Random123's, the uniform numbers those that docs/sample.md writes out.

What decides the words are the known answers of Random123's own tests (tests/kat_vectors of release 1.09, lines
"philox4x32 10"), which Salmon et al. publish with their paper: for zeros, for ones, and for the digits of pi.
numpy.random.Philox is the 4x64 variant, whose words are others.
"""

import re
from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest

from minigpt.sampling.philox import uniform, uniforms, words

PAGE = (Path(__file__).parent.parent.parent / "docs/sample.md").read_text("utf-8")
WORD = 0xFFFFFFFF
KNOWN = [  # counter, key, words
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORD, WORD, WORD, WORD), (WORD, WORD), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
ROW = re.compile(r"(?m)^\| (\d+) \| (\d+) \| `([0-9a-f ]{35})` \| `([0-9.e-]+)` \|$")


def in_hex(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


DOCUMENTED = [(int(seed), int(step), in_hex(r), float(number)) for seed, step, r, number in ROW.findall(PAGE)]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN, ids=["zeros", "ones", "pi"])
def test_the_words_are_those_of_random123(
    counter: tuple[int, int, int, int], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    assert words(counter, key) == answer


def test_the_documentation_has_the_known_answers() -> None:
    rows = re.findall(r"(?m)^\| `([0-9a-f ]{35})` \| `([0-9a-f ]{17})` \| `([0-9a-f ]{35})` \|$", PAGE)
    assert [tuple(map(in_hex, row)) for row in rows] == KNOWN


@pytest.mark.parametrize(("seed", "step", "answer", "number"), DOCUMENTED)
def test_the_documented_numbers(seed: int, step: int, answer: tuple[int, ...], number: float) -> None:
    assert words((step, 0, 0, 0), (seed & WORD, seed >> 32)) == answer
    assert Fraction(number) == Fraction((answer[0] >> 5) * 2**26 + (answer[1] >> 6), 2**53)
    assert uniform(seed, step) == number


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (1, 63), (2**64 - 1, 2**32 - 150)])
def test_numbers_in_a_row_are_those_computed_alone(seed: int, step: int) -> None:
    assert list(islice(uniforms(seed, step), 150)) == [uniform(seed, step + i) for i in range(150)]


def test_both_halves_of_a_seed_and_late_steps_are_documented() -> None:
    assert len(DOCUMENTED) == 10
    assert any(seed >> 32 for seed, *_ in DOCUMENTED)
    assert any(step == WORD for _, step, *_ in DOCUMENTED)


@pytest.mark.parametrize("along", ["steps", "seeds"])
def test_the_numbers_are_uniform(along: str) -> None:
    """Numbers of one seed, and the first ones of many seeds, fall equally often into each of 64 intervals."""
    count, bins = 20_000, 64
    numbers = [uniform(1, i) if along == "steps" else uniform(i, 0) for i in range(count)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) == count
    found = Counter(int(number * bins) for number in numbers)
    chi_square = sum((found[i] - count / bins) ** 2 / (count / bins) for i in range(bins))
    assert chi_square < (bins - 1) + 4 * (2 * (bins - 1)) ** 0.5
