"""What goes into each filter, and the very numbers that must come out: the filters of Python and of pages agree on it.

INF and NAN stand for themselves; a probability of 0 is a logit of -inf.
"""

import math
from typing import Any

NAN, INF = math.nan, math.inf

# A setting, the probabilities that go in, and those that must come out

TEMPERATURE: list[tuple[float, list[float], list[float]]] = [
    (1.0, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
    (0.5, [0.6, 0.2, 0.2], [9 / 11, 1 / 11, 1 / 11]),
    (2.0, [0.64, 0.36], [0.8 / 1.4, 0.6 / 1.4]),
    (0.0, [0.2, 0.5, 0.3], [0, 1, 0]),
    (0.0, [0.3, 0.35, 0.35], [0, 1, 0]),
    (0.0, [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]),
    (1e-300, [0.2, 0.5, 0.3], [0, 1, 0]),
    (1e-300, [0.4, 0.4, 0.2], [0.5, 0.5, 0]),
    (5e-324, [0.2, 0.5, 0.3], [0, 1, 0]),
    (1e300, [0.9, 0.1], [0.5, 0.5]),
    (2.0, [0.64, 0.0, 0.36], [0.8 / 1.4, 0, 0.6 / 1.4]),
    (0.0, [0.0, 0.4, 0.6], [0, 0, 1]),
]

TOP_K: list[tuple[int, list[float], list[float]]] = [
    (1, [0.2, 0.5, 0.3], [0, 1, 0]),
    (2, [0.2, 0.5, 0.3], [0, 0.625, 0.375]),
    (3, [0.2, 0.5, 0.3], [0.2, 0.5, 0.3]),
    (99, [0.2, 0.5, 0.3], [0.2, 0.5, 0.3]),
    (1, [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]),
    (2, [0.1, 0.3, 0.3, 0.3], [0, 0.5, 0.5, 0]),
    (3, [0.2, 0.2, 0.4, 0.2], [0.25, 0.25, 0.5, 0]),
    (2, [0.0, 1.0, 0.0], [0, 1, 0]),
]

TOP_P: list[tuple[float, list[float], list[float]]] = [
    (0.6, [0.5, 0.25, 0.25], [2 / 3, 1 / 3, 0]),  # the token that crosses p stays, the lower id first
    (0.5, [0.5, 0.25, 0.25], [1, 0, 0]),  # reached exactly
    (0.75, [0.5, 0.25, 0.125, 0.125], [2 / 3, 1 / 3, 0, 0]),
    (0.76, [0.5, 0.25, 0.125, 0.125], [4 / 7, 2 / 7, 1 / 7, 0]),
    (0.3, [0.1, 0.2, 0.7], [0, 0, 1]),
    (0.8, [0.1, 0.2, 0.7], [0, 2 / 9, 7 / 9]),
    (1e-300, [0.1, 0.6, 0.3], [0, 1, 0]),
    (1e-9, [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]),
    (0.99, [0.5, 0.5, 0.0], [0.5, 0.5, 0]),
    (1.0, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
]

MIN_P: list[tuple[float, list[float], list[float]]] = [
    (0.5, [0.5, 0.3, 0.2], [0.625, 0.375, 0]),
    (0.3, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
    (0.7, [0.5, 0.3, 0.2], [1, 0, 0]),
    (1.0, [0.4, 0.2, 0.4], [0.5, 0, 0.5]),
    (0.0, [0.5, 0.5, 0.0], [0.5, 0.5, 0]),
    (0.1, [0.8, 0.2, 0.0], [0.8, 0.2, 0]),
    (0.01, [0.999, 0.001], [1, 0]),
]

# The first three are from llama.cpp's tests/test-sampling.cpp.
TOP_N_SIGMA: list[tuple[float, list[float], list[float]]] = [
    (1.0, [0.1, 0.2, 0.3, 0.4], [0, 0, 3 / 7, 4 / 7]),
    (0.0, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
    (3.0, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
    (1e-9, [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]),
    (1e-9, [0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]),  # none is below the largest
    (1.0, [0.0, 0.5, 0.5, 0.0], [0, 0.5, 0.5, 0]),
    (1.9, [0.0, 0.8, 0.2, 0.0], [0, 1, 0, 0]),  # of two that are left, the difference is two deviations
    (2.1, [0.0, 0.8, 0.2, 0.0], [0, 0.8, 0.2, 0]),
    (1e15, [0.9, 0.1], [0.9, 0.1]),
]

# The first two are from llama.cpp's tests/test-sampling.cpp.
TYPICAL_P: list[tuple[float, list[float], list[float]]] = [
    (0.5, [0.97, 0.01, 0.01, 0.01], [1, 0, 0, 0]),
    (0.5, [0.4, 0.2, 0.2, 0.2], [0, 1 / 3, 1 / 3, 1 / 3]),  # the most likely one is the least typical
    (0.3, [0.4, 0.2, 0.2, 0.2], [0, 0.5, 0.5, 0]),  # the lowest ids among equals
    (0.7, [0.4, 0.2, 0.2, 0.2], [0.4, 0.2, 0.2, 0.2]),
    (0.1, [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]),
    (0.6, [0.0, 0.5, 0.5, 0.0], [0, 0.5, 0.5, 0]),
    # Entropy 1.75 bits, surprisals 1, 2, 3 and 3: the second is the nearest, then the first.
    (0.2, [0.5, 0.25, 0.125, 0.125], [0, 1, 0, 0]),
    (0.26, [0.5, 0.25, 0.125, 0.125], [2 / 3, 1 / 3, 0, 0]),
    (0.76, [0.5, 0.25, 0.125, 0.125], [4 / 7, 2 / 7, 1 / 7, 0]),
    (1.0, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
    (1e-300, [0.1, 0.6, 0.3], [0, 0, 1]),
]

# A penalty, the history, the logits that go in, and those that must come out

REPETITION: list[tuple[float, list[int], list[float], list[float]]] = [
    (2.0, [0, 1], [4.0, -4.0, 1.0], [2.0, -8.0, 1.0]),
    (2.0, [0, 0, 0], [4.0, -4.0, 1.0], [2.0, -4.0, 1.0]),  # once, however often it stands there
    (0.5, [0, 1], [4.0, -4.0, 1.0], [8.0, -2.0, 1.0]),
    (1.0, [0, 1, 2], [4.0, -4.0, 1.0], [4.0, -4.0, 1.0]),
    (2.0, [], [4.0, -4.0, 1.0], [4.0, -4.0, 1.0]),
    (3.0, [2, 1, 2], [0.0, -1.0, 0.0], [0.0, -3.0, 0.0]),
    (2.0, [0], [-INF, 1.0], [-INF, 1.0]),
]

# A penalty, the history, and what becomes of the logits 4, -4 and 1 by the presence and by the frequency penalty
PENALTIES: list[tuple[float, list[int], list[float], list[float]]] = [
    (2.0, [0, 1], [2.0, -6.0, 1.0], [2.0, -6.0, 1.0]),
    (2.0, [0, 0, 0], [2.0, -4.0, 1.0], [-2.0, -4.0, 1.0]),
    (-0.5, [1, 1, 2], [4.0, -3.5, 1.5], [4.0, -3.0, 1.5]),
    (0.0, [0, 1, 2], [4.0, -4.0, 1.0], [4.0, -4.0, 1.0]),
    (2.0, [], [4.0, -4.0, 1.0], [4.0, -4.0, 1.0]),
]

# A history, and the probabilities of five equal ones after both penalties: from llama.cpp's tests/test-sampling.cpp
BOTH_PENALTIES_OF_5: list[tuple[list[int], list[float]]] = [
    ([0], [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]),
    ([0, 1, 2], [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]),
    ([0, 1, 2, 0, 0], [0.0, 0.000023, 0.000023, 0.499977, 0.499977]),
]

# Biases, the logits that go in, and those that must come out
BIASES: list[tuple[tuple[tuple[int, float], ...], list[float], list[float]]] = [
    (((1, -2.0),), [4.0, -4.0, 1.0], [4.0, -6.0, 1.0]),
    (((2, 0.5), (0, 3.0)), [4.0, -4.0, 1.0], [7.0, -4.0, 1.5]),
    (((0, 9.0),), [-INF, 1.0], [-INF, 1.0]),
    ((), [4.0, -4.0], [4.0, -4.0]),
]

BAD_BIASES = [[(0, NAN)], [(0, INF)], [(2, 1.0)], [(-1, 1.0)], [(0, 1.0), (0, 2.0)]]  # of a vocabulary of two

# The name of a filter, that of its argument in Python, and values out of its range
OUT_OF_RANGE: list[tuple[str, str, list[float]]] = [
    ("repetition-penalty", "penalty", [0, -1, NAN, INF]),
    ("temperature", "temperature", [-1e-9, -INF, NAN, INF]),
    ("presence-penalty", "penalty", [NAN, INF, -INF]),
    ("frequency-penalty", "penalty", [NAN, INF, -INF]),
    ("top-n-sigma", "n", [-1e-9, NAN, INF]),
    ("top-k", "k", [0, -1, NAN]),
    ("typical-p", "p", [0, -0.1, 1.0000001, NAN, INF]),
    ("top-p", "p", [0, -0.1, 1.0000001, NAN, INF]),
    ("min-p", "p", [-1e-9, 1.0000001, NAN, INF]),
]

# Every filter with its arguments, by what it is
ALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bias": ("bias", {"bias": ((3, 1.5), (7, -2.0))}),
    "presence-penalty": ("presence-penalty", {"penalty": 0.7}),
    "frequency-penalty": ("frequency-penalty", {"penalty": 0.7}),
    "top-n-sigma": ("top-n-sigma", {"n": 1.1}),
    "top-n-sigma off": ("top-n-sigma", {"n": 0}),
    "typical-p": ("typical-p", {"p": 0.6}),
    "typical-p off": ("typical-p", {"p": 1.0}),
    "repetition-penalty": ("repetition-penalty", {"penalty": 1.7}),
    "temperature": ("temperature", {"temperature": 0.7}),
    "temperature 0": ("temperature", {"temperature": 0.0}),
    "top-k": ("top-k", {"k": 7}),
    "top-k of all": ("top-k", {"k": 1000}),
    "top-p": ("top-p", {"p": 0.6}),
    "top-p off": ("top-p", {"p": 1.0}),
    "min-p": ("min-p", {"p": 0.2}),
    "min-p off": ("min-p", {"p": 0.0}),
}
