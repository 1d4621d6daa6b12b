"""Settings for a run that was planned: what it chooses, and how its steps fill the time."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from minigpt.settings import MOST_STEPS, Choices, TrainConfig
from minigpt.training.records import PlannedRun

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


def paced(
    run: PlannedRun,
    settings: TrainConfig,
    seconds: float,
    explicit: Collection[str] = (),
    window: float | None = None,
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
        "eval_every": max(1, steps // _EVALUATIONS),
        "eval_tokens": max(_FEWEST_EVALUATED, round(run.share * seconds * _EVALUATION_SHARE * forward)),
        "warmup_steps": min(TrainConfig.warmup_steps, steps // 10),
    }
    return replace(settings, seconds=seconds, **{name: value for name, value in pace.items() if name not in explicit})
