"""The steps of a text for a page, each with enough logits for the page's sliders to recompute it.

A softmax over the listed logits alone is not the model's: the tokens that are not listed must be in the denominator.
Their log-sum-exp depends on the temperature, so it is computed here for each of a fixed set of temperatures, over the
whole vocabulary and in float64.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import dropwhile, takewhile

import numpy as np

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import ConfigError, named
from minigpt.models.decoder import decoder_for, position_logits
from minigpt.sampling.distribution import TokenBytes, distribution, step_record
from minigpt.sampling.engine import Piece
from minigpt.sampling.filters import SamplingStage, SeenTokens, build_stages, history_for
from minigpt.sampling.records import StepLogits, StepRecord, first_token
from minigpt.sampling.vocabulary import log_sum_exp, softmax, sums_without
from minigpt.settings import TEMPERATURES, SampleConfig, require

_MOST_TOKENS = 5_000  # on a page: 7 MB
_LISTED = 50  # logits a step: a page of 500 tokens stays below 1 MB
_FEWEST_LISTED = 10


def listed(tokens: int) -> int:
    """The number of logits stored per step, on a page of this many tokens. Raises ConfigError for too many tokens."""
    require(
        tokens <= _MOST_TOKENS,
        f"{named('html')}: a page holds {_MOST_TOKENS:,} tokens at most, not {tokens:,}: give less text, or fewer "
        f"{named('max_tokens')}.",
    )
    return max(_FEWEST_LISTED, min(_LISTED, _LISTED * 500 // tokens))


def open_step(checkpoint: Checkpoint, ids: Sequence[int], best: int) -> StepLogits:
    """The unfiltered distribution after `ids`."""
    token_bytes = checkpoint.tokenizer.token_bytes
    logits_V = decoder_for(checkpoint.model).prefill(ids)[0]
    step = step_record(distribution(logits_V), token_bytes, position=len(ids), top=1)
    return step_logits(logits_V, (), ids, token_bytes, step=step, best=best)


def every_step(
    checkpoint: Checkpoint, ids: Sequence[int], config: SampleConfig, best: int, given: int = 0
) -> Iterator[StepRecord | StepLogits]:
    """The distribution before each of `ids` but the `given` ones; without numbers for the first."""
    token_bytes, page_step = checkpoint.tokenizer.token_bytes, page_steps(checkpoint, config, best)
    if ids and not given:
        yield first_token(checkpoint.tokenizer, ids[0])
    seen = SeenTokens(ids[: max(1, given)], counted=True)
    for position, logits_V in position_logits(checkpoint.model, ids):
        if position < given:
            continue
        record = step_record(distribution(logits_V), token_bytes, position=position, top=1, token=ids[position])
        yield page_step(logits_V, history=seen.ids, step=record)
        seen.add(ids[position])


def page_steps(checkpoint: Checkpoint, config: SampleConfig, best: int) -> Callable[..., StepLogits]:
    """`step_logits` for the steps of a page: of logits, a history and a record."""
    return partial(
        step_logits,
        stages=build_stages(config),
        token_bytes=checkpoint.tokenizer.token_bytes,
        best=best,
        temperatures=sorted({*TEMPERATURES, config.temperature}),  # those of the slider, and the one in use
    )


def step_logits(
    logits_V: np.ndarray,
    stages: Sequence[SamplingStage],
    history: Sequence[int] | np.ndarray,
    token_bytes: TokenBytes,
    *,
    step: StepRecord,
    best: int,
    temperatures: Sequence[float] = TEMPERATURES,
) -> StepLogits:
    """What is needed to recompute `step`, made from `logits_V` [V]: its `best` largest logits, and the rest summed.

    Stages that change the logits of single tokens, such as penalties and biases, must come first; their effect is fixed
    in the listed logits.
    """
    logits_V = raw_logits_V = np.asarray(logits_V, np.float64)
    history_T = history_for(stages, history)
    changes = list(takewhile(lambda stage: stage.spec.by_token, stages))
    for stage in changes:
        logits_V = stage.apply(logits_V, history_T)
    stages = stages[len(changes) :]
    assert not any(stage.spec.by_token for stage in stages)
    token = None if step.token is None else step.token.id
    listed = step_record(
        distribution(logits_V, stages), token_bytes, position=step.position, top=best, token=token, sample=step.sample
    )
    ids = [candidate.id for candidate in listed.candidates]
    with np.errstate(over="ignore"):  # to inf, as it should
        sigma = float(logits_V.std())
    rest_sums = _rest_sums(logits_V, ids, temperatures)
    return StepLogits(
        step=step,
        listed=listed,
        raw_logits=tuple(raw_logits_V[ids].tolist()),
        other_raw_prob=sums_without(softmax(raw_logits_V)[None], ids)[0],
        log_sum=log_sum_exp(raw_logits_V),
        sigma=sigma,
        place=_place(logits_V, ids[-1]),
        temperatures=tuple(temperatures),
        rest_log_sums=tuple(log_sum for log_sum, _ in rest_sums),
        rest_means=tuple(mean for _, mean in rest_sums),
    )


def _place(logits_V: np.ndarray, token: int) -> int:
    before_V = logits_V > logits_V[token]
    equal_V = logits_V[:token] == logits_V[token]
    return int(np.count_nonzero(before_V)) + int(np.count_nonzero(equal_V))


def _rest_sums(
    logits_V: np.ndarray, listed: list[int], temperatures: Sequence[float]
) -> list[tuple[float | None, float | None]]:
    """Of the tokens that are not listed, at each temperature: the log-sum-exp, and the weighted mean."""
    is_rest_V = np.ones(len(logits_V), np.bool_)
    is_rest_V[listed] = False
    below_R = (logits_V - logits_V.max())[is_rest_V]
    return [_sums(below_R, temperature) if temperature else (None, None) for temperature in temperatures]


def _sums(below_R: np.ndarray, temperature: float) -> tuple[float | None, float | None]:
    """Computed one temperature at a time: all at once would need a matrix of megabytes, and be several times slower."""
    if not len(below_R):
        return None, None
    largest = float(below_R.max())
    with np.errstate(over="ignore"):  # to -inf, at a tiny temperature
        lower_R = (below_R - largest) / temperature
    weights_R = np.exp(lower_R)
    has_weight_R = weights_R > 0
    total = float(weights_R.sum())
    log_sum = largest / temperature + math.log(total)
    mean = largest / temperature + float((weights_R[has_weight_R] * lower_R[has_weight_R]).sum()) / total
    return (None, None) if log_sum == -math.inf else (log_sum, mean)


class SampleSteps:
    """What each step of each sample was drawn from, in `drawn`, and the distributions within the prompt.

    Raises ConfigError for an order of the filters that a page cannot compute, or for more tokens than it holds.
    """

    def __init__(self, checkpoint: Checkpoint, prompt: str, config: SampleConfig, count: int) -> None:
        later = dropwhile(lambda spec: spec.by_token, config.active)
        for spec in (spec for spec in later if spec.by_token):
            raise ConfigError(
                f"{named('html')} shows a {spec.words} only as the first of the {named('stages')}: put it there, or "
                f"leave out {named('html')}."
            )
        self._checkpoint, self._config = checkpoint, config
        self._ids = checkpoint.tokenizer.encode_prompt(prompt).ids
        self._best = listed(count * (len(self._ids) + config.max_tokens))
        self._page_step = page_steps(checkpoint, config, self._best)
        self._waiting: dict[int, tuple[np.ndarray, tuple[int, ...]]] = {}
        self.drawn: dict[int, list[StepLogits]] = {number: [] for number in range(count)}

    def watch(self, sample: int, ids: Sequence[int], logits_V: np.ndarray) -> None:
        """Record what the next token of a sample is drawn from; its record follows with the piece."""
        self._waiting[sample] = logits_V.copy(), tuple(ids)

    def keep(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Pass on the same pieces."""
        for piece in pieces:
            if isinstance(piece.record, StepRecord):
                logits_V, ids = self._waiting.pop(piece.record.sample)
                self.drawn[piece.record.sample].append(self._page_step(logits_V, history=ids, step=piece.record))
            yield piece

    def given(self) -> list[StepRecord | StepLogits]:
        """The steps of the prompt."""
        return list(every_step(self._checkpoint, self._ids, self._config, self._best))
