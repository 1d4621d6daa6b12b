"""Records of training: the plan of a run, and its loss curves."""

from dataclasses import dataclass

from minigpt.checkpoint.records import TrainRecord
from minigpt.training.schedule import window_size


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurves:
    """The losses of one run, as points (x, y), in order. A curve that is not known in this unit is empty."""

    run: str
    x: str  # step, tokens or seconds
    y: str  # bits_per_byte or nats_per_token
    smoothed_steps: int  # a training point is the mean of so many steps, with it in the middle
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One way to use a time budget, or a `share` of it if longer training would overfit.

    `expected_bits_per_byte` of the validation text; None if nothing is known.
    """

    tokenizer: str
    vocab_size: int
    bytes_per_token: float
    layers: int
    heads: int
    width: int
    context: int
    dropout: float
    weight_decay: float
    bpe_dropout: float
    batch_size: int
    steps: int
    tokens: int
    tokens_per_second: float
    epochs: float
    share: float
    accumulation: int = 1
    expected_bits_per_byte: float | None = None
    context_warmup: float = 0.0

    @property
    def windows(self) -> list[int]:
        """The tokens of the windows that it reads, one length after the other."""
        sizes = [window_size(self.context, pieces) for pieces in (4, 2, 1)]
        return sorted(set(sizes if self.context_warmup else sizes[-1:]))


@dataclass(frozen=True)
class Logged:
    """A record from the log of a run that is being continued."""

    record: TrainRecord


@dataclass(frozen=True)
class ShortSample:
    """A short sample of a model in training."""

    text: str


@dataclass(frozen=True)
class Overfitting:
    """The validation loss has been rising since its minimum at `best`, in spite of this regularization.

    `more_decay`, `more_dropout`: more of it has been measured to help. `is_plannable`: a time budget would plan such a
    training, and did not plan this one.
    """

    now: TrainRecord
    best: TrainRecord
    weight_decay: float
    dropout: float
    more_decay: bool
    more_dropout: bool
    is_plannable: bool


TrainEvent = TrainRecord | Logged | ShortSample | Overfitting  # of a training that goes on
