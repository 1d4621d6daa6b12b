"""Turns the logits of one step into its record: the one place where arrays become numbers that people see.

Softmax runs over the whole vocabulary in float64; lists are cut last, and what is not listed is summed as `other`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from minigpt.errors import CheckpointError
from minigpt.records import records_of
from minigpt.sampling.filters import CUT, SamplingStage, history_for
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord
from minigpt.sampling.vocabulary import (
    Listed,
    draw,
    list_tokens,
    log_softmax,
    log_sum_exp,
    softmax,
    softmax_into,
    sums_without,
)
from minigpt.text.records import token_text

TokenBytes = Callable[[int], bytes]

_DAMAGED = "The model's logits are not finite numbers: its weights are damaged, or training diverged."
_FEW = 8  # if at most one token in so many is left, picking those is faster than an exponential for each


class StageResult(NamedTuple):
    """A stage and the distribution [V] after it; `kept_V` is False where it, or one before it, cut the token."""

    stage: SamplingStage
    kept_V: np.ndarray
    probs_V: np.ndarray


@dataclass(frozen=True, slots=True)
class Distribution:
    """The whole distribution of the next token, in float64.

    `rows_RV` are the logits, the raw distribution, and those after each stage, which `results` name. The entropy is
    that of the raw one.
    """

    rows_RV: np.ndarray
    entropy_bits: float
    results: tuple[StageResult, ...]

    @property
    def logits_V(self) -> np.ndarray:
        """The logits, before any stage."""
        logits_V: np.ndarray = self.rows_RV[0]
        return logits_V

    @property
    def raw_V(self) -> np.ndarray:
        """The softmax of the logits."""
        raw_V: np.ndarray = self.rows_RV[1]
        return raw_V

    @property
    def final_V(self) -> np.ndarray:
        """The distribution that a token is drawn from."""
        final_V: np.ndarray = self.rows_RV[-1]
        return final_V

    def draw(self, uniform: float) -> int:
        """One token id by its final probability: the first at which the cumulative sum exceeds `uniform`, in [0, 1)."""
        return draw(self.final_V, uniform)


def distribution(
    logits_V: np.ndarray, stages: Sequence[SamplingStage] = (), history: Sequence[int] | np.ndarray = ()
) -> Distribution:
    """Pass `logits_V` [V] through the stages.

    `history`: the ids of the text so far, with repetitions, or each once if no stage counts them; an array is used as
    it is. Raises CheckpointError for inf and NaN.
    """
    _keep_freed_memory()
    rows_RV = np.empty((2 + len(stages), len(logits_V)))
    rows_RV[0] = logits_V
    entropy_nats = softmax_into(rows_RV[0], rows_RV[1])
    if math.isnan(entropy_nats):
        raise CheckpointError(_DAMAGED)
    return Distribution(rows_RV, entropy_nats / math.log(2), tuple(_apply(stages, rows_RV[0], history, rows_RV[2:])))


@cache
def _keep_freed_memory() -> None:
    """Make glibc keep freed arrays for the next ones, as its mallopt(3) says of the first large block that is freed.

    Otherwise those of a large vocabulary go back to the system at every step, and getting their pages again takes as
    long as the arithmetic.
    """
    np.empty(1 << 21)  # 16 MiB, of which nothing is ever touched


def require_finite(logits: np.ndarray) -> None:
    """Raise CheckpointError on inf and NaN. `logits` are of any shape."""
    if not np.isfinite(logits).all():
        raise CheckpointError(_DAMAGED)


def _apply(
    stages: Sequence[SamplingStage], logits_V: np.ndarray, history: Sequence[int] | np.ndarray, probs_SV: np.ndarray
) -> Iterator[StageResult]:
    """Pass the logits through the stages; the distribution after each is written into its row of `probs_SV`."""
    history_T = history_for(stages, history)
    for stage, probs_V in zip(stages, probs_SV, strict=True):
        logits_V = stage.apply(logits_V, history_T)
        kept_V = logits_V > CUT
        if np.count_nonzero(kept_V) * _FEW > len(kept_V):
            softmax_into(logits_V, probs_V)
        else:
            probs_V[:] = 0
            probs_V[kept_V] = softmax(logits_V[kept_V])
        yield StageResult(stage, kept_V, probs_V)


def step_record(
    dist: Distribution,
    token_bytes: TokenBytes,
    *,
    position: int,
    top: int,
    token: int | None = None,
    sample: int = 0,
    also: Sequence[int] = (),
) -> StepRecord:
    """The record of one step: the `top` candidates, among them `token` and `also`, and all others summed."""
    listed = list_tokens(dist.rows_RV, top, also if token is None else [*also, token])
    rows = _candidates(dist, listed, token_bytes)
    chosen = None if token is None else rows[listed.ids.index(token)]
    surprisal = None if chosen is None else surprisal_bits(rows[0], chosen)
    return _record(dist, rows, listed, chosen, surprisal, position=position, sample=sample)


def listing(dist: Distribution, ids: Sequence[int], token_bytes: TokenBytes, *, position: int) -> StepRecord:
    """The record of an open question: the tokens `ids`, in this order, and all others summed."""
    listed = list_tokens(dist.rows_RV, 0, ids)
    return _record(dist, _candidates(dist, listed, token_bytes), listed, None, None, position=position)


def _record(
    dist: Distribution,
    rows: tuple[Candidate, ...],
    listed: Listed,
    token: Candidate | None,
    surprisal: float | None,
    *,
    position: int,
    sample: int = 0,
) -> StepRecord:
    return StepRecord(
        sample=sample,
        position=position,
        token=token,
        candidates=rows,
        other=_others(dist, len(listed.ids), listed.rest),
        entropy_bits=dist.entropy_bits,
        surprisal_bits=surprisal,
        stages=tuple(_stage(dist, result) for result in dist.results),
    )


def surprisal_bits(best: Candidate, token: Candidate) -> float:
    """-log2 of the token's raw probability, computed from the distance to the largest logit, so that it never
    underflows.
    """
    return (best.logit - token.logit - math.log(best.raw_prob)) / math.log(2)


@lru_cache(maxsize=1 << 16)  # a failed decoding costs more than a softmax over a small vocabulary
def _text_and_hex(data: bytes) -> tuple[str | None, str]:
    return token_text(data), data.hex()


def candidates(dist: Distribution, ids: Sequence[int], token_bytes: TokenBytes) -> tuple[Candidate, ...]:
    """The tokens `ids`, each of them once, with their numbers."""
    return _candidates(dist, list_tokens(dist.rows_RV, 0, ids), token_bytes)


def _candidates(dist: Distribution, listed: Listed, token_bytes: TokenBytes) -> tuple[Candidate, ...]:
    ids, (raw_probs, *after_stages) = listed.ids, listed.probs
    names = [_text_and_hex(token_bytes(token)) for token in ids]
    return records_of(
        Candidate,
        id=ids,
        text=[text for text, _ in names],
        bytes=[hex_bytes for _, hex_bytes in names],
        logit=listed.logits,
        raw_prob=raw_probs,
        after=list(zip(*after_stages, strict=True)) or [()] * len(ids),
        prob=after_stages[-1] if after_stages else raw_probs,
        rank=listed.ranks,
        cut_by=_cut_by(dist, ids),
    )


def _cut_by(dist: Distribution, ids: Sequence[int]) -> list[str | None]:
    """For each token, the stage that removed it, or None."""
    cut_by: list[str | None] = [None] * len(ids)
    for result in dist.results:
        for i, kept in enumerate(result.kept_V[ids].tolist()):
            if not kept and cut_by[i] is None:
                cut_by[i] = result.stage.name
    return cut_by


def all_others(dist: Distribution, listed: Sequence[int]) -> Other:
    """All tokens that are not listed, summed term by term."""
    return _others(dist, len(listed), sums_without(dist.rows_RV[1:], listed))


def _others(dist: Distribution, listed: int, sums: Sequence[float]) -> Other:
    raw_prob, *after = sums
    count = dist.rows_RV.shape[1] - listed
    return Other(count=count, raw_prob=raw_prob, prob=after[-1] if after else raw_prob, after=tuple(after))


def _stage(dist: Distribution, result: StageResult) -> Stage:
    return Stage(
        name=result.stage.name,
        value=result.stage.value,
        kept=int(np.count_nonzero(result.kept_V)),
        mass=float(dist.raw_V.sum(where=result.kept_V)),
    )


def surprisal(logits_V: np.ndarray, token: int) -> float:
    """-log2 of the probability of `token`, in float64; 0 or more. Raises CheckpointError for inf and NaN."""
    require_finite(logits_V)
    return max(0.0, log_sum_exp(logits_V) - float(logits_V[token])) / math.log(2)


def divergence_bits(p_logits_V: np.ndarray, q_logits_V: np.ndarray) -> float:
    """The KL divergence D(p || q) of two softmaxes, in float64 and in bits: the excess cost of coding p's tokens by q.

    0 for equal distributions, never negative. Kullback and Leibler, "On Information and Sufficiency", 1951.
    """
    log_p_V, log_q_V = log_softmax(p_logits_V), log_softmax(q_logits_V)
    nats = float((np.exp(log_p_V) * (log_p_V - log_q_V)).sum())
    return max(0.0, nats) / math.log(2)  # rounding can make it a little less
