"""How long it takes to read and to tokenize a text, and how much of it a time budget leaves room for."""

import time
from dataclasses import replace

from minigpt.errors import named
from minigpt.settings import Choices
from minigpt.text.corpus import Split
from minigpt.text.learning import default_vocab_size
from minigpt.training.finetune import Base
from minigpt.training.speed import TextSpeed, measure_text

VOCABULARIES = (512, 1024, 2048, 4096, 8192, 16384)

# Of the time, at most:
READING_SHARE = 1 / 40  # to read the text once; it is read _READINGS times more
MEASURING_SHARE = 1 / 10  # to measure how the text is tokenized
_TOKENIZING_SHARE = 1 / 3

_COMPRESSED = 300_000  # characters, to see how well they compress
# Of the text: to count, to see how it compresses and how hard it is, to learn a tokenizer, to tokenize both parts.
_READINGS = 7


def measure_reading(split: Split, choices: Choices, base: Base | None, seconds: float) -> tuple[TextSpeed, float]:
    """The speed of tokenizing with the vocabularies in question, and the seconds that all reading will take."""
    started = time.perf_counter()
    sample = [block.text for block in split.sample(min(_COMPRESSED, split.train_characters))] or [""]
    if split.pairs:  # sources and targets, of which a tokenizer learns alike
        sample = ["\n".join(sample)]
    reading = _READINGS * (time.perf_counter() - started)
    sizes = VOCABULARIES if choices.vocab_size is None else (choices.vocab_size,)
    sizes = (default_vocab_size(0),) if choices.tokenizer == "char" else sizes
    return measure_text(sample, sizes, seconds, None if base is None else base.checkpoint.tokenizer), reading


def tokenizable(split: Split, speed: TextSpeed, seconds: float, *, cuts: bool) -> tuple[Split, float, str]:
    """As much of `split` as can be tokenized in a third of `seconds`, the seconds that takes, and a note about it."""
    tokenizing = split.characters / speed.encoded
    if tokenizing <= _TOKENIZING_SHARE * seconds or not cuts:
        return split, tokenizing, ""
    part = float(f"{_TOKENIZING_SHARE * seconds / tokenizing:.2g}")
    share = f"{part:.0%}" if part >= 0.01 else f"{part:.2%}"
    length = f"{tokenizing / 60:,.1f} minutes" if tokenizing >= 60 else f"{max(1, round(tokenizing))} seconds"
    note = (
        f"tokenizing all of this text would take about {length} here, more than a third of the "
        f"time: {share} of it is used, in pieces from all over it ({named('part', f'{part:g}')})."
    )
    return replace(split, part=part), part * tokenizing, note
