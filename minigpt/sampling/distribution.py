"""One step's logits in, its record out: the one place where tensors become numbers that people see.

Softmax runs over the whole vocabulary in float64; lists are cut last, and what is not listed is summed as `other`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
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
        """One token id, at random by its final probability."""
        return int(torch.multinomial(self.final_V, 1, generator=generator))


def distribution(logits_V: Tensor, stages: Iterable[SamplingStage] = (), history: Sequence[int] = ()) -> Distribution:
    """Run `logits_V` [V] through the stages. `history`: the ids of the text so far. Raises CheckpointError on NaN."""
    logits_V = logits_V.detach().to("cpu", torch.float64)
    raw_V = logits_V.softmax(-1)
    if not math.isfinite(float(raw_V[0])):
        raise CheckpointError(
            "The model's logits are not finite numbers: its weights are damaged, or training diverged."
        )
    current_V, history_T = logits_V, torch.tensor(history, dtype=torch.long)
    results = []
    for stage in stages:
        current_V = stage.apply(current_V, history_T)
        results.append(StageResult(stage, current_V > CUT, current_V.softmax(-1)))
    return Distribution(logits_V, raw_V, tuple(results))


def best_ids(logits_V: Tensor, n: int) -> list[int]:
    """The ids of the n largest logits, best first, the lowest id first among equals."""
    n = min(n, logits_V.numel())
    threshold = logits_V.topk(n).values[-1]
    contenders = (logits_V >= threshold).nonzero().squeeze(-1)  # ascending ids; more than n only when there are ties
    order = logits_V[contenders].argsort(descending=True, stable=True)[:n]
    ids: list[int] = contenders[order].tolist()
    return ids


def step_record(
    dist: Distribution, token_bytes: TokenBytes, *, position: int, top: int, token: int | None = None, sample: int = 0
) -> StepRecord:
    """The record of one step: the `top` best candidates, `token` among them, and all others summed."""
    ids = best_ids(dist.logits_V, top)
    listed = ids if token is None or token in ids else [*ids, token]
    candidates = _candidates(dist, listed, token_bytes)
    chosen = next((c for c in candidates if c.id == token), None)
    return StepRecord(
        sample=sample,
        position=position,
        token=chosen,
        candidates=tuple(candidates),
        other=_other(dist, listed),
        entropy_bits=float(torch.special.entr(dist.raw_V).sum()) / math.log(2),
        surprisal_bits=None if chosen is None else surprisal_bits(dist, chosen.id),
        stages=tuple(_stage(dist, result) for result in dist.results),
    )


def surprisal_bits(dist: Distribution, token: int) -> float:
    """-log2 of the token's raw probability; from the logits, so that a probability of 1e-400 is still a number."""
    return float(torch.logsumexp(dist.logits_V, -1) - dist.logits_V[token]) / math.log(2)


def token_text(data: bytes) -> str | None:
    """The characters of a token, or None when its bytes are not whole characters."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _candidates(dist: Distribution, ids: list[int], token_bytes: TokenBytes) -> list[Candidate]:
    """Candidates for `ids`, given in descending order of their logits."""
    logits: list[float] = dist.logits_V[ids].tolist()
    columns = [dist.raw_V[ids].tolist(), *(result.probs_V[ids].tolist() for result in dist.results)]
    candidates, rank = [], 0
    for i, (token, logit) in enumerate(zip(ids, logits, strict=True)):
        if i == 0 or logit < logits[i - 1]:
            rank = i + 1 if i < len(ids) - 1 else 1 + int((dist.logits_V > logit).sum())
        data = token_bytes(token)
        raw, *after = (column[i] for column in columns)
        candidates.append(
            Candidate(
                id=token,
                text=token_text(data),
                bytes=data.hex(),
                logit=logit,
                raw_prob=raw,
                after=tuple(after),
                prob=after[-1] if after else raw,
                rank=rank,
                cut_by=_cut_by(dist, token),
            )
        )
    return candidates


def _cut_by(dist: Distribution, token: int) -> str | None:
    return next((result.stage.name for result in dist.results if not result.kept_V[token]), None)


def _other(dist: Distribution, listed: list[int]) -> Other:
    rest = torch.ones_like(dist.raw_V, dtype=torch.bool)
    rest[listed] = False
    return Other(
        count=rest.numel() - len(listed), raw_prob=float(dist.raw_V[rest].sum()), prob=float(dist.final_V[rest].sum())
    )


def _stage(dist: Distribution, result: StageResult) -> Stage:
    return Stage(
        name=result.stage.name,
        value=result.stage.value,
        kept=int(result.kept_V.sum()),
        mass=float(dist.raw_V[result.kept_V].sum()),
    )
