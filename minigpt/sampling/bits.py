"""Entropy, surprisal and perplexity of distributions and texts, in bits and nats."""

import math

from torch import Tensor


def surprisal(logits_V: Tensor, token: int) -> float:
    """-log2 of the probability of `token`, in float64; 0 or more."""
    logits_V = logits_V.cpu().double()
    return max(0.0, float(logits_V.logsumexp(-1) - logits_V[token])) / math.log(2)


def divergence_bits(p_logits_V: Tensor, q_logits_V: Tensor) -> float:
    """The KL divergence D(p || q) of two softmaxes in float64, in bits: the excess cost of coding p's tokens by q.

    0 for equal distributions, never negative. Kullback and Leibler, "On Information and Sufficiency", 1951.
    """
    log_p = p_logits_V.double().log_softmax(-1)
    log_q = q_logits_V.double().log_softmax(-1)
    nats = float((log_p.exp() * (log_p - log_q)).sum())
    return max(0.0, nats) / math.log(2)  # rounding can make it a little less
