"""The alignment error rate of an attention over the source, where the true alignment of words is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minigpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from minigpt.text.translations import Translation


def error_rate(
    weights_TS: np.ndarray, translation: Translation, source_bytes: Sequence[int], target_bytes: Sequence[int]
) -> float:
    """The alignment error rate of weights over the tokens of a translation.

    `source_bytes` [S] and `target_bytes` [T]: how many bytes of its text each token stands for, 0 for end-of-text.
    """
    from minigpt.sampling.alignment import alignment_error_rate, links_of, tokens_of_words

    source_words = tokens_of_words(translation.source, translation.source_spans, source_bytes)
    target_words = tokens_of_words(translation.target, translation.target_spans, target_bytes)
    return alignment_error_rate(links_of(weights_TS, source_words, target_words), translation.links)


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
