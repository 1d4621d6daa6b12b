"""The steps of a text for a page, each with enough logits for the page's sliders to recompute it."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import named
from minigpt.models.decoder import decoder_for, position_logits
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.filters import build_stages
from minigpt.sampling.records import StepLogits, StepRecord, first_token
from minigpt.sampling.seen import SeenTokens
from minigpt.sampling.step_logits import step_logits
from minigpt.settings import TEMPERATURES, SampleConfig, require

_MOST_TOKENS = 5_000  # on a page: 7 MB
_LISTED = 50  # logits a step: a page of 500 tokens stays below 1 MB
_FEWEST_LISTED = 10


def listed(tokens: int) -> int:
    """The number of logits stored per step, on a page of this many tokens. Raises ConfigError if there are too many
    tokens.
    """
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
    checkpoint: Checkpoint, ids: Sequence[int], config: SampleConfig, best: int
) -> Iterator[StepRecord | StepLogits]:
    """The distribution before each of `ids`; None for the first."""
    pages = PageSteps(checkpoint, config, best)
    if ids:
        yield first_token(checkpoint.tokenizer, ids[0])
    seen = SeenTokens(ids[:1], counted=True)
    for position, logits_V in position_logits(checkpoint.model, ids):
        record = step_record(
            distribution(logits_V), checkpoint.tokenizer.token_bytes, position=position, top=1, token=ids[position]
        )
        yield pages.of(logits_V, seen.ids, record)
        seen.add(ids[position])


class PageSteps:
    """Makes the steps of a page, for its slider's temperatures and the one in use."""

    def __init__(self, checkpoint: Checkpoint, config: SampleConfig, best: int) -> None:
        self._token_bytes, self._best = checkpoint.tokenizer.token_bytes, best
        self._stages = build_stages(config)
        self._temperatures = sorted({*TEMPERATURES, config.temperature})

    def of(self, logits_V: Tensor, ids: Sequence[int] | Tensor, record: StepRecord) -> StepLogits:
        """The step of `record`, which was drawn from the logits after `ids`."""
        return step_logits(
            logits_V,
            self._stages,
            ids,
            self._token_bytes,
            step=record,
            best=self._best,
            temperatures=self._temperatures,
        )
