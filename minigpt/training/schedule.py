"""The learning rate of a step, and whether to evaluate or to keep a snapshot."""

from minigpt.settings import TrainConfig


def learning_rate(step: int, config: TrainConfig, left: float | None = None) -> float:
    """The rate of step 1, 2, ..., config.steps: linear warm-up, then linear decay to the final rate.

    The final rate is that of the step after the last, because a step that learns nothing would be wasted. `left`: the
    share of the run still to come, if the clock decides rather than the step number; whichever is less, if the steps
    suffice. Bergsma et al., "Straight to Zero", 2025, compare linear decay with cosines.
    """
    warmup = min(config.warmup_steps, config.steps // 2)
    if step <= warmup:
        return config.learning_rate * step / warmup
    if left is None or config.steps_suffice:
        left = min(1.0 if left is None else left, (config.steps + 1 - step) / (config.steps + 1 - warmup))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * left


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
