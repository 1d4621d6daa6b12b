"""Logits in, logits out: what may happen to a distribution before a token is drawn, one small function a stage.

Each takes `logits_BV` (any batch dimensions, the vocabulary last) and returns new ones, -inf where it cuts; none
edits its input. `history_BT` holds the ids of the text so far, each at least once. Softmax of the result is the
distribution after the stage. To add a stage: write its function, check its range, put one line into `build_stages`, and
its name into config.STAGES.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from minigpt.settings import SampleConfig, require

Filter = Callable[[Tensor, Tensor], Tensor]  # (logits_BV, history_BT) -> logits_BV

CUT = -math.inf


def repetition_penalty(logits_BV: Tensor, history_BT: Tensor, *, penalty: float) -> Tensor:
    """Make every token of the history less likely: positive logits / penalty, negative ones * penalty.

    `penalty` > 0; 1 changes nothing, below 1 rewards repetition. Keskar et al., "CTRL", 2019, section 4.1.
    """
    require(0 < penalty < math.inf, f"the repetition penalty must be above 0, not {penalty}.")
    seen = logits_BV.gather(-1, history_BT)
    return logits_BV.scatter(-1, history_BT, torch.where(seen > 0, seen / penalty, seen * penalty))


def temperature(logits_BV: Tensor, history_BT: Tensor, *, temperature: float) -> Tensor:
    """Divide the logits: below 1 sharpens, above 1 flattens. 0 keeps the largest alone, the lowest id among equals."""
    require(0 <= temperature < math.inf, f"the temperature must be 0 or more, not {temperature}.")
    if temperature == 0:
        return _keep_only(logits_BV, _first_argmax(logits_BV))
    # The largest logit becomes 0, so that a tiny temperature cannot overflow to inf - inf.
    return (logits_BV - logits_BV.amax(-1, keepdim=True)) / temperature


def top_k(logits_BV: Tensor, history_BT: Tensor, *, k: int) -> Tensor:
    """Keep exactly the k largest logits, the lowest ids among equals. `k` >= 1. Fan et al., 2018."""
    require(k >= 1, f"top-k must keep 1 token or more, not {k}.")
    if k >= logits_BV.size(-1):
        return logits_BV.clone()
    order = logits_BV.argsort(dim=-1, descending=True, stable=True)
    return logits_BV.scatter(-1, order[..., k:], CUT)


def top_p(logits_BV: Tensor, history_BT: Tensor, *, p: float) -> Tensor:
    """Keep the most likely tokens up to and with the one at which their sum reaches p. 0 < `p` <= 1; 1 cuts nothing.

    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
    """
    require(0 < p <= 1, f"top-p must be above 0 and at most 1, not {p}.")
    if p == 1:  # whatever rounding makes of the sum
        return logits_BV.clone()
    ordered, order = logits_BV.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(-1)
    reached_before = probs.cumsum(-1) - probs >= p
    reached_before[..., 0] = False  # the first always stays
    return logits_BV.masked_fill(torch.zeros_like(reached_before).scatter(-1, order, reached_before), CUT)


def min_p(logits_BV: Tensor, history_BT: Tensor, *, p: float) -> Tensor:
    """Keep the tokens with at least p times the probability of the most likely one. 0 <= `p` <= 1.

    Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024. Compared as logits: log(q / q_max) >= log p.
    """
    require(0 <= p <= 1, f"min-p must lie between 0 and 1, not {p}.")
    if p == 0:
        return logits_BV.clone()
    return logits_BV.masked_fill(logits_BV - logits_BV.amax(-1, keepdim=True) < math.log(p), CUT)


def _first_argmax(logits_BV: Tensor) -> Tensor:
    """[B, 1], the lowest id among equals (which torch.argmax does not promise)."""
    return (logits_BV == logits_BV.amax(-1, keepdim=True)).byte().argmax(-1, keepdim=True)


def _keep_only(logits_BV: Tensor, ids_B1: Tensor) -> Tensor:
    return torch.full_like(logits_BV, CUT).scatter(-1, ids_B1, logits_BV.gather(-1, ids_B1))


@dataclass(frozen=True)
class SamplingStage:
    """A filter with its setting: `name` and `value` are what tables and JSON show."""

    name: str
    value: float
    apply: Filter

    @property
    def looks_back(self) -> bool:
        """Whether it asks for the history."""
        return self.name == "repetition-penalty"


def build_stages(config: SampleConfig) -> tuple[SamplingStage, ...]:
    """The stages of `config.stages`, in that order; those at their neutral value are left out."""
    c = config
    known: dict[str, tuple[float, float, Filter]] = {  # value, neutral value, filter
        "repetition-penalty": (c.repetition_penalty, 1.0, partial(repetition_penalty, penalty=c.repetition_penalty)),
        "temperature": (c.temperature, 1.0, partial(temperature, temperature=c.temperature)),
        "top-k": (c.top_k, 0, partial(top_k, k=c.top_k)),
        "top-p": (c.top_p, 1.0, partial(top_p, p=c.top_p)),
        "min-p": (c.min_p, 0.0, partial(min_p, p=c.min_p)),
    }
    chosen = ((name, *known[name]) for name in c.stages)
    return tuple(SamplingStage(name, value, apply) for name, value, neutral, apply in chosen if value != neutral)
