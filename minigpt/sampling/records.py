"""Records of sampling: the distribution of a step, a whole sample, and the result of a replay."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from minigpt.records import Count, Record, Several, Within
from minigpt.text.records import Token

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer

_ROUNDING = 1e-9  # by which a sum may miss its limit
Probability = Annotated[float, Within(0, 1 + _ROUNDING, "a number from 0 to 1")]
Bits = Annotated[float, Within(-_ROUNDING, math.inf, "a number of 0 or more")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Token):
    """A token that could come next, with its numbers."""

    logit: float
    raw_prob: Probability  # softmax of the logits over the whole vocabulary in float64, before any stage
    after: tuple[Probability, ...]  # its renormalised probability after each stage
    prob: Probability  # the last of these; raw_prob where there is no stage
    rank: Several  # 1 + how many tokens have a strictly greater logit
    cut_by: str | None  # the stage that removed it


@dataclass(frozen=True, slots=True, kw_only=True)
class BareToken(Token):
    """A token without numbers in the place of a candidate: the first token of a text, which has no context."""

    logit: None = None
    raw_prob: None = None
    after: None = None
    prob: None = None
    rank: None = None
    cut_by: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """All tokens that are not listed, summed."""

    count: Count
    raw_prob: Probability
    prob: Probability
    after: tuple[Probability, ...] = ()  # as of a candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One sampling stage: how many tokens, and how much of the raw probability, are left after it."""

    name: str
    value: float
    kept: Count
    mass: Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord(Record):
    """The distribution of one step: candidates + other = 1, for raw_prob and for prob.

    `token` is the one that was drawn or that the text contains; None for an open question. The first token of a text
    has no context: no candidates and no numbers.
    """

    sample: int  # from 0, where there are several
    position: int  # from 0, of the token that is predicted
    token: Candidate | BareToken | None  # a Candidate wherever there is context
    candidates: tuple[Candidate, ...]  # the best by logit, ties by id; `token` behind them if it is not among them
    other: Other | None
    entropy_bits: Bits | None  # of the unfiltered distribution
    surprisal_bits: Bits | None  # of `token`, unfiltered
    stages: tuple[Stage, ...]  # in the order applied

    @property
    def chosen(self) -> Candidate | None:
        """`token` with its numbers."""
        return self.token if isinstance(self.token, Candidate) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogits:
    """A step with its largest logits, and the weight of all others at some temperatures.

    That is enough to recompute its funnel exactly at other settings.
    """

    step: StepRecord  # as it was drawn or read
    listed: StepRecord  # the same with more candidates, of the logits after penalties and biases, if there were any
    sigma: float  # the standard deviation of all those logits
    # Before penalties and biases: of listed.candidates, of the tokens not listed, and ln of the sum of exp(logit) over
    # all.
    raw_logits: tuple[float, ...]
    other_raw_prob: float
    log_sum: float
    place: int  # how many tokens come before the last candidate, by logit, ties by id
    temperatures: tuple[float, ...]
    # At each temperature T, ln of the sum of exp((logit - largest logit) / T) over the tokens not listed. None where
    # that sum is 0, and for T = 0.
    rest_log_sums: tuple[float | None, ...]
    rest_means: tuple[float | None, ...]  # the mean of those (logit - largest logit) / T, each weighted by its exp


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEnd:
    """The last record of a sample: the whole text, prompt included, and its totals."""

    sample: int
    prompt: str
    text: str
    tokens: int  # drawn, an end-of-text included
    seconds: float
    tokens_per_second: float
    bits_per_token: float  # mean surprisal, unfiltered
    entropy_bits_per_token: float  # mean entropy, unfiltered: the surprisal to expect of raw draws
    top_token_share: float  # how often the most likely token was drawn
    stopped_by: str  # max-tokens, end-of-text, stop
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamTarget:
    """A target that a beam search found; its end counts as a token, unless the target was stopped before."""

    rank: int
    text: str
    tokens: int
    log_prob_nats: float
    log_prob_nats_per_token: float  # by which the targets are ordered
    stopped_by: str  # end-of-text, max-tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that has changed since a trace was made, such as the version of torch."""

    name: str
    then: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first token of a replay that differs from its trace. None for the one of the two that had ended."""

    sample: int
    step: int  # from 1, of its sample
    expected: Candidate | None
    drawn: Candidate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The result of repeating a generation from its trace on the same checkpoint."""

    tokens: int  # that are the same
    drawn: bool  # False for tokens that a person chose or another generator drew: they were only scored again
    divergence: Divergence | None
    agrees: bool  # no divergence, and the numbers differ by no more than rounding
    same_numbers: bool  # to the last bit
    largest_difference: float  # between two probabilities
    largest_difference_bits: float  # between two surprisals or entropies
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoredToken(Token):
    """A token of a trace, as predicted by the model of the trace and by another one (`other_`)."""

    sample: int
    node: int | None  # its number, in a tree
    position: int
    before: str  # the end of the text before it
    surprisal_bits: float
    other_surprisal_bits: float
    rank: int
    other_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescoring:
    """The tokens of a trace scored by another checkpoint (`other_`), and those whose surprisals differ most."""

    checkpoint: str
    other_checkpoint: str
    tokens: int
    bits_per_token: float
    other_bits_per_token: float
    most_different: tuple[RescoredToken, ...]  # the largest difference first


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """The comparison of cached steps with full passes over the same ids."""

    steps: int  # that were compared
    largest_difference: float  # between two logits, in absolute terms
    sample: int  # where it is
    position: int  # of the token that these logits predict


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken(Token):
    """A token, and its surprisal after those before it."""

    raw_prob: float
    nats: float  # -ln raw_prob


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """The loss of a model on a whole text. `tokens` and `bytes` count what was scored: all but the first token."""

    tokens: int
    bytes: int
    total_nats: float
    bits_per_byte: float | None
    perplexity: float | None  # exp(nats per token)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScore:
    """The loss of a model on the documents of a file. `tokens` and `bytes` count what was scored: all but first tokens.

    With `rolling`, first tokens are scored too, after a bos token or end-of-text, as in lm-evaluation-harness.
    """

    file: str | None  # None for the total of several
    documents: int
    tokens: int
    bytes: int
    total_nats: float
    nats_per_token: float | None
    bits_per_token: float | None
    bits_per_byte: float | None
    perplexity: float | None  # exp(nats per token)
    context: int | None  # tokens that the model sees at once; None for one that carries a state through a document
    stride: int | None  # tokens by which its window moves on
    rolling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScore:
    """How well a model of pairs tells labels apart: its answer is the most probable of those that it was trained on."""

    correct: int
    unknown: int  # pairs whose target training never saw; no answer to them is correct
    labels: tuple[str, ...]  # those of training
    confusion: tuple[tuple[int, ...], ...]  # pairs by true label (row) and answer (column), in the order of `labels`


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """How well a model of pairs does on those of a file: the loss of their targets, and its own beside them.

    `tokens` and `bytes` are of the targets; each has its end-of-text as a token. Its own are written greedily.
    """

    file: str | None  # None for the total of several
    pairs: int
    too_long: int  # pairs left out because a side exceeds the model's context
    tokens: int
    bytes: int
    total_nats: float
    nats_per_token: float | None
    bits_per_byte: float | None
    perplexity: float | None  # exp(nats per token)
    exact: float | None  # the share of pairs whose target is written as it stands
    chrf: float | None  # sacrebleu's chrF2 and BLEU of the corpus, from 0 to 100; None without that package
    bleu: float | None
    accuracy: float | None  # the share of correct labels; None where targets are no labels
    labels: LabelScore | None


def perplexity(total_nats: float, tokens: int) -> float | None:
    """exp(nats per token). None without tokens, or if it overflows a float, as after a diverged training."""
    try:
        return math.exp(total_nats / tokens) if tokens else None
    except OverflowError:
        return None


def first_token(tokenizer: "Tokenizer", token: int) -> StepRecord:
    """The record of a text's first token, which has no context and therefore no numbers."""
    return StepRecord(
        sample=0,
        position=0,
        token=BareToken.of(tokenizer, token),
        candidates=(),
        other=None,
        entropy_bits=None,
        surprisal_bits=None,
        stages=(),
    )
