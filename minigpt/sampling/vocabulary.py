"""The arithmetic of a whole vocabulary, in float64: the softmax, a draw, the best tokens, and the others summed.

C computes what a record needs where forward.c is compiled (models/vocabulary.h), else NumPy, with the same results but
for rounding. Of a small vocabulary, NumPy's dozen calls of a microsecond or two would take as long as a small model's
pass. Filters and views compute in NumPy.
"""

import ctypes
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigpt.models.forward_library import forward_library

_FEW = 64  # tokens of a listing up to which C lists them; NumPy sorts more of them faster


def softmax(logits_V: np.ndarray) -> np.ndarray:
    """The probabilities [V], float64; 0 where a logit is -inf. At least one is finite."""
    probs_V = _below(logits_V)
    np.exp(probs_V, out=probs_V)
    probs_V /= probs_V.sum()
    return probs_V


def log_softmax(logits_V: np.ndarray) -> np.ndarray:
    """The natural logarithms [V] of the probabilities, float64, from the logits themselves, so that none underflows."""
    below_V = _below(logits_V)
    below_V -= math.log(np.exp(below_V).sum())
    return below_V


def log_sum_exp(logits_V: np.ndarray) -> float:
    """The natural logarithm of the sum of exp(logit), in float64."""
    return float(logits_V.max()) + math.log(np.exp(_below(logits_V)).sum())


def _below(logits_V: np.ndarray) -> np.ndarray:
    """A new array of the distance of each logit to the largest, 0 or less, so that no exponential overflows."""
    logits_V = np.asarray(logits_V, np.float64)
    below_V: np.ndarray = logits_V - logits_V.max()
    return below_V


class Listed(NamedTuple):
    """Some tokens with their numbers, and the sums of the others."""

    ids: list[int]
    ranks: list[int]  # 1 + how many tokens have a strictly greater logit
    logits: list[float]
    probs: list[list[float]]  # in each distribution
    rest: list[float]  # in each distribution, of all tokens that are not listed


def softmax_into(logits_V: np.ndarray, probs_V: np.ndarray) -> float:
    """Write the softmax of `logits_V` into `probs_V`, both float64, contiguous and writable; 0 where a logit is -inf.

    Returns its entropy in nats, which is NaN unless every logit is finite.
    """
    if loaded := forward_library():
        entropy: float = loaded.softmax(_address(logits_V), len(logits_V), _address(probs_V))
        return entropy
    with np.errstate(invalid="ignore"):
        below_V = logits_V - logits_V.max()
        np.exp(below_V, out=probs_V)
        total = probs_V.sum()
        probs_V /= total
        return float(np.log(total) - (probs_V * below_V).sum())


def draw(probs_V: np.ndarray, uniform: float) -> int:
    """The first token at which the cumulative sum exceeds `uniform`, in [0, 1), of the whole sum.

    `probs_V`: contiguous. A token of probability 0 adds nothing and is never that one.
    """
    if loaded := forward_library():
        token: int = loaded.draw(_address(probs_V), len(probs_V), uniform)
        return token
    sums_V = probs_V.cumsum()
    at = int(sums_V.searchsorted(uniform * sums_V[-1], side="right"))
    return at if at < len(sums_V) else int(probs_V.nonzero()[0][-1])  # the product was rounded up


def list_tokens(rows_RV: np.ndarray, top: int, asked: Sequence[int]) -> Listed:
    """The `top` largest logits, best first, the lowest id first among equals, and then those of `asked` that are not
    among them, each once.

    `rows_RV`, contiguous and writable: the logits, and distributions of the same tokens. Raises IndexError for an
    unknown token.
    """
    rows, size = rows_RV.shape
    top = min(top, size)
    if asked and (min(asked) < 0 or max(asked) >= size):  # C would read beyond the rows
        raise IndexError(f"There is no token {min(asked) if min(asked) < 0 else max(asked)} in a vocabulary of {size}.")
    loaded = forward_library()
    if loaded is None or top + len(asked) > _FEW:
        return _by_numpy(rows_RV, top, asked)
    found = _room(rows - 1, top + len(asked))()
    found.ids[top:] = asked
    count = loaded.list_tokens(_address(rows_RV), rows - 1, size, top, len(asked), ctypes.byref(found))
    return Listed(
        found.ids[:count],
        found.ranks[:count],
        found.logits[:count],
        [probs[:count] for probs in found.probs],
        found.rest[:],
    )


def _address(array: np.ndarray) -> int:
    """Where the numbers of a contiguous array are that may be written to; `array.ctypes` takes three times as long."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]  # it has a buffer


@cache
def _room(distributions: int, tokens: int) -> type[Any]:
    """What list_tokens in vocabulary.h fills in."""
    whole, real = ctypes.c_int64 * tokens, ctypes.c_double * tokens
    fields = [("ids", whole), ("ascending", whole), ("ranks", whole), ("logits", real)]
    fields += [("probs", real * distributions), ("rest", ctypes.c_double * distributions)]
    return type("Room", (ctypes.Structure,), {"_fields_": fields})


def _by_numpy(rows_RV: np.ndarray, top: int, asked: Sequence[int]) -> Listed:
    logits_V = rows_RV[0]
    best = best_ids(logits_V, top)
    ids = list(dict.fromkeys([*best, *asked]))
    at = np.array(ids, np.int64)
    listed: list[float] = logits_V[at].tolist()
    ranks: list[int] = []
    for i, logit in enumerate(listed[:top]):
        ranks.append(ranks[-1] if i and logit == listed[i - 1] else i + 1)
    ranks += [1 + int(np.count_nonzero(logits_V > logit)) for logit in listed[top:]]
    return Listed(ids, ranks, listed, rows_RV[1:, at].tolist(), sums_without(rows_RV[1:], ids))


def sums_without(probs_SV: np.ndarray, listed: Sequence[int]) -> list[float]:
    """The sum [S] of each row over all that is not listed, term by term: what is left of 1 would be rounded."""
    rest_SV = probs_SV.copy()
    rest_SV[:, np.array(listed, np.int64)] = 0
    sums: list[float] = rest_SV.sum(-1).tolist()
    return sums


def best_ids(values_V: np.ndarray, n: int) -> list[int]:
    """The ids of the n largest values, best first, the lowest id first among equals."""
    n = min(n, len(values_V))
    if n == 0:
        return []
    contenders = (values_V >= np.partition(values_V, -n)[-n]).nonzero()[0]  # by ascending ids, with all ties
    order = (-values_V[contenders]).argsort(kind="stable")[:n]
    ids: list[int] = contenders[order].tolist()
    return ids
