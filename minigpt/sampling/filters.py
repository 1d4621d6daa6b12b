"""The sampling filters: transformations of a distribution before a token is drawn, one small function each.

A filter takes `logits_BV` in float64 (any batch dimensions, the vocabulary last), the ids of the text so far in
`history_BT`, and its setting. It returns new logits, -inf where it cuts, never edits its input, and checks the range of
its setting. The softmax of the result is the distribution after the filter. Of equal logits, those with the lowest ids
are kept.

To add a filter, write its function for one row here, and a field of the same name in FilterSettings, with its
FilterSpec.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from minigpt.errors import ConfigError, brief, named
from minigpt.sampling.vocabulary import log_softmax, softmax
from minigpt.settings import FilterSpec, SampleConfig, TokenBias, require
from minigpt.text.arguments import single_token
from minigpt.text.tokenizer import Tokenizer

Filter = Callable[..., np.ndarray]  # (logits_BV, history_BT, setting) -> logits_BV

CUT = -math.inf
_FUNCTIONS: dict[str, Filter] = {}  # by the names of their settings


def _register(function: Filter) -> Filter:
    """Register a filter of one distribution [V], extended to any batch dimensions."""

    @wraps(function)
    def row_by_row(logits_BV: np.ndarray, history_BT: np.ndarray, *setting: Any, **named_setting: Any) -> np.ndarray:
        if logits_BV.ndim == 1:
            return function(logits_BV, history_BT, *setting, **named_setting)
        rows = zip(logits_BV, history_BT, strict=True)
        return np.stack([row_by_row(logits, history, *setting, **named_setting) for logits, history in rows])

    _FUNCTIONS[function.__name__] = row_by_row
    return row_by_row


@_register
def bias(logits_V: np.ndarray, history_T: np.ndarray, bias: Sequence[TokenBias]) -> np.ndarray:
    """Add to the logits of single tokens: `bias` has pairs of an id, each at most once, and a finite amount."""
    ids = [token for token, _ in bias]
    require(all(math.isfinite(amount) for _, amount in bias), "a bias must be a finite number.")
    require(len(set(ids)) == len(ids), "a token can have one bias only.")
    outside = next((token for token in ids if not 0 <= token < len(logits_V)), None)
    require(outside is None, f"a bias must be of a token of the vocabulary, not {outside}.")
    result_V = logits_V.copy()
    for token, amount in bias:
        result_V[token] += amount
    return result_V


@_register
def repetition_penalty(logits_V: np.ndarray, history_T: np.ndarray, penalty: float) -> np.ndarray:
    """Make every token of the history less likely: positive logits / penalty, negative ones * penalty.

    `penalty` > 0; 1 changes nothing, below 1 rewards repetition. Keskar et al., "CTRL", 2019, section 4.1.
    """
    require(0 < penalty < math.inf, f"the repetition penalty must be above 0, not {penalty}.")
    result_V, seen_T = logits_V.copy(), logits_V[history_T]
    result_V[history_T] = np.where(seen_T > 0, seen_T / penalty, seen_T * penalty)
    return result_V


@_register
def presence_penalty(logits_V: np.ndarray, history_T: np.ndarray, penalty: float) -> np.ndarray:
    """Subtract `penalty` from the logit of every token of the history; 0 changes nothing.

    Both this and the frequency penalty come from the OpenAI API.
    """
    require(math.isfinite(penalty), f"the presence penalty must be a finite number, not {penalty}.")
    result_V = logits_V.copy()
    result_V[history_T] = logits_V[history_T] - penalty
    return result_V


@_register
def frequency_penalty(logits_V: np.ndarray, history_T: np.ndarray, penalty: float) -> np.ndarray:
    """Subtract `penalty` from the logit of every token once for each time it occurs in the history."""
    require(math.isfinite(penalty), f"the frequency penalty must be a finite number, not {penalty}.")
    counts_V = np.bincount(history_T, minlength=len(logits_V))
    penalised_V: np.ndarray = logits_V - penalty * counts_V
    return penalised_V


@_register
def temperature(logits_V: np.ndarray, history_T: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits: below 1 sharpens, above 1 flattens. 0 keeps only the largest, the lowest id among equals."""
    require(0 <= temperature < math.inf, f"the temperature must be 0 or more, not {temperature}.")
    result_V: np.ndarray
    if temperature == 0:
        best, result_V = logits_V.argmax(), np.full_like(logits_V, CUT)
        result_V[best] = logits_V[best]
        return result_V
    with np.errstate(over="ignore"):
        result_V = logits_V / temperature
        if not math.isfinite(result_V.max()):
            # The temperature is so tiny that the largest overflows: with that at 0, only the others do.
            result_V = (logits_V - logits_V.max()) / temperature
    return result_V


@_register
def top_n_sigma(logits_V: np.ndarray, history_T: np.ndarray, n: float) -> np.ndarray:
    """Keep the logits that are at most `n` standard deviations below the largest. `n` >= 0; 0 cuts nothing.

    The standard deviation is that of all remaining logits. Tang et al., "Top-nσ", 2024.
    """
    require(0 <= n < math.inf, f"top-n-sigma must be 0 or more, not {n}.")
    if n == 0:
        return logits_V.copy()
    below_V = logits_V - logits_V.max()
    with np.errstate(over="ignore"):  # to inf, after a tiny temperature, which cuts nothing
        deviation = below_V[below_V > CUT].std()
    return np.where(below_V < -n * deviation, CUT, logits_V)


@_register
def top_k(logits_V: np.ndarray, history_T: np.ndarray, k: int) -> np.ndarray:
    """Keep exactly the k largest logits, the lowest ids among equals. `k` >= 1. Fan et al., 2018."""
    require(k >= 1, f"top-k must keep 1 token or more, not {k}.")
    if k >= len(logits_V):
        return logits_V.copy()
    return _keep_largest(logits_V, np.partition(logits_V, -k)[-k], k)


@_register
def typical_p(logits_V: np.ndarray, history_T: np.ndarray, p: float) -> np.ndarray:
    """Keep the tokens whose surprisal is nearest to the entropy, until their probabilities sum to p.

    0 < `p` <= 1; 1 cuts nothing. Meister et al., "Locally Typical Sampling", 2022.
    """
    require(0 < p <= 1, f"typical-p must be above 0 and at most 1, not {p}.")
    result_V = logits_V.copy()
    if p == 1:
        return result_V
    log_probs_V = log_softmax(logits_V)
    probs_V, is_left_V = np.exp(log_probs_V), log_probs_V > CUT
    entropy = -(probs_V[is_left_V] * log_probs_V[is_left_V]).sum()
    order_V = np.abs(-log_probs_V - entropy).argsort(kind="stable")  # what is cut already comes last
    result_V[order_V[_reached_before(probs_V[order_V], p)]] = CUT
    return result_V


@_register
def top_p(logits_V: np.ndarray, history_T: np.ndarray, p: float) -> np.ndarray:
    """Keep the most likely tokens until their probabilities sum to p. 0 < `p` <= 1; 1 cuts nothing.

    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
    """
    require(0 < p <= 1, f"top-p must be above 0 and at most 1, not {p}.")
    if p == 1:  # however the sum is rounded
        return logits_V.copy()
    probs_V = softmax(logits_V)
    # Tokens below this share hold half of 1 - p at most, all together: they are cut, and only the others are sorted.
    likely = (probs_V > (1 - p) / (2 * len(probs_V))).nonzero()[0]
    count = int(np.count_nonzero(~_reached_before(np.sort(probs_V[likely])[::-1], p)))
    return _keep_largest(logits_V, np.partition(logits_V[likely], -count)[-count], count)


@_register
def min_p(logits_V: np.ndarray, history_T: np.ndarray, p: float) -> np.ndarray:
    """Keep the tokens with at least p times the probability of the most likely one. 0 <= `p` <= 1.

    Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024. Compared as logits: log(q / q_max) >= log p.
    """
    require(0 <= p <= 1, f"min-p must lie between 0 and 1, not {p}.")
    if p == 0:
        return logits_V.copy()
    return np.where(logits_V - logits_V.max() < math.log(p), CUT, logits_V)


def _reached_before(probs_V: np.ndarray, p: float) -> np.ndarray:
    """For each probability, whether those before it already sum to p; False for the first."""
    reached_before_V: np.ndarray = probs_V.cumsum() - probs_V >= p
    reached_before_V[0] = False
    return reached_before_V


def _keep_largest(logits_V: np.ndarray, least: float, count: int) -> np.ndarray:
    """Keep the `count` largest logits, of which `least` is the smallest; the lowest ids among equals."""
    kept_V = logits_V >= least
    surplus = np.count_nonzero(kept_V) - count
    if surplus:
        kept_V[(logits_V == least).nonzero()[0][-surplus:]] = False
    return np.where(kept_V, logits_V, CUT)


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

    def apply(self, logits_BV: np.ndarray, history_BT: np.ndarray) -> np.ndarray:
        """The logits after the filter. `history_BT`: see FilterSpec.history."""
        return self.function(logits_BV, history_BT, self.setting)


def build_stages(config: SampleConfig) -> tuple[SamplingStage, ...]:
    """The stages of `config.stages`, in that order; those that are neutral are left out."""
    return tuple(SamplingStage(spec, getattr(config, spec.setting), _FUNCTIONS[spec.setting]) for spec in config.active)


def look_back(stages: Sequence[SamplingStage]) -> bool:
    """Whether any of the stages needs the text so far."""
    return any(stage.spec.history for stage in stages)


def history_for(stages: Sequence[SamplingStage], history: Sequence[int] | np.ndarray) -> np.ndarray:
    """`history` as the stages take it: nothing if none of them needs it, since a long text takes a while to convert."""
    return np.asarray(history if look_back(stages) else (), np.int64)


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
        self._buffer = np.array(first, np.int64)

    def add(self, token: int) -> None:
        """Add the next token of the text."""
        if token in self._known and not self._counted:
            return
        if self._length == len(self._buffer):  # twice the room, so that a token costs the same however long the text is
            self._buffer = np.concatenate([self._buffer, np.zeros(max(64, self._length), np.int64)])
        self._buffer[self._length] = token
        self._known.add(token)
        self._length += 1

    @property
    def ids(self) -> np.ndarray:
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
