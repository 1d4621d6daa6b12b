"""One step's logits in, its record out: the one place where tensors become numbers that people see.

Softmax runs over the whole vocabulary in float64; lists are cut last, and what is not listed is summed as `other`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.errors import CheckpointError
from minigpt.records import Candidate, Other, Stage, StepRecord
from minigpt.sampling.filters import CUT, SamplingStage

TokenBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class StageResult:
    """A stage and the distribution [V] after it; `kept_V` is False where it, or one before it, cut the token."""

    stage: SamplingStage
    kept_V: Tensor
    probs_V: Tensor


@dataclass(frozen=True)
class Distribution:
    """The next token's whole distribution, float64, on the CPU: `raw_V` before the stages, `results` after each."""

    logits_V: Tensor
    raw_V: Tensor
    results: tuple[StageResult, ...]

    @property
    def final_V(self) -> Tensor:
        """What a token is drawn from."""
        return self.results[-1].probs_V if self.results else self.raw_V

    def draw(self, generator: torch.Generator) -> int:
        """One token id, at random by its final probability: where a uniform number falls on the running sum."""
        sums_V = self.final_V.cumsum(-1)
        point = torch.rand(1, generator=generator, dtype=torch.float64) * sums_V[-1]
        # The first sum beyond the point; a token of probability 0 adds nothing and is never that one.
        token = int(torch.searchsorted(sums_V, point, right=True))
        return token if token < len(sums_V) else int(self.final_V.nonzero()[-1])  # the product was rounded up


def distribution(logits_V: Tensor, stages: Sequence[SamplingStage] = (), history: Sequence[int] = ()) -> Distribution:
    """Run `logits_V` [V] through the stages. `history`: the text's ids so far. CheckpointError on inf and NaN."""
    logits_V = logits_V.detach().to("cpu", torch.float64)
    if not math.isfinite(float(logits_V.sum())):
        raise CheckpointError(
            "The model's logits are not finite numbers: its weights are damaged, or training diverged."
        )
    current_V, results = logits_V, []
    history_T = torch.tensor(history if stages else (), dtype=torch.long)
    for stage in stages:
        current_V = stage.apply(current_V, history_T)
        results.append(StageResult(stage, current_V > CUT, current_V.softmax(-1)))
    return Distribution(logits_V, logits_V.softmax(-1), tuple(results))


def best_ids(logits_V: Tensor, n: int) -> list[int]:
    """The ids of the n largest logits, best first, the lowest id first among equals."""
    n = min(n, logits_V.numel())
    values, ids = logits_V.topk(n)
    threshold = values[-1]
    if int((logits_V >= threshold).sum()) == n and bool((values[:-1] > values[1:]).all()):
        return _as_list(ids)  # no ties, which topk would order as it likes
    contenders = (logits_V >= threshold).nonzero().squeeze(-1)  # by ascending ids
    return _as_list(contenders[logits_V[contenders].argsort(descending=True, stable=True)[:n]])


def _as_list(ids: Tensor) -> list[int]:
    plain: list[int] = ids.tolist()
    return plain


def step_record(
    dist: Distribution, token_bytes: TokenBytes, *, position: int, top: int, token: int | None = None, sample: int = 0
) -> StepRecord:
    """The record of one step: the `top` best candidates, `token` among them, and all others summed."""
    ids = best_ids(dist.logits_V, top)
    listed = ids if token is None or token in ids else [*ids, token]
    index = torch.tensor(listed)
    candidates = _candidates(dist, listed, index, token_bytes)
    return StepRecord(
        sample=sample,
        position=position,
        token=None if token is None else candidates[listed.index(token)],
        candidates=tuple(candidates),
        other=_other(dist, index),
        entropy_bits=float(torch.special.entr(dist.raw_V).sum()) / math.log(2),
        surprisal_bits=None if token is None else surprisal_bits(candidates[0], candidates[listed.index(token)]),
        stages=tuple(_stage(dist, result) for result in dist.results),
    )


def surprisal_bits(best: Candidate, token: Candidate) -> float:
    """-log2 of the token's raw probability, by its distance to the best one's: 1e-400 is still a number that way."""
    return (best.logit - token.logit - math.log(best.raw_prob)) / math.log(2)


def token_text(data: bytes) -> str | None:
    """The characters of a token, or None when its bytes are not whole characters."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _candidates(dist: Distribution, ids: list[int], index: Tensor, token_bytes: TokenBytes) -> list[Candidate]:
    """Candidates for `ids`, which `index` holds too, given in descending order of their logits."""
    logits: list[float] = dist.logits_V[index].tolist()
    raw_probs: list[float] = dist.raw_V[index].tolist()
    after = list(zip(*(result.probs_V[index].tolist() for result in dist.results), strict=True)) or [()] * len(ids)
    cut_by = _cut_by(dist, index)
    return [
        Candidate(
            id=token,
            text=token_text(data := token_bytes(token)),
            bytes=data.hex(),
            logit=logits[i],
            raw_prob=raw_probs[i],
            after=after[i],
            prob=after[i][-1] if after[i] else raw_probs[i],
            rank=rank,
            cut_by=cut_by[i],
        )
        for i, (token, rank) in enumerate(zip(ids, _ranks(dist.logits_V, logits), strict=True))
    ]


def _ranks(logits_V: Tensor, listed: list[float]) -> list[int]:
    """1 + how many logits are strictly greater, for `listed`, the largest of all in order and perhaps one more."""
    ranks = [1]
    for i in range(1, len(listed)):
        ranks.append(i + 1 if listed[i] < listed[i - 1] else ranks[-1])
    if len(listed) > 1:
        ranks[-1] = 1 + int((logits_V > listed[-1]).sum())  # the last may be far down
    return ranks


def _cut_by(dist: Distribution, index: Tensor) -> list[str | None]:
    """For each token, the first stage that did not keep it."""
    cut_by: list[str | None] = [None] * len(index)
    for result in dist.results:
        for i, kept in enumerate(result.kept_V[index].tolist()):
            if not kept and cut_by[i] is None:
                cut_by[i] = result.stage.name
    return cut_by


def _other(dist: Distribution, index: Tensor) -> Other:
    """What is not listed, summed term by term."""
    raw_prob = float(dist.raw_V.index_fill(0, index, 0).sum())
    prob = float(dist.final_V.index_fill(0, index, 0).sum()) if dist.results else raw_prob
    return Other(count=len(dist.raw_V) - len(index), raw_prob=raw_prob, prob=prob)


def _stage(dist: Distribution, result: StageResult) -> Stage:
    return Stage(
        name=result.stage.name,
        value=result.stage.value,
        kept=int(result.kept_V.sum()),
        mass=float(dist.raw_V.where(result.kept_V, 0).sum()),
    )
