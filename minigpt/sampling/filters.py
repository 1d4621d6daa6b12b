"""The sampling filters: transformations of a distribution before a token is drawn, one small function each.

A filter takes `logits_BV` on the CPU (any batch dimensions, the vocabulary last), the ids of the text so far in
`history_BT`, and its setting. It returns new logits, -inf where it cuts, never edits its input, and checks the range of
its setting. The softmax of the result is the distribution after the filter. Of equal logits, those with the lowest ids
are kept.

To add a filter, write its function here and a field of the same name in FilterSettings, with its FilterSpec.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minigpt.errors import ConfigError, brief, named
from minigpt.settings import FilterSpec, SampleConfig, TokenBias, require
from minigpt.text.arguments import single_token
from minigpt.text.tokenizer import Tokenizer

Filter = Callable[[Tensor, Tensor, Any], Tensor]  # (logits_BV, history_BT, setting) -> logits_BV

CUT = -math.inf
_FUNCTIONS: dict[str, Filter] = {}  # by the names of their settings


def _register(function: Filter) -> Filter:
    _FUNCTIONS[function.__name__] = function
    return function


@_register
def bias(logits_BV: Tensor, history_BT: Tensor, bias: Sequence[TokenBias]) -> Tensor:
    """Add to the logits of single tokens: `bias` has pairs of an id, each at most once, and a finite amount."""
    ids = [token for token, _ in bias]
    require(all(math.isfinite(amount) for _, amount in bias), "a bias must be a finite number.")
    require(len(set(ids)) == len(ids), "a token can have one bias only.")
    outside = next((token for token in ids if not 0 <= token < logits_BV.size(-1)), None)
    require(outside is None, f"a bias must be of a token of the vocabulary, not {outside}.")
    added_V = logits_BV.new_zeros(logits_BV.size(-1))
    added_V[torch.tensor(ids, dtype=torch.long)] = added_V.new_tensor([amount for _, amount in bias])
    return logits_BV + added_V


@_register
def repetition_penalty(logits_BV: Tensor, history_BT: Tensor, penalty: float) -> Tensor:
    """Make every token of the history less likely: positive logits / penalty, negative ones * penalty.

    `penalty` > 0; 1 changes nothing, below 1 rewards repetition. Keskar et al., "CTRL", 2019, section 4.1.
    """
    require(0 < penalty < math.inf, f"the repetition penalty must be above 0, not {penalty}.")
    seen = logits_BV.gather(-1, history_BT)
    return logits_BV.scatter(-1, history_BT, torch.where(seen > 0, seen / penalty, seen * penalty))


@_register
def presence_penalty(logits_BV: Tensor, history_BT: Tensor, penalty: float) -> Tensor:
    """Subtract `penalty` from the logit of every token of the history; 0 changes nothing.

    Both this and the frequency penalty come from the OpenAI API.
    """
    require(math.isfinite(penalty), f"the presence penalty must be a finite number, not {penalty}.")
    return logits_BV.scatter(-1, history_BT, logits_BV.gather(-1, history_BT) - penalty)


@_register
def frequency_penalty(logits_BV: Tensor, history_BT: Tensor, penalty: float) -> Tensor:
    """Subtract `penalty` from the logit of every token once for each time it occurs in the history."""
    require(math.isfinite(penalty), f"the frequency penalty must be a finite number, not {penalty}.")
    once_BT = torch.ones_like(history_BT, dtype=logits_BV.dtype)
    return logits_BV - penalty * torch.zeros_like(logits_BV).scatter_add(-1, history_BT, once_BT)


@_register
def temperature(logits_BV: Tensor, history_BT: Tensor, temperature: float) -> Tensor:
    """Divide the logits: below 1 sharpens, above 1 flattens. 0 keeps only the largest, the lowest id among equals."""
    require(0 <= temperature < math.inf, f"the temperature must be 0 or more, not {temperature}.")
    if temperature == 0:
        return _keep_only(logits_BV, _first_argmax(logits_BV))
    # The largest logit becomes 0, so that a tiny temperature cannot overflow to inf - inf.
    return (logits_BV - logits_BV.amax(-1, keepdim=True)) / temperature


@_register
def top_n_sigma(logits_BV: Tensor, history_BT: Tensor, n: float) -> Tensor:
    """Keep the logits that are at most `n` standard deviations below the largest. `n` >= 0; 0 cuts nothing.

    The standard deviation is that of all remaining logits. Tang et al., "Top-nσ", 2024.
    """
    require(0 <= n < math.inf, f"top-n-sigma must be 0 or more, not {n}.")
    if n == 0:
        return logits_BV.clone()
    below_BV = logits_BV - logits_BV.amax(-1, keepdim=True)
    is_cut_BV = logits_BV == CUT
    left_B1 = (~is_cut_BV).sum(-1, keepdim=True)
    mean_B1 = below_BV.masked_fill(is_cut_BV, 0).sum(-1, keepdim=True) / left_B1
    variance_B1 = (below_BV - mean_B1).masked_fill(is_cut_BV, 0).square().sum(-1, keepdim=True) / left_B1
    return logits_BV.masked_fill(below_BV < -n * variance_B1.sqrt(), CUT)


@_register
def top_k(logits_BV: Tensor, history_BT: Tensor, k: int) -> Tensor:
    """Keep exactly the k largest logits, the lowest ids among equals. `k` >= 1. Fan et al., 2018."""
    require(k >= 1, f"top-k must keep 1 token or more, not {k}.")
    if k >= logits_BV.size(-1):
        return logits_BV.clone()
    return _keep_largest(logits_BV, logits_BV.topk(k, dim=-1).values[..., -1:], k)


@_register
def typical_p(logits_BV: Tensor, history_BT: Tensor, p: float) -> Tensor:
    """Keep the tokens whose surprisal is nearest to the entropy, until their probabilities sum to p.

    0 < `p` <= 1; 1 cuts nothing. Meister et al., "Locally Typical Sampling", 2022.
    """
    require(0 < p <= 1, f"typical-p must be above 0 and at most 1, not {p}.")
    if p == 1:
        return logits_BV.clone()
    log_probs_BV = logits_BV.log_softmax(-1)
    probs_BV = log_probs_BV.exp()
    entropy_B1 = torch.special.entr(probs_BV).sum(-1, keepdim=True)
    order_BV = (-log_probs_BV - entropy_B1).abs().argsort(dim=-1, stable=True)  # what is cut already comes last
    is_cut_BV = _reached_before(probs_BV.gather(-1, order_BV), p)
    return logits_BV.masked_fill(torch.zeros_like(is_cut_BV).scatter(-1, order_BV, is_cut_BV), CUT)


@_register
def top_p(logits_BV: Tensor, history_BT: Tensor, p: float) -> Tensor:
    """Keep the most likely tokens until their probabilities sum to p. 0 < `p` <= 1; 1 cuts nothing.

    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
    """
    require(0 < p <= 1, f"top-p must be above 0 and at most 1, not {p}.")
    if p == 1:  # however the sum is rounded
        return logits_BV.clone()
    # NumPy sorts the values alone, several times as fast as PyTorch, which sorts their ids too.
    ordered_BV = torch.from_numpy(np.sort(logits_BV.numpy())).flip(-1)
    count_B1 = (~_reached_before(ordered_BV.softmax(-1), p)).sum(-1, keepdim=True)
    return _keep_largest(logits_BV, ordered_BV.gather(-1, count_B1 - 1), count_B1)


@_register
def min_p(logits_BV: Tensor, history_BT: Tensor, p: float) -> Tensor:
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


def _reached_before(probs_BV: Tensor, p: float) -> Tensor:
    """Whether those before each of the probabilities, in their order, sum to p already; never for the first."""
    reached_before_BV = probs_BV.cumsum(-1) - probs_BV >= p
    reached_before_BV[..., 0] = False
    return reached_before_BV


def _keep_largest(logits_BV: Tensor, least_B1: Tensor, count_B1: Tensor | int) -> Tensor:
    """Keep the `count_B1` largest logits, of which `least_B1` is the smallest; the lowest ids among equals."""
    kept_BV = logits_BV >= least_B1
    if bool((kept_BV.sum(-1, keepdim=True) > count_B1).any()):
        above_BV, equal_BV = logits_BV > least_B1, logits_BV == least_B1
        kept_BV = above_BV | (equal_BV & (equal_BV.cumsum(-1) <= count_B1 - above_BV.sum(-1, keepdim=True)))
    return logits_BV.masked_fill(~kept_BV, CUT)


@dataclass(frozen=True)
class SamplingStage:
    """A filter with its setting. `value` is the number that tables and JSON show for it."""

    spec: FilterSpec
    setting: Any
    function: Filter

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def value(self) -> float:
        return self.spec.number(self.setting)

    def apply(self, logits_BV: Tensor, history_BT: Tensor) -> Tensor:
        """The logits after the filter. `history_BT`: see FilterSpec.history."""
        return self.function(logits_BV, history_BT, self.setting)


def build_stages(config: SampleConfig) -> tuple[SamplingStage, ...]:
    """The stages of `config.stages`, in that order; those that are neutral are left out."""
    return tuple(SamplingStage(spec, getattr(config, spec.setting), _FUNCTIONS[spec.setting]) for spec in config.active)


def look_back(stages: Sequence[SamplingStage]) -> bool:
    """Whether any of the stages needs the text so far."""
    return any(stage.spec.history for stage in stages)


def count_tokens(stages: Sequence[SamplingStage]) -> bool:
    """Whether any of the stages needs to know how often each token occurs in the text."""
    return any(stage.spec.history == "each" for stage in stages)


# What the filters receive: the tokens of the text so far, and biases by id


class SeenTokens:
    """The ids of a growing text in order: each once, or with repetitions if they are counted.

    A step adds one id without converting the others again.
    """

    def __init__(self, ids: Iterable[int] = (), *, counted: bool = False) -> None:
        first = list(ids) if counted else list(dict.fromkeys(ids))
        self._known, self._counted, self._length = set(first), counted, len(first)
        self._buffer = torch.tensor(first, dtype=torch.long)

    def add(self, token: int) -> None:
        """Add the next token of the text."""
        if token in self._known and not self._counted:
            return
        if self._length == len(self._buffer):  # twice the room, so that a token costs the same however long the text is
            self._buffer = torch.cat([self._buffer, torch.zeros(max(64, self._length), dtype=torch.long)])
        self._buffer[self._length] = token
        self._known.add(token)
        self._length += 1

    @property
    def ids(self) -> Tensor:
        """The ids [S], as a view that later tokens do not change."""
        return self._buffer[: self._length]


def read_biases(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[TokenBias, ...]:
    """The biases in `texts`, such as ` the=-2` or `#262=-2`. Raises ConfigError."""
    return token_biases(tokenizer, map(_parted, texts))


def token_biases(tokenizer: Tokenizer, amounts: Iterable[tuple[str, float]]) -> tuple[TokenBias, ...]:
    """Pairs of a token's id and its bias. Raises ConfigError for a text that is not one token, or given twice."""
    found: dict[int, float] = {}
    for text, amount in amounts:
        try:
            token = single_token(tokenizer, text)
        except ConfigError as error:
            raise ConfigError(f"{named('bias')}: {error.message}") from error
        if token in found:
            raise ConfigError(f"{named('bias')} names the token {brief(text)!r} twice: give it one number.")
        found[token] = amount
    return tuple(found.items())


def _parted(text: str) -> tuple[str, float]:
    token, _, number = text.rpartition("=")
    try:
        return token, float(number)
    except ValueError as error:
        needed = f"{named('bias')} needs a token and a number, as in ' the=-2'"
        raise ConfigError(f"{needed}, not {brief(text)!r}.") from error
