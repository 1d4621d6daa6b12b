"""The learning rate of a step, and whether to evaluate or to keep a snapshot."""

from minigpt.settings import TrainConfig


def learning_rate(step: int, config: TrainConfig, left: float | None = None) -> float:
    """The rate of step 1, 2, ..., config.steps: a linear warm-up, then a straight line down to the final rate, which
    the step after the last would have: one that learns nothing would be wasted.

    `left`: the share of the run still to come, where the clock tells and not the number of the step; where the steps
    suffice, whichever is less.

    Bergsma et al., "Straight to Zero", 2025, compare such lines with cosines.
    """
    warmup = min(config.warmup_steps, config.steps // 2)
    if step <= warmup:
        return config.learning_rate * step / warmup
    if left is None or config.steps_suffice:
        left = min(1.0 if left is None else left, (config.steps + 1 - step) / (config.steps + 1 - warmup))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * left


def snapshot_steps(steps: int, count: int) -> frozenset[int]:
    """At most `count` steps: 0, and from 1 to `steps` evenly spaced in the logarithm, as most is learned early.

    One is the last step alone, two are the first and the last.
    """
    if count <= 2:
        return frozenset([steps, 0][:count])
    return frozenset([0, *(round(steps ** (i / (count - 2))) for i in range(count - 1))])


def evaluation_steps(config: TrainConfig) -> frozenset[int]:
    """Every `eval_every` steps, at the last, and wherever a snapshot is kept, so that each knows its loss."""
    regular = [*range(0, config.steps, config.eval_every), config.steps]
    return frozenset(regular) | snapshot_steps(config.steps, config.snapshots)


def is_out_of_patience(step: int, best_step: int, config: TrainConfig) -> bool:
    """Whether, at `step`, `patience` regular evaluations in a row were no better than what was found at `best_step`."""
    if not config.patience or step % config.eval_every:
        return False
    return step // config.eval_every - best_step // config.eval_every >= config.patience
