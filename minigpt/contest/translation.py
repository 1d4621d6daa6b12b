"""`compare --pairs`: the models that translate, in the order of their invention: at equal parameters, for equal time.

All are trained by AdamW, each at its own learning rate, so that what differs is the architecture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minigpt.checkpoint.folder import load
from minigpt.contest import lengths
from minigpt.contest.contest import Contest, Measure, Progress, Stopped
from minigpt.contest.measures import pair_rates, pair_step_costs
from minigpt.contest.records import PAIRS_TRAINED, PAIRS_UNTRAINED, Comparison, Contender, Points, Translated
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.translate import greedy, source_weights
from minigpt.sampling.alignment import Links, alignment_error_rate, diagonal, links_of, pooled, tokens_of_words
from minigpt.text.pairs import PairIds, pairs_within
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.translations import Translation, known_translations
from minigpt.training.plan import Plan

_TRANSLATED, _ALIGNED = 2000, 1000  # validation pairs at most
_AT_ONCE = 100  # pairs whose weights are looked at
_MOST_BUCKETS, _FEWEST_IN_BUCKET = 8, 20


def _validation(plan: Plan) -> PairIds:
    return pairs_within(plan.model.end, plan.model.context, plan.data)[1]


class PairContest(Contest):
    """Trains each model of pairs for equal time, and lets it translate sources that it was not trained on."""

    untrained, trained, rates, sides = PAIRS_UNTRAINED, PAIRS_TRAINED, lengths.PAIRS_RATES, 2

    def _shared(self) -> Comparison:
        return lengths.pairs_shared(self.comparison, self._example_tokens(), self.again)

    def _example_tokens(self) -> float:
        return float(pairs_within(self.plan.model.end, self.plan.model.context, self.plan.data)[0].sizes.mean())

    def _measure_of(self, contender: Contender, what: str) -> Measure:
        config, settings, device = self._config(contender), self.plan.train, self._device
        measures: dict[str, Measure] = {
            "training_tokens_per_second": lambda *_: {what: pair_rates(config, settings, device)},
            "step_milliseconds": lambda *_: {what: pair_step_costs(config, device)},
            "equal_time": partial(self._train_equally, contender, what),
            "translations": partial(self._translate, contender),
        }
        return measures[what]

    def _translate(self, contender: Contender, stopped: Stopped, progress: Progress) -> dict[str, Any] | None:
        assert contender.equal_time is not None
        model = load(self.folder / contender.equal_time.folder, self._device).torch_model
        assert isinstance(model, EncoderDecoder)
        pairs = _validation(self.plan)
        return {"translations": translated(model.eval(), pairs, self.plan.tokenizer)}


def translated(model: EncoderDecoder, pairs: PairIds, tokenizer: Tokenizer) -> Translated:
    """How a model translates `pairs` (one or more): of many, those that are evenly spread over them."""
    numbers = np.unique(np.linspace(0, len(pairs) - 1, _TRANSLATED).astype(int))
    written = greedy(model, [pairs.source(number).tolist() for number in numbers])
    exact, source_tokens = [], []
    for number, ids in zip(numbers, written, strict=True):
        exact.append(float(tokenizer.decode(ids) == tokenizer.decode(pairs.target(number)[:-1])))
        source_tokens.append(len(pairs.source(number)) - 1)
    ends = bucket_ends(source_tokens)
    aligned = [
        pair for number in numbers[:: -(-len(numbers) // _ALIGNED)] if (pair := _known(pairs, number, tokenizer))
    ]
    result = Translated(
        pairs=len(numbers),
        exact_matches=sum(exact) / len(exact),
        exact_by_length=tuple(
            (float(end), sum(exact[at] for at in inside) / len(inside))
            for end, inside in in_buckets(source_tokens, ends)
        ),
        aligned_pairs=len(aligned),
    )
    return _aligned(model, aligned, result, ends) if aligned else result


def bucket_ends(source_tokens: Sequence[int]) -> list[int]:
    """The longest lengths of ranges that are equally wide, at most _MOST_BUCKETS of them.

    A range with too few pairs to be measured is joined to the one before, and the last ends with the longest source.
    """
    longest, width = max(source_tokens), 1
    while -(-longest // width) > _MOST_BUCKETS:
        width *= 2
    counts = np.bincount([-(-tokens // width) for tokens in source_tokens])
    ends: list[int] = []
    for at, count in enumerate(counts):
        if count >= _FEWEST_IN_BUCKET or (count and not ends):
            ends.append(at * width)
        elif count:
            ends[-1] = at * width
    return [*ends[:-1], longest]


def in_buckets(source_tokens: Sequence[int], ends: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """(end, the numbers of the pairs whose sources have at most so many tokens, and more than the end before)."""
    for before, end in pairwise([-1, *ends]):
        yield end, [at for at, tokens in enumerate(source_tokens) if before < tokens <= end]


class _Known(NamedTuple):
    """A pair whose alignment is known: its ids, each with END, and the tokens of each of its words."""

    translation: Translation
    source: np.ndarray
    target: np.ndarray
    source_words: list[list[int]]
    target_words: list[list[int]]


def _known(pairs: PairIds, number: int, tokenizer: Tokenizer) -> _Known | None:
    source, target = pairs.source(number), pairs.target(number)
    found = known_translations().get(tokenizer.decode(source[:-1]))
    if found is None or found.target != tokenizer.decode(target[:-1]):
        return None
    lengths_V = tokenizer.byte_lengths()

    def words(text: str, spans: Sequence[tuple[int, int]], ids: np.ndarray) -> list[list[int]]:
        return tokens_of_words(text, spans, lengths_V[ids[:-1]].astype(int))

    source_words = words(found.source, found.source_spans, source)
    return _Known(found, source, target, source_words, words(found.target, found.target_spans, target))


def _aligned(model: EncoderDecoder, known: Sequence[_Known], result: Translated, ends: Sequence[int]) -> Translated:
    """`result` with the alignments of the layer that is wrong least often."""
    truths = [pair.translation.links for pair in known]
    in_words = [(len(pair.translation.source_spans), len(pair.translation.target_spans)) for pair in known]
    least = sum(words for _, words in in_words), sum(map(len, truths))
    result = replace(
        result,
        diagonal_error_rate=_error_rate([diagonal(*words) for words in in_words], truths),
        least_error_rate=1 - 2 * min(least) / sum(least),
    )
    layers = _links_by_layer(model, known)
    if not layers:
        return result
    rates = [_error_rate(links, truths) for links in layers]
    best = rates.index(min(rates))
    points: Points = tuple(
        (float(end), _error_rate([layers[best][at] for at in inside], [truths[at] for at in inside]))
        for end, inside in in_buckets([len(pair.source) - 1 for pair in known], ends)
        if inside
    )
    return replace(result, alignment_layer=best + 1, alignment_error_rate=rates[best], alignment_error_by_length=points)


def _links_by_layer(model: EncoderDecoder, known: Sequence[_Known]) -> list[list[Links]]:
    """For each layer with attention over the source, the links of each pair."""
    layers: list[list[Links]] = []
    for start in range(0, len(known), _AT_ONCE):
        some = known[start : start + _AT_ONCE]
        weights = source_weights(
            model, [pair.source.tolist() for pair in some], [pair.target.tolist() for pair in some]
        )
        for pair, by_layer in zip(some, weights, strict=True):
            layers = layers or [[] for _ in by_layer]
            for links, weights_TS in zip(layers, by_layer, strict=True):
                links.append(links_of(weights_TS, pair.source_words, pair.target_words))
    return layers


def _error_rate(links: Sequence[Links], truths: Sequence[Links]) -> float:
    return alignment_error_rate(pooled(links), pooled(truths))
