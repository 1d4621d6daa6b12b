"""The softmax of logits, in float64: the arithmetic that filters, records and views share."""

import math

import numpy as np


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
