"""Collects the steps of samples, as a page needs them, while the samples are drawn."""

from collections.abc import Iterator, Sequence
from itertools import dropwhile

from torch import Tensor

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import ConfigError, named
from minigpt.sampling.engine import Piece
from minigpt.sampling.page_steps import every_step, listed, page_steps
from minigpt.sampling.records import StepLogits, StepRecord
from minigpt.settings import SampleConfig


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
        self._ids = checkpoint.tokenizer.encode(prompt) or [checkpoint.tokenizer.end_of_text]
        self._best = listed(count * (len(self._ids) + config.max_tokens))
        self._page_step = page_steps(checkpoint, config, self._best)
        self._waiting: dict[int, tuple[Tensor, tuple[int, ...]]] = {}
        self.drawn: dict[int, list[StepLogits]] = {number: [] for number in range(count)}

    def watch(self, sample: int, ids: Sequence[int], logits_V: Tensor) -> None:
        """Record what the next token of a sample is drawn from; its record follows with the piece."""
        self._waiting[sample] = logits_V.clone(), tuple(ids)

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
