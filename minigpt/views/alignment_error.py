"""How far an attention over the source is from the true alignment of words: the alignment error rate.

Och and Ney, "A Systematic Comparison of Various Statistical Alignment Models", 2003, with all true links sure ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minigpt.errors import CheckpointError, CorpusError
from minigpt.text.words import word_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set
    from pathlib import Path

    from torch import Tensor

    from minigpt.models.encoder_decoder import EncoderDecoder
    from minigpt.text.tokenizer import Tokenizer
    from minigpt.text.translations import Translation

Link = tuple[int, int]  # a word of the source and one of the target, numbered from 0


def alignment_error_rate(found: Set[Link], true: Set[Link]) -> float:
    """1 - 2 |found and true| / (|found| + |true|): 0 if both are equal, 1 if they have nothing in common.

    The rate of Och and Ney where every possible link is a sure one; nothing found of nothing is no error.
    """
    return 1 - 2 * len(found & true) / (len(found) + len(true)) if found or true else 0.0


def linked(weights_TS: Tensor, source_words: Sequence[int], target_words: Sequence[int], count: int) -> set[Link]:
    """Each word of the target with the word of the source that it looks at most, the first of equal ones.

    `source_words` [S] and `target_words` [T]: the number of the word to which each token belongs; those of the source
    from `count` on are no words. Weights are summed over the tokens of a source word, and averaged over those of a
    target word.
    """
    import torch

    found, number_S = set[Link](), torch.tensor(source_words)
    for word in sorted(set(target_words)):
        rows = [row for row, number in enumerate(target_words) if number == word]
        sums = torch.zeros(max(count, *source_words) + 1, dtype=weights_TS.dtype)
        sums.index_add_(0, number_S, weights_TS[rows].mean(0))
        found.add((int(sums[:count].argmax()), word))
    return found


def error_rate(
    weights_TS: Tensor, translation: Translation, source_bytes: Sequence[int], target_bytes: Sequence[int]
) -> float:
    """The alignment error rate of weights over the tokens of a translation.

    `source_bytes` [S] and `target_bytes` [T]: how many bytes of its text each token stands for. Tokens that stand for
    nothing, as end-of-text does, are left out.
    """
    ends = _word_ends(translation.source, translation.source_spans)
    source = word_numbers(source_bytes, translation.source, ends)
    target = word_numbers(target_bytes, translation.target, _word_ends(translation.target, translation.target_spans))
    words = [word for word in target if word < len(translation.target_spans)]
    return alignment_error_rate(linked(weights_TS[: len(words)], source, words, len(ends)), translation.links)


def _word_ends(text: str, spans: Iterable[tuple[int, int]]) -> list[int]:
    """The byte at which each word ends."""
    return [len(text[:stop].encode()) for _, stop in spans]


def alignment_error_rates(
    model: EncoderDecoder, tokenizer: Tokenizer, translations: Iterable[Translation]
) -> tuple[float, ...]:
    """The alignment error rate of each layer's mean of heads, averaged over `translations` (one or more).

    `model` is in evaluation mode. The decoder reads the true target, not its own (teacher forcing). A model without
    attention over the source has no layers here, and so no rates. Raises ConfigError for a text beyond the context.
    """
    from minigpt.models.decoder import decoding_threads
    from minigpt.models.encoder_decoder import look_across

    rates = list[list[float]]()
    with decoding_threads(model):
        for each in translations:
            source, target = tokenizer.encode_prompt(each.source), tokenizer.encode(each.target)
            weights_LHTS = look_across(model, source.ids, [model.end, *target])
            target_bytes = tokenizer.byte_counts(each.target, target).tolist()
            rates.append([error_rate(layer.mean(0), each, source.byte_counts, target_bytes) for layer in weights_LHTS])
    if not rates:
        raise CorpusError("There is no translation whose alignment could be measured.")
    return tuple(math.fsum(layer) / len(rates) for layer in zip(*rates, strict=True))


def known_translation(checkpoint: Path, source: str, target: str) -> Translation | None:
    """The translation with its true alignment, for a model trained on the built-in pairs that writes just this."""
    from minigpt.checkpoint.runs import RUN, read_run_info, run_of
    from minigpt.text.pairs import BUILTIN
    from minigpt.text.translations import known_translations

    run = run_of(checkpoint)
    try:
        sources = read_run_info(run / RUN).corpus.sources if run else ()
    except CheckpointError:  # the model could be loaded
        return None
    if BUILTIN not in [each.name for each in sources]:
        return None
    found = known_translations().get(source)
    return found if found is not None and found.target == target else None
