"""Turns the logits of one step into its record: the one place where tensors become numbers that people see.

Softmax runs over the whole vocabulary in float64; lists are cut last, and what is not listed is summed as `other`.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from minigpt.errors import CheckpointError
from minigpt.sampling.filters import CUT, SamplingStage, look_back
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord
from minigpt.text.records import token_text

TokenBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class StageResult:
    """A stage and the distribution [V] after it; `kept_V` is False where it, or one before it, cut the token."""

    stage: SamplingStage
    kept_V: Tensor
    probs_V: Tensor

    # Numbers are picked from NumPy's views in a quarter of the time that tensors take.

    @cached_property
    def kept(self) -> np.ndarray:
        return self.kept_V.numpy()

    @cached_property
    def probs(self) -> np.ndarray:
        return self.probs_V.numpy()


@dataclass(frozen=True)
class Distribution:
    """The whole distribution of the next token, float64, on the CPU: `raw_V` before the stages, `results` after each.

    `logits` and `raw` are NumPy views of the same numbers.
    """

    logits_V: Tensor
    raw_V: Tensor
    results: tuple[StageResult, ...]

    @cached_property
    def logits(self) -> np.ndarray:
        return self.logits_V.numpy()

    @cached_property
    def raw(self) -> np.ndarray:
        return self.raw_V.numpy()

    @property
    def entropy_bits(self) -> float:
        """The entropy of the raw probabilities: with the largest logit at 0, log(sum of exp) minus the mean logit.

        Both terms are 0 or more, and zero probabilities meet finite logits, so 0 * log 0 never occurs and no logarithm
        of each probability is needed, which would take as long as the softmax.
        """
        logits, raw = self.logits, self.raw
        best = int(logits.argmax())
        return (float((raw * (logits[best] - logits)).sum()) - math.log(raw[best])) / math.log(2)

    @property
    def final_V(self) -> Tensor:
        """The distribution that a token is drawn from."""
        return self.results[-1].probs_V if self.results else self.raw_V

    def draw(self, uniform: float) -> int:
        """One token id by its final probability: the first at which the cumulative sum exceeds `uniform`, in [0, 1)."""
        sums = (self.results[-1].probs if self.results else self.raw).cumsum()
        point = uniform * sums[-1]
        # The first sum beyond the point; a token of probability 0 adds nothing and is never that one.
        token = int(sums.searchsorted(point, side="right"))
        return token if token < len(sums) else int(self.final_V.nonzero()[-1])  # the product was rounded up


def distribution(
    logits_V: Tensor, stages: Sequence[SamplingStage] = (), history: Sequence[int] | Tensor = ()
) -> Distribution:
    """Pass `logits_V` [V] through the stages.

    `history`: the ids of the text so far, with repetitions, or each once if no stage counts them; a tensor is used as
    it is. Raises CheckpointError for inf and NaN.
    """
    logits_V = logits_V.cpu().double()  # in this order: MPS has no float64
    require_finite(logits_V)
    return Distribution(logits_V, logits_V.softmax(-1), tuple(_apply(stages, logits_V, history)))


def require_finite(logits: Tensor) -> None:
    """Raise CheckpointError on inf and NaN. `logits`, of any shape, are on the CPU."""
    if not np.isfinite(logits.double().numpy()).all():
        raise CheckpointError(
            "The model's logits are not finite numbers: its weights are damaged, or training diverged."
        )


def _apply(stages: Sequence[SamplingStage], logits_V: Tensor, history: Sequence[int] | Tensor) -> Iterator[StageResult]:
    looked_at = history if look_back(stages) else ()  # a long text takes a while to convert
    history_T = torch.as_tensor(looked_at, dtype=torch.long)
    for stage in stages:
        logits_V = stage.apply(logits_V, history_T)
        yield StageResult(stage, logits_V > CUT, logits_V.softmax(-1))


def best_ids(logits_V: Tensor, n: int) -> list[int]:
    """The ids of the n largest logits, best first, the lowest id first among equals."""
    values, ids = (found.tolist() for found in logits_V.topk(min(n + 1, len(logits_V))))
    if all(map(operator.gt, values, values[1:])):
        return list(ids[:n])
    # Ties, which topk orders as it likes: take all that reach the n-th value, which come by ascending ids.
    contenders = (logits_V >= values[:n][-1]).nonzero().squeeze(-1)
    order = logits_V[contenders].argsort(descending=True, stable=True)[:n]
    return list(contenders[order].tolist())


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
    ids = best_ids(dist.logits_V, top)
    listed = list(dict.fromkeys([*ids, *also, *(() if token is None else (token,))]))
    rows = candidates(dist, listed, token_bytes, best=len(ids))
    chosen = None if token is None else rows[listed.index(token)]
    surprisal = None if chosen is None else surprisal_bits(rows[0], chosen)
    return _record(dist, rows, chosen, surprisal, position=position, sample=sample)


def listing(dist: Distribution, ids: Sequence[int], token_bytes: TokenBytes, *, position: int) -> StepRecord:
    """The record of an open question: the tokens `ids`, in this order, and all others summed."""
    return _record(dist, candidates(dist, ids, token_bytes), None, None, position=position)


def _record(
    dist: Distribution,
    rows: tuple[Candidate, ...],
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
        other=all_others(dist, [candidate.id for candidate in rows]),
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


def candidates(
    dist: Distribution, ids: Sequence[int], token_bytes: TokenBytes, *, best: int = 0
) -> tuple[Candidate, ...]:
    """The tokens `ids` with their numbers. The first `best` of them are known to have the largest logits, in order."""
    ids = list(ids)
    logits: list[float] = dist.logits[ids].tolist()
    raw_probs: list[float] = dist.raw[ids].tolist()
    after = list(zip(*(result.probs[ids].tolist() for result in dist.results), strict=True)) or [()] * len(ids)
    probs = [each[-1] for each in after] if dist.results else raw_probs
    ranks, cut_by = _ranks(dist.logits, logits, best), _cut_by(dist, ids)
    names = [_text_and_hex(token_bytes(token)) for token in ids]
    return tuple(
        Candidate(
            id=token,
            text=text,
            bytes=hex_bytes,
            logit=logit,
            raw_prob=raw,
            after=each,
            prob=prob,
            rank=rank,
            cut_by=cut,
        )
        for token, (text, hex_bytes), logit, raw, each, prob, rank, cut in zip(
            ids, names, logits, raw_probs, after, probs, ranks, cut_by, strict=True
        )
    )


def _ranks(logits: np.ndarray, listed: list[float], best: int) -> list[int]:
    """For each listed logit, 1 + how many of all are strictly greater."""
    ranks: list[int] = []
    for i, logit in enumerate(listed[:best]):
        ranks.append(ranks[-1] if i and logit == listed[i - 1] else i + 1)
    return ranks + [1 + int(np.count_nonzero(logits > logit)) for logit in listed[best:]]


def _cut_by(dist: Distribution, ids: list[int]) -> list[str | None]:
    """For each token, the stage that removed it, or None."""
    cut_by: list[str | None] = [None] * len(ids)
    for result in dist.results:
        for i, kept in enumerate(result.kept[ids].tolist()):
            if not kept and cut_by[i] is None:
                cut_by[i] = result.stage.name
    return cut_by


def all_others(dist: Distribution, listed: list[int]) -> Other:
    """All tokens that are not listed, summed term by term."""
    raw_prob = _sum_without(dist.raw, listed)
    after = tuple(_sum_without(result.probs, listed) for result in dist.results)
    return Other(
        count=len(dist.raw) - len(listed), raw_prob=raw_prob, prob=after[-1] if after else raw_prob, after=after
    )


def sum_without(probs_V: Tensor, listed: list[int]) -> float:
    """The sum over all that is not listed, term by term."""
    return _sum_without(probs_V.numpy(), listed)


def _sum_without(probs: np.ndarray, listed: list[int]) -> float:
    rest = probs.copy()
    rest[listed] = 0
    return float(rest.sum())


def _stage(dist: Distribution, result: StageResult) -> Stage:
    return Stage(
        name=result.stage.name,
        value=result.stage.value,
        kept=int(np.count_nonzero(result.kept)),
        mass=float(dist.raw.sum(where=result.kept)),
    )


def surprisal(logits_V: Tensor, token: int) -> float:
    """-log2 of the probability of `token`, in float64; 0 or more."""
    logits_V = logits_V.cpu().double()
    return max(0.0, float(logits_V.logsumexp(-1) - logits_V[token])) / math.log(2)


def divergence_bits(p_logits_V: Tensor, q_logits_V: Tensor) -> float:
    """The KL divergence D(p || q) of two softmaxes, in float64 and in bits: the excess cost of coding p's tokens by q.

    0 for equal distributions, never negative. Kullback and Leibler, "On Information and Sufficiency", 1951.
    """
    log_p = p_logits_V.double().log_softmax(-1)
    log_q = q_logits_V.double().log_softmax(-1)
    nats = float((log_p.exp() * (log_p - log_q)).sum())
    return max(0.0, nats) / math.log(2)  # rounding can make it a little less
