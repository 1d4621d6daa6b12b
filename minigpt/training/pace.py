"""How the time of a run is filled: how much of the text is read, what a plan chooses, and how its steps fill it."""

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from minigpt.errors import named
from minigpt.settings import MOST_STEPS, Choices, TrainConfig
from minigpt.text.corpus import Split
from minigpt.text.learning import default_vocab_size
from minigpt.training.finetune import Base
from minigpt.training.records import PlannedRun
from minigpt.training.speed import TextSpeed, measure_text

_EVALUATIONS = 10  # on the way, besides those of the snapshots
_FEWEST_EVALUATED = 4096  # tokens
_EVALUATION_SHARE = 0.0025  # of the training's time, each


def chosen_by(run: PlannedRun, choices: Choices) -> Choices:
    """`choices` with every open choice made as in `run`."""
    return replace(
        choices,
        tokenizer=run.tokenizer,
        vocab_size=None if run.tokenizer == "char" else run.vocab_size,
        layers=run.layers,
        heads=run.heads,
        width=run.width,
        context=run.context,
        dropout=run.dropout,
        batch_size=run.batch_size,
        learning_rate=choices.learning_rate or adamw_rate(run.width),
    )


def adamw_rate(width: int) -> float:
    """0.006 at a width of 128, as measured (0.003 learns less), scaled by one over the square root of the width."""
    return float(f"{6e-3 * (128 / width) ** 0.5:.2g}")


# Of a GPT's planned training, as measured; training by steps has more careful defaults.
MUON_RATE = 0.045
CONTEXT_WARMUP = 0.4


def paced(
    run: PlannedRun, settings: TrainConfig, seconds: float, explicit: Collection[str] = (), window: float | None = None
) -> TrainConfig:
    """`settings` for a run of `seconds`, in which its steps are expected to fit. Settings named in `explicit` stay.

    For a run that uses only a share of the time, the number of steps is what counts, however long they take. `window`:
    the tokens of a row of a batch, by default those of the context.
    """
    accumulation = settings.accumulation if "accumulation" in explicit else run.accumulation
    steps = min(MOST_STEPS, max(1, round(run.tokens / (run.batch_size * accumulation * (window or run.context)))))
    forward = 3 * run.tokens_per_second  # a third of the work of a step
    pace: dict[str, Any] = {
        "steps": steps,
        "steps_suffice": run.share < 1,
        "accumulation": accumulation,
        "weight_decay": run.weight_decay,
        "bpe_dropout": run.bpe_dropout,
        "context_warmup": run.context_warmup,
        "eval_every": max(1, steps // _EVALUATIONS),
        "eval_tokens": max(_FEWEST_EVALUATED, round(run.share * seconds * _EVALUATION_SHARE * forward)),
        "warmup_steps": min(TrainConfig.warmup_steps, steps // 10),
    }
    return replace(settings, seconds=seconds, **{name: value for name, value in pace.items() if name not in explicit})


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
    length = f"{tokenizing / 60:,.1f} minutes" if tokenizing >= 60 else f"{max(0.1, tokenizing):.1f} seconds"
    note = (
        f"tokenizing all of this text would take about {length} here, more than a third of the "
        f"time: {share} of it is used, in pieces from all over it ({named('part', f'{part:g}')})."
    )
    return replace(split, part=part), part * tokenizing, note
