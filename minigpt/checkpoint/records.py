"""Records of a run's folder: the lines of train.jsonl, its entry in a list of runs, its exports."""

from dataclasses import dataclass

from minigpt.records import Amount, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecord:
    """One optimizer step. `validation_*` are None on steps without evaluation."""

    step: Count
    tokens: Count  # seen so far
    epoch: Amount  # times the training text was seen
    seconds: Amount  # since the start
    tokens_per_second: Amount
    loss_nats: Amount | None  # of this step's batch, per token; None at step 0
    learning_rate: Amount
    gradient_norm: Amount | None  # before clipping
    validation_loss_nats: Amount | None = None
    validation_bits_per_byte: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model as exported for other programs; `bytes` on disk."""

    path: str
    format: str  # gguf, page or huggingface
    dtype: str
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A folder with a model, as a list of runs shows it. Unknown values are None.

    `status`: running, finished, untrained (finished, but no better than token frequencies), stopped (by the user),
    diverged, unfinished (marked as running, but silent for an hour), model (not a run of minigpt), or damaged; then
    `problem` says what is wrong. The losses are those of the saved model, at `saved_step`; `bytes` is the size of the
    whole folder on disk.
    """

    name: str
    path: str
    date: str  # ISO 8601: when the run began; where that is not known, when it was last written
    age_seconds: float
    status: str
    model: str | None  # one of MODELS
    layers: int | None
    width: int | None
    parameters: int | None
    tokenizer: str | None
    vocab_size: int | None
    text: str | None
    steps: int | None
    saved_step: int | None
    validation_loss_nats: float | None
    validation_bits_per_byte: float | None
    bytes: int
    problem: str | None = None
