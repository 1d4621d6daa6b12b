"""Divides the minutes of a comparison among its trainings, by the speed of each model."""

import math
from collections.abc import Sequence
from dataclasses import replace

from minigpt.contest.measures import GRADIENT_WINDOWS, LOSS_WINDOWS, rate_at
from minigpt.contest.records import Comparison, Contender
from minigpt.errors import named
from minigpt.settings import require
from minigpt.training.plan import BASELINE_RATES

RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # tried for each model
PAIRS_RATES = (1e-3, 3e-3, 1e-2)
USUAL_RATES = {**BASELINE_RATES, "gpt": 1e-3, "transformer": 1e-3}  # where none is tried: the best on the built-in text
WARMUP_PART = 20  # one in so many steps
EVALUATIONS = 8  # on the way

# How the time that is left once speeds are measured is shared out; loading and saving take the rest.
_TRIED, _TOKENS, _TIME, _RECALL = 0.25, 0.35, 0.25, 0.15
_USED = 0.95
# Of models of pairs; translating, and looking at alignments, take the rest.
_PAIRS_TRIED, _PAIRS_TIME = 0.35, 0.65
_PAIRS_USED = 0.85
_FEWEST_EVALUATED, _MOST_EVALUATED = 4096, 100_000  # tokens
_FEWEST_STEPS, FEWEST_SECONDS = 10, 8.0  # in 3 s a GPT may take no step besides its evaluations


def shared(comparison: Comparison, recall_seconds: float, again: str) -> Comparison:
    """`comparison` with the lengths of its trainings. `recall_seconds`: a step of that task, summed over all models.

    Equal tokens take as long as the models' speeds imply; without a sweep, its share goes to the rest. Raises
    ConfigError if there is too little time for anything; `again` is the command that continues.
    """
    contenders = comparison.contenders
    a_token = sum(1 / speed(contender, comparison.context) for contender in contenders)
    looking = a_token * comparison.context * (LOSS_WINDOWS / 3 + GRADIENT_WINDOWS)  # forward is a third of a step
    left = 60 * comparison.minutes - comparison.spent_seconds - looking
    fewest = _fewest_tokens(comparison)
    part = _USED * left / _parts(comparison)
    _require_time(comparison, comparison.spent_seconds + looking + _least(comparison, fewest * a_token), again)
    return replace(
        comparison,
        tokens=round(part * _TOKENS / a_token),
        seconds=part * _TIME / len(contenders),
        tried_tokens=None if comparison.quick else max(fewest, round(part * _TRIED / len(RATES) / a_token)),
        recall_steps=max(_FEWEST_STEPS, round(part * _RECALL / recall_seconds)),
    )


def _parts(comparison: Comparison) -> float:
    """The sum of the shares that are asked for."""
    return _TOKENS + _TIME + _RECALL + (0 if comparison.quick else _TRIED)


def _least(comparison: Comparison, seconds: float) -> float:
    """The time of all trainings if those with the fewest tokens take this many `seconds`."""
    if comparison.pairs:
        parts = _PAIRS_TIME + (0 if comparison.quick else _PAIRS_TRIED)
        return FEWEST_SECONDS * len(comparison.contenders) / _PAIRS_TIME * parts / _PAIRS_USED
    least = max(seconds / _TOKENS, FEWEST_SECONDS * len(comparison.contenders) / _TIME)
    return least * _parts(comparison) / _USED


def require_pace(comparison: Comparison, seconds: Sequence[float], left: int, later: int, again: str) -> None:
    """Raise ConfigError as soon as measuring the speeds shows that the minutes cannot suffice.

    `seconds` are those of the measurements so far, two or more of a kind; `left` remain of that kind, and `later` of
    others. The estimate is optimistic: each remaining measurement of this kind is as fast as the fastest, and the
    others take no time. The advice assumes the mean for all of them.
    """
    trainings = _least(comparison, 0.0)
    if comparison.spent_seconds + left * min(seconds) + trainings > 60 * comparison.minutes:
        mean = sum(seconds) / len(seconds)
        _require_time(comparison, comparison.spent_seconds + (left + later) * mean + trainings, again)


def equally_shared(comparison: Comparison, rate: float, again: str) -> Comparison:
    """`comparison` with one training per contender, none slower than `rate` tokens per second. Raises ConfigError if
    there is too little time for them.
    """
    left, models = 60 * comparison.minutes - comparison.spent_seconds, len(comparison.contenders)
    looking = LOSS_WINDOWS * comparison.context / 3 / rate
    least = _fewest_tokens(comparison) / rate
    _require_time(comparison, comparison.spent_seconds + (looking + least) * models / _USED, again)
    return replace(comparison, tokens=round((_USED * left / models - looking) * rate))


def pairs_shared(comparison: Comparison, pair_tokens: float, again: str) -> Comparison:
    """`comparison`, of pairs, with the lengths of its trainings. Raises ConfigError if there is too little time.

    `pair_tokens`: the average number of tokens of a pair.
    """
    contenders = comparison.contenders
    left = 60 * comparison.minutes - comparison.spent_seconds
    _require_time(comparison, comparison.spent_seconds + _least(comparison, 0.0), again)
    part = _PAIRS_USED * left / (_PAIRS_TIME + (0 if comparison.quick else _PAIRS_TRIED))
    a_token = sum(1 / speed(contender, pair_tokens / 2) for contender in contenders)
    tried = max(_FEWEST_STEPS * comparison.batch_size * pair_tokens, part * _PAIRS_TRIED / len(PAIRS_RATES) / a_token)
    return replace(
        comparison,
        seconds=part * _PAIRS_TIME / len(contenders),
        tried_tokens=None if comparison.quick else round(tried),
    )


def _fewest_tokens(comparison: Comparison) -> int:
    return _FEWEST_STEPS * comparison.batch_size * comparison.context


def _require_time(comparison: Comparison, seconds: float, again: str) -> None:
    """Raise ConfigError if the comparison has fewer than this many seconds in all."""
    least = f"{math.ceil(seconds / 6) / 10:g}"
    given = named("minutes", f"{comparison.minutes:g}")
    require(
        comparison.minutes >= seconds / 60,
        f"{given} are too few here for a comparison: it takes at least {least}.\n"
        f"What is measured so far is kept. Continue with: {again} {named('minutes', least)}",
    )


def evaluated_tokens(tokens: float) -> int:
    """The number of tokens of each evaluation, in a training of this many; evaluating is about three times as fast."""
    return round(min(_MOST_EVALUATED, max(_FEWEST_EVALUATED, tokens / 50)))


def speed(contender: Contender, context: float) -> float:
    """The tokens per second of training, in the measured length nearest to `context`."""
    assert contender.training_tokens_per_second is not None
    return rate_at(contender.training_tokens_per_second, context)
