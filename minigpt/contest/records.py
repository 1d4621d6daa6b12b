"""Records of a comparison: the contenders, and everything that was measured of them."""

from dataclasses import dataclass

from minigpt.records import Amount, Count, Positive, Several, Share
from minigpt.text.records import TextSource

Points = tuple[tuple[Amount, Amount], ...]  # x and y


@dataclass(frozen=True, slots=True, kw_only=True)
class ContenderRun:
    """One training of a contender, and its result on the validation text."""

    folder: str  # of the run, in that of the comparison
    tokens: Count
    seconds: Amount  # with its evaluations
    bits_per_byte: Amount  # the best on the way, which is that of the model that is kept
    by_tokens: Points  # bits per byte on the way, after so many tokens
    by_seconds: Points
    validation_loss_nats: Amount | None = None  # a token, where bits_per_byte is the best; None in older comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """How a model of pairs translates validation sources, greedily. In Points, x is the most tokens of a source.

    Alignments are known of the built-in pairs alone, and found by attention alone; otherwise None. Of the layers, the
    one with the lowest error rate counts.
    """

    pairs: Several
    exact_matches: Share
    exact_by_length: Points
    aligned_pairs: Count
    alignment_layer: Several | None = None
    alignment_error_rate: Share | None = None
    alignment_error_by_length: Points | None = None
    diagonal_error_rate: Share | None = None  # of linking words at the same part of both texts, which needs no model
    least_error_rate: Share | None = None  # possible with one source word for each target word


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model of a comparison with its measurements; those still to come are None."""

    model: str  # gpt, lstm, rnn or window; of an ablation, what the GPT is without; of pairs, one of PAIR_MODELS
    layers: Several
    width: Several
    window: Several | None
    parameters: Several
    learning_rate: Positive  # the best of those tried, where any were
    tried_rates: tuple[tuple[Positive, Amount | None], ...] = ()  # bits per byte; None where the loss was no number
    training_tokens_per_second: Points | None = None  # by the context, or the tokens a side; a step has as many tokens
    step_milliseconds: Points | None = None  # of generating, by the number of the token
    peak_bytes: Count | None = None  # of training, beyond the process's memory before it; 0 if it cannot be measured
    equal_tokens: ContenderRun | None = None
    equal_time: ContenderRun | None = None
    loss_nats_by_position: Points | None = None  # by the number of tokens that are seen
    gradient_by_distance: Points | None = None  # norm, of the last loss of a window by the input so many tokens back
    recall_by_distance: Points | None = None  # share of keys recalled after so many tokens
    translations: Translated | None = None  # by the model trained for equal_time


# What is measured of each contender, in this order; between the two, the learning rates.
UNTRAINED = ("training_tokens_per_second", "step_milliseconds", "peak_bytes")
TRAINED = ("equal_tokens", "equal_time", "loss_nats_by_position", "recall_by_distance")
PAIRS_UNTRAINED, PAIRS_TRAINED = ("training_tokens_per_second", "step_milliseconds"), ("equal_time", "translations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Kinds of model with equal parameters on one text; unknown values are None.

    `tokens` and `seconds` are those of each training, `tried_tokens` those of each learning rate that is tried.
    """

    name: str
    sources: tuple[TextSource, ...] = ()
    text_bytes: Count
    validation: str
    vocab_size: Several
    context: Several
    batch_size: Several
    minutes: Positive
    quick: bool  # no learning rates are tried
    ablation: bool = False  # of a GPT with GPTs that lack a part, all trained with equal tokens alone
    pairs: bool = False  # of models of pairs, all trained for equal time alone
    seed: Count
    machine: str  # in general terms
    spent_seconds: Amount = 0.0
    tokens: Several | None = None
    seconds: Positive | None = None
    tried_tokens: Count | None = None
    recall_steps: Count | None = None
    contenders: tuple[Contender, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The fields of a contender that are measured, apart from learning rates."""
        if self.pairs:
            return PAIRS_UNTRAINED + PAIRS_TRAINED
        return ("equal_tokens",) if self.ablation else UNTRAINED + TRAINED

    @property
    def planned(self) -> bool:
        """Whether the lengths of the trainings are decided."""
        return self.tokens is not None or self.seconds is not None

    @property
    def finished(self) -> bool:
        """Whether no measurement is missing."""
        return all(getattr(contender, name) is not None for contender in self.contenders for name in self.measured)
