"""Beam search: instead of one token at each step, the `width` most probable beginnings of a target are kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigpt.models.decoder import Decoder
from minigpt.sampling.vocabulary import log_softmax

_MOST_FIRST = 2  # times the width: so many candidates are looked at, so that enough are left if all the best ones end


@dataclass(frozen=True)
class Hypothesis:
    """A target, or its beginning: the ids, END included if it has ended, and the sum of their log-probabilities."""

    ids: tuple[int, ...]
    log_prob_nats: float
    stopped_by: str = ""  # end-of-text, max-tokens

    @property
    def score(self) -> float:
        """The mean log-probability of a token in nats, by which targets of different lengths are compared."""
        return self.log_prob_nats / len(self.ids)


def beam_search(decoder: Decoder, prompt: Sequence[int], end: int, width: int, max_tokens: int) -> list[Hypothesis]:
    """Finished targets, `width` at most, the best by `score` first.

    The decoder must be new and have one row. A target is finished when it ends with `end` or has `max_tokens`; the
    search is over when `width` are finished and the best of the others, as it is now, is no better. As transformers'
    `generate(num_beams=width)` does it; the log-probabilities are in float64.
    """
    finished, running = list[Hypothesis](), [Hypothesis((), 0.0)]
    logits_BV = decoder.prefill(prompt)
    while True:
        found = _continued(running, logits_BV, _MOST_FIRST * width, end, max_tokens)
        ended = [each for _, each in found[:width] if each.stopped_by]
        finished = sorted([*finished, *ended], key=lambda each: -each.score)[:width]
        going = [(row, each) for row, each in found if not each.stopped_by][:width]
        if not going or (len(finished) == width and going[0][1].score <= finished[-1].score):
            return finished
        running = [each for _, each in going]
        decoder.keep([row for row, _ in going])
        logits_BV = decoder.step([each.ids[-1] for each in running])


def _continued(
    running: Sequence[Hypothesis], logits_BV: np.ndarray, count: int, end: int, max_tokens: int
) -> list[tuple[int, Hypothesis]]:
    """The `count` most probable hypotheses with one more token, each with the row that it continues."""
    totals_BV = np.array([log_softmax(row) for row in logits_BV]) + [[each.log_prob_nats] for each in running]
    best = np.argsort(-totals_BV, axis=None, kind="stable")[:count]
    found = []
    for row, token in zip(*divmod(best, totals_BV.shape[1]), strict=True):
        ids = (*running[row].ids, int(token))
        stopped_by = "end-of-text" if token == end else "max-tokens" if len(ids) == max_tokens else ""
        found.append((int(row), Hypothesis(ids, float(totals_BV[row, token]), stopped_by)))
    return found
