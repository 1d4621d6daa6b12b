"""A step in; its learning rate out, and whether to evaluate or to keep a snapshot: by steps, never by the clock."""

from minigpt.config import TrainConfig

SNAPSHOTS = 12


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step 1, 2, ..., config.steps: a linear warm-up, then a straight line down to the final rate, which
    the step after the last would have: one that learns nothing would be wasted.

    Bergsma et al., "Straight to Zero", 2025, compare such lines with cosines.
    """
    warmup = min(config.warmup_steps, config.steps // 2)
    if step <= warmup:
        return config.learning_rate * step / warmup
    left = (config.steps + 1 - step) / (config.steps + 1 - warmup)
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * left


def snapshot_steps(steps: int) -> frozenset[int]:
    """About a dozen steps from 0 to `steps`, evenly spaced in the logarithm: most is learned early."""
    return frozenset([0, *(round(steps ** (i / (SNAPSHOTS - 2))) for i in range(SNAPSHOTS - 1))])


def evaluation_steps(config: TrainConfig) -> frozenset[int]:
    """Every `eval_every` steps, at the last, and wherever a snapshot is kept, so that each knows its loss."""
    return frozenset([*range(0, config.steps, config.eval_every), config.steps]) | snapshot_steps(config.steps)
