"""The random numbers by which tokens are drawn: Philox 4x32-10, the same in every language and on every machine.

A number depends only on a seed and on a step, so there is no state to keep: any of them can be computed alone. The
page's twin is render/templates/model/philox.js; docs/sample.md has the specification and test vectors for both.

Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

NAME = "philox4x32-10"  # in traces

_ROUNDS = 10
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85  # added to the key after each round: the golden ratio and the square root of 3
_LOW = 0xFFFFFFFF
_AT_ONCE = 64  # each then takes a tenth of the time that it takes alone


def uniform(seed: int, step: int) -> float:
    """A uniform random number in [0, 1) of 53 bits, for `Distribution.draw`.

    `seed`: below 2**64. `step`: how many numbers were drawn before with this seed; below 2**32.
    """
    number: float = _uniform(seed, step)
    return number


def uniforms(seed: int, step: int = 0) -> Iterator[float]:
    """The numbers of `uniform` from `step` on."""
    for first in count(step, _AT_ONCE):
        yield from _uniform(seed, np.arange(first, first + _AT_ONCE, dtype=np.uint64)).tolist()


def _uniform(seed: int, step: Any) -> Any:
    first, second, _, _ = words((step, 0, 0, 0), (seed & _LOW, seed >> 32))
    return ((first >> 5) * 2**26 + (second >> 6)) / 2**53


def words(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four random words of 32 bits for a counter and a key, which are words of 32 bits too.

    A word of the counter may be an array of uint64, and so are then the results.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        a, b = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2  # 64 bits
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & _LOW, (a >> 32) ^ c3 ^ k1, a & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3
