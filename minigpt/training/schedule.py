"""The learning rate, the BPE-dropout and the windows of a step, and whether to evaluate or to keep a snapshot."""

import math

from minigpt.settings import TrainConfig

_WHOLE_TOKENS = 0.2  # of the run, at its end


def learning_rate(step: int, config: TrainConfig, left: float | None = None) -> float:
    """The rate of step 1, 2, ..., config.steps: linear warm-up, then linear decay to the final rate.

    The final rate is that of the step after the last, because a step that learns nothing would be wasted. `left`: the
    share of the run still to come, if the clock decides rather than the step number; whichever is less, if the steps
    suffice. Bergsma et al., "Straight to Zero", 2025, compare linear decay with cosines.
    """
    warmup = _warmup(config)
    if step <= warmup:
        return config.learning_rate * step / warmup
    share = _share_left(step, config, left)
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * share


def bpe_dropout(step: int, config: TrainConfig, left: float | None = None) -> float:
    """The share of merges undone at a step: none at the end, so that the model learns how texts are really cut."""
    return config.bpe_dropout if _share_left(step, config, left) > _WHOLE_TOKENS else 0.0


def pieces(step: int, config: TrainConfig, left: float | None = None) -> int:
    """Into how many each window is cut at a step: 4 in the first half of the context warm-up, 2 in the second, then 1.

    Li et al., "The Stability-Efficiency Dilemma", 2022, call this sequence length warmup.
    """
    passed = 1 - _share_left(step, config, left)
    if passed >= config.context_warmup:
        return 1
    return 4 if passed < config.context_warmup / 2 else 2


def window_size(context: int, pieces: int) -> int:
    """The tokens of each of the `pieces` of a window, or of fewer pieces, if so many do not divide it."""
    return context // math.gcd(context, pieces)


def _warmup(config: TrainConfig) -> int:
    return min(config.warmup_steps, config.steps // 2)


def _share_left(step: int, config: TrainConfig, left: float | None) -> float:
    """The share of the run still to come after its warm-up, as in `learning_rate`."""
    if left is None or config.steps_suffice:
        left = min(1.0 if left is None else left, (config.steps + 1 - step) / (config.steps + 1 - _warmup(config)))
    return left


def snapshot_steps(steps: int, count: int) -> frozenset[int]:
    """At most `count` steps: 0, and from 1 to `steps` evenly spaced in the logarithm, because most is learned early.

    One step is the last alone; two are the first and the last.
    """
    if count <= 2:
        return frozenset([steps, 0][:count])
    return frozenset([0, *(round(steps ** (i / (count - 2))) for i in range(count - 1))])


def evaluation_steps(config: TrainConfig) -> frozenset[int]:
    """Every `eval_every` steps, the last step, and every snapshot, so that each snapshot has a loss."""
    regular = [*range(0, config.steps, config.eval_every), config.steps]
    return frozenset(regular) | snapshot_steps(config.steps, config.snapshots)


def is_out_of_patience(step: int, best_step: int, config: TrainConfig) -> bool:
    """Whether, at `step`, `patience` regular evaluations in a row were no better than that at `best_step`."""
    if not config.patience or step % config.eval_every:
        return False
    return step // config.eval_every - best_step // config.eval_every >= config.patience
