"""Plans the best run for a time limit, given the size of the text and the speed of the machine."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minigpt.errors import ConfigError, named
from minigpt.settings import MOST_STEPS, PRESETS, Choices, ModelConfig, TrainConfig
from minigpt.training.law import MOST_WEIGHTS_PER_BYTE, Law, Training
from minigpt.training.records import PlannedRun
from minigpt.training.speed import GPU_TOKENS, Speed, heads_of

# (layers, width): each about two to three times the work of the one before.
SHAPES = ((2, 64), (3, 96), (4, 128), (4, 192), (5, 256), (6, 384), (8, 512), (10, 640), (12, 768))
VOCABULARIES = (512, 1024, 2048, 4096, 8192, 16384)
DROPOUTS = (0.0, 0.1, 0.2)
SHARES = (
    1.0,
    0.7,
    0.5,
    0.35,
    0.25,
    0.18,
    0.12,
    0.08,
    0.05,
    0.03,
    0.02,
    0.01,
)  # of the time: longer trainings would overfit
# Three times the weight decay took 0.4 to 7 % off the loss of a text that is seen ten times or more (at 4 x 128 and
# 5 x 256, scripts/measurements.jsonl); of one that is seen eight times or less it added up to 2 %.
OFTEN, REPEATED_DECAY = 10.0, 0.3
# Of a model that is given: one of 4 x 128 on 77 kB of other text was best after 5 to 8 of them (3.02 bits per
# byte), and after 16 back at 3.32.
MOST_EPOCHS = 5.0
EVALUATIONS = 10  # on the way, besides those of the snapshots
_TRAINING_SHARE = 0.92  # of the time; the rest is for evaluations, saves and samples
_EVALUATION_SHARE = 0.0025  # of the time, each
_FEWEST_EVALUATED = 4096  # tokens
_FEWEST_STEPS = 30
_FEWEST_STEP_TOKENS = 1024
_LARGEST_VOCABULARY = 4.1  # times the root of the bytes: 8,192 for 1 MB, at 10 minutes, ended 3 % behind 4,096


@dataclass(frozen=True)
class TextSize:
    """The size of the training text.

    `bytes_per_token` maps a vocabulary size to the compression of a bpe tokenizer of that size.
    """

    utf8_bytes: int
    characters: int
    bytes_per_token: Mapping[int, float]


def candidates(
    choices: Choices, text: TextSize, speed: Speed, seconds: float, law: Law, weight_decay: float | None = None
) -> list[PlannedRun]:
    """All runs that `choices` and `weight_decay` leave open, best first. Raises ConfigError if none fits."""
    found = [
        _regularized(run, dropout, _decay(run) if weight_decay is None else weight_decay, text, law)
        for shape in _shapes(choices)
        for vocabulary in _vocabularies(choices, text)
        for share in SHARES
        for run in (_candidate(choices, text, speed, seconds, shape, vocabulary, share),)
        for dropout in (DROPOUTS if choices.dropout is None else (choices.dropout,))
    ]
    known = [run for run in found if 12 * run.layers * run.width**2 <= MOST_WEIGHTS_PER_BYTE * text.utf8_bytes]
    fitting = [run for run in known or found if run.steps >= _FEWEST_STEPS] or found
    return sorted(fitting, key=lambda run: run.expected_bits_per_byte or 0.0)


def known(runs: list[PlannedRun], text: TextSize, law: Law) -> list[PlannedRun]:
    """The best of `runs`, and those others to which the law applies.

    If the law does not apply to the best one, that one is returned alone, without an expected loss.
    """
    best, *others = runs
    if not law.has_seen(_training(best, text)):
        return [replace(best, expected_bits_per_byte=None)]
    return [best, *(run for run in others if law.has_seen(_training(run, text)))]


def _shapes(choices: Choices) -> list[tuple[int, int, int]]:
    """The distinct shapes (layers, heads, width)."""
    if choices.preset is not None:
        preset = PRESETS[choices.preset]
        ladder = [(preset.layers, preset.width)]
    else:
        ladder = list(SHAPES)
    shapes: dict[tuple[int, int, int], None] = {}
    for layers, width in ladder:
        width = choices.width or width
        shapes[choices.layers or layers, choices.heads or heads_of(width), width] = None
    whole = [shape for shape in shapes if shape[2] % shape[1] == 0]
    if not whole:
        raise ConfigError(
            f"{named('heads', choices.heads)} divides no width that would do: give a {named('width')} too."
        )
    return whole


def _vocabularies(choices: Choices, text: TextSize) -> Iterator[int | None]:
    """The vocabulary sizes to try; None stands for characters."""
    if choices.tokenizer == "char":
        yield None
        return
    if choices.vocab_size is not None:
        yield choices.vocab_size
        return
    most = max(_LARGEST_VOCABULARY * text.utf8_bytes**0.5, min(text.bytes_per_token))
    yield from (size for size in text.bytes_per_token if size <= most)
    if choices.tokenizer is None:
        yield None


def _candidate(
    choices: Choices,
    text: TextSize,
    speed: Speed,
    seconds: float,
    shape: tuple[int, int, int],
    vocabulary: int | None,
    share: float,
) -> PlannedRun:
    """The run of one shape and vocabulary: how far it gets in the time."""
    layers, heads, width = shape
    model = ModelConfig(
        vocab_size=vocabulary or 257,
        context=choices.context or (PRESETS[choices.preset].context if choices.preset else 128),
        layers=layers,
        heads=heads,
        width=width,
    )
    length = text.utf8_bytes / text.characters if vocabulary is None else text.bytes_per_token[vocabulary]
    kind = "char" if vocabulary is None else "bpe"
    rate = partial(speed.tokens_per_second, model)
    return _in_time(model, kind, length, text, share, seconds, rate, choices, speed.processes)


def _decay(run: PlannedRun) -> float:
    """The weight decay that suits the number of epochs."""
    return REPEATED_DECAY if run.epochs >= OFTEN else TrainConfig.weight_decay


def _regularized(run: PlannedRun, dropout: float, weight_decay: float, text: TextSize, law: Law) -> PlannedRun:
    """`run` with this regularization, and with its expected bits per byte for a text of average difficulty."""
    run = replace(run, dropout=dropout, weight_decay=weight_decay)
    return replace(run, expected_bits_per_byte=law.bits_per_byte(_training(run, text)))


def _training(run: PlannedRun, text: TextSize) -> Training:
    return Training(
        block_parameters=12 * run.layers * run.width**2,
        embedding_parameters=run.vocab_size * run.width,
        tokens=run.tokens,
        bytes_per_token=run.bytes_per_token,
        text_bytes=text.utf8_bytes,
        dropout=run.dropout,
        weight_decay=run.weight_decay,
    )


def given_model(
    model: ModelConfig, choices: Choices, text: TextSize, speed: Speed, seconds: float, *, recomputes: bool
) -> PlannedRun:
    """The run of a given model: how far it gets in the time, or in a share of the time if the text is short.

    No scaling law predicts its loss. `recomputes`: whether blocks run forward twice, for gradient checkpointing.
    """
    (length,) = text.bytes_per_token.values()

    def rate(step_tokens: float) -> float:
        return speed.tokens_per_second(model, step_tokens) * (0.75 if recomputes else 1)

    whole = _in_time(model, "given", length, text, 1.0, seconds, rate, choices, speed.processes)
    share = max(MOST_EPOCHS / max(whole.epochs, MOST_EPOCHS), _FEWEST_STEPS / max(whole.steps, _FEWEST_STEPS))
    return _in_time(model, "given", length, text, share, seconds, rate, choices, speed.processes)


def _in_time(
    model: ModelConfig,
    tokenizer: str,
    bytes_per_token: float,
    text: TextSize,
    share: float,
    seconds: float,
    rate: Callable[[float], float],
    choices: Choices,
    processes: int,
) -> PlannedRun:
    """What a model does in a `share` of `seconds`. `rate`: tokens per second over all processes."""
    step_tokens = choices.batch_size * model.context if choices.batch_size else _FEWEST_STEP_TOKENS
    while True:  # larger steps may be quicker, of which more fit, for which still larger ones may be better
        at_once = min(step_tokens, processes * GPU_TOKENS)
        tokens_per_second = rate(step_tokens if choices.batch_size else at_once)
        tokens = max(1, round(share * seconds * _TRAINING_SHARE * tokens_per_second))
        if choices.batch_size or _tokens_per_step(tokens) <= step_tokens:
            break
        step_tokens = _tokens_per_step(tokens)
    batch = choices.batch_size or _batch(at_once, model.context, processes)
    accumulation = 1 if choices.batch_size else max(1, step_tokens // at_once)
    return PlannedRun(
        tokenizer=tokenizer,
        vocab_size=model.vocab_size,
        bytes_per_token=bytes_per_token,
        layers=model.layers,
        heads=model.heads,
        width=model.width,
        context=model.context,
        dropout=model.dropout,
        weight_decay=TrainConfig.weight_decay,
        batch_size=batch,
        accumulation=accumulation,
        steps=max(1, round(tokens / (batch * accumulation * model.context))),
        tokens=tokens,
        tokens_per_second=tokens_per_second,
        epochs=tokens * bytes_per_token / text.utf8_bytes,
        share=share,
    )


def _batch(tokens: float, context: int, processes: int) -> int:
    """The number of windows that hold about this many tokens, equal for each process."""
    return processes * max(1, round(tokens / context / processes))


def _tokens_per_step(tokens: float) -> int:
    """1,024 for trainings of about two million tokens, as measured; beyond that it grows with their square root."""
    step = _FEWEST_STEP_TOKENS
    while step < 65536 and tokens > 3e6 * (step / _FEWEST_STEP_TOKENS) ** 2:
        step *= 2
    return step


def chosen(run: PlannedRun, choices: Choices) -> Choices:
    """`choices` with every open choice made."""
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


def paced(run: PlannedRun, settings: TrainConfig, seconds: float, kept: Collection[str] = ()) -> TrainConfig:
    """`settings` for a run of `seconds`, in which its steps are expected to fit. Settings named in `kept` stay.

    For a run that uses only a share of the time, the number of steps is what counts, however long they take.
    """
    accumulation = settings.accumulation if "accumulation" in kept else run.accumulation
    steps = min(MOST_STEPS, max(1, round(run.tokens / (run.batch_size * accumulation * run.context))))
    forward = 3 * run.tokens_per_second  # a third of the work of a step
    pace: dict[str, Any] = {
        "steps": steps,
        "steps_suffice": run.share < 1,
        "accumulation": accumulation,
        "weight_decay": run.weight_decay,
        "eval_every": max(1, steps // EVALUATIONS),
        "eval_tokens": max(_FEWEST_EVALUATED, round(run.share * seconds * _EVALUATION_SHARE * forward)),
        "warmup_steps": min(TrainConfig.warmup_steps, steps // 10),
    }
    return replace(settings, seconds=seconds, **{name: value for name, value in pace.items() if name not in kept})
