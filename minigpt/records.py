"""What the tensors below say to the pictures above: frozen, plain Python, JSON-safe. Field names are the JSON names.

A probability is a share of 1, never a percentage; bits are log2, nats are the natural logarithm.
"""

import math
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class Within:
    """What a number may be that is read from a file, as the second part of an `Annotated`: both ends included."""

    least: float
    most: float
    words: str

    def holds(self, number: float) -> bool:
        return self.least <= number <= self.most


# Any of these can be summed and squared without an overflow.
_MOST = 1e60  # far beyond what float32 holds, and so any loss
Count = Annotated[int, Within(0, math.inf, "0 or more")]
Several = Annotated[int, Within(1, math.inf, "1 or more")]
Amount = Annotated[float, Within(0, _MOST, "a number of 0 or more that is not too large")]
Positive = Annotated[float, Within(1e-60, _MOST, "a number above 0 that is neither too small nor too large")]
Share = Annotated[float, Within(0, 1, "a number from 0 to 1")]


class _Shown:
    """A record that a notebook shows as its table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from minigpt.render.notebook import show

        return show(self)._repr_html_()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the vocabulary."""

    id: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedToken(Token):
    """A token that is only named: its JSON has no numbers, whereas a `Token` of a step has null for each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Token):
    """A token that could come next, with its numbers."""

    logit: float
    raw_prob: float  # softmax of the logits over the whole vocabulary in float64, before any stage
    after: tuple[float, ...]  # its renormalised probability after each stage
    prob: float  # the last of these; raw_prob where there is no stage
    rank: int  # 1 + how many tokens have a strictly greater logit
    cut_by: str | None  # the stage that removed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """All tokens that are not listed, summed."""

    count: int
    raw_prob: float
    prob: float
    after: tuple[float, ...] = ()  # as of a candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One sampling stage: how many tokens, and how much of the raw probability, are left after it."""

    name: str
    value: float
    kept: int
    mass: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord(_Shown):
    """The distribution of one step: candidates + other = 1, for raw_prob and for prob.

    `token` is the one that was drawn, or that stands in the text, or None when the question is open. The first token
    of a text has no context: no candidates, and no numbers.
    """

    sample: int  # from 0, where there are several
    position: int  # from 0, of the token that is predicted
    token: Token | None  # a Candidate wherever there is context
    candidates: tuple[Candidate, ...]  # the best by logit, ties by id; `token` behind them if it is not among them
    other: Other | None
    entropy_bits: float | None  # of the unfiltered distribution
    surprisal_bits: float | None  # of `token`, unfiltered
    stages: tuple[Stage, ...]  # in the order applied

    @property
    def chosen(self) -> Candidate | None:
        """`token` with its numbers."""
        return self.token if isinstance(self.token, Candidate) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogits:
    """A step with its best logits and what all others weigh at some temperatures: enough to compute its funnel again,
    exactly, at other settings.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEnd:
    """The last line of a sample: the whole text, prompt included, and how it went."""

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
class Change:
    """What is not as it was when a trace was made, such as the version of torch."""

    name: str
    then: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first token of a replay that is not the one of its trace. None where that one had ended."""

    sample: int
    step: int  # from 1, of its sample
    expected: Candidate | None
    drawn: Candidate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How a generation came out when it was made again from its trace, on the same checkpoint."""

    tokens: int  # that are the same
    drawn: bool  # False for tokens that a person chose, which were only scored again
    divergence: Divergence | None
    agrees: bool  # no divergence, and the numbers differ by no more than rounding
    same_numbers: bool  # to the last bit
    largest_difference: float  # between two probabilities
    largest_difference_bits: float  # between two surprisals or entropies
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoredToken(Token):
    """A token of a trace, as the model of the trace saw it and as another one does (`other_`)."""

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
    """The tokens of a trace on another checkpoint (`other_`), and those at which the two surprisals differ most."""

    checkpoint: str
    other_checkpoint: str
    tokens: int
    bits_per_token: float
    other_bits_per_token: float
    most_different: tuple[RescoredToken, ...]  # the largest difference first


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """Cached steps against full passes over the same ids."""

    steps: int  # that were compared
    largest_difference: float  # between two logits, in absolute terms
    sample: int  # where it is
    position: int  # of the token that these logits predict


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """What a whole text costs a model. `tokens` and `bytes` count what was scored: all but the first token."""

    tokens: int
    bytes: int
    total_nats: float
    bits_per_byte: float | None
    perplexity: float | None  # exp(nats per token)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScore:
    """What the documents of a file cost a model. `tokens` and `bytes` count what was scored: all but first tokens.

    `rolling`: those too, after end-of-text, as lm-evaluation-harness does it.
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
class LossCurves:
    """The losses of one run, as points (x, y), in order. One of them is empty where it is not known in this unit."""

    run: str
    x: str  # step, tokens or seconds
    y: str  # bits_per_byte or nats_per_token
    smoothed_steps: int  # a training point is the mean of so many steps, with it in the middle
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...]


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


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One way to use a time budget, or a `share` of it where more would only be learned by heart.

    `expected_bits_per_byte` is for a text of average difficulty: only to compare. None where nothing is known.
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
    batch_size: int
    steps: int
    tokens: int
    tokens_per_second: float
    epochs: float
    share: float
    accumulation: int = 1
    expected_bits_per_byte: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """What the model of one step of a training expected after a text."""

    step: int
    final: bool  # the model that the run ended with: the best one
    validation_loss_nats: float | None  # of that model, per token
    validation_bits_per_byte: float | None
    entropy_bits: float
    divergence_bits: float  # D(final || this), what the final model's tokens cost more when coded by this one's
    tracked: tuple[Candidate, ...]  # the same tokens in every row


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHistoryRow:
    """What each layer of the model of one step of a training would give one token."""

    step: int
    final: bool
    layers: tuple[Candidate, ...]  # the embeddings first, the model's output last


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedToken(Token):
    """A token that could come next, as one model and as another one (`other_`) see it."""

    raw_prob: float
    other_raw_prob: float
    rank: int
    other_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNext(_Shown):
    """What two models (`other_`: the second) expect after the same text: tokens + rest = 1 in both."""

    tokens: tuple[ComparedToken, ...]  # those that are likeliest in either, the likeliest first
    moved: tuple[ComparedToken, ...]  # those whose probabilities differ most, the largest difference first
    rest: int  # tokens that are not in `tokens`, with their summed probability:
    rest_raw_prob: float
    rest_other_raw_prob: float
    entropy_bits: float
    other_entropy_bits: float
    divergence_bits: float  # D(first || second)
    other_divergence_bits: float  # D(second || first)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSpan:
    """The shortest stretch of a text that ends a token in both models' vocabularies, and what it costs each.

    With equal vocabularies it is one token, and the two distributions before it diverge by `divergence_bits`. The
    first stretch of a text holds a token without context: its costs are None.
    """

    tokens: tuple[Token, ...]
    other_tokens: tuple[Token, ...]
    surprisal_bits: float | None
    other_surprisal_bits: float | None
    divergence_bits: float | None  # D(first || second)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedText:
    """Totals over the stretches of a text that have costs."""

    bytes: int
    tokens: int
    other_tokens: int
    bits_per_byte: float | None
    other_bits_per_byte: float | None
    divergence_bits_per_token: float | None  # mean; None between different vocabularies


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSummary:
    """Where one attention head looks, on average over the tokens of a text but the first. Shares of 1."""

    layer: int  # from 1
    head: int  # from 1
    entropy_bits: float  # of its weights
    previous: float  # on the token just before
    first: float  # on the first token of the text, from the third token on
    same: float | None  # on earlier tokens that are the same, where there are any; None where nowhere are
    itself: float
    kind: str | None  # previous-token, first-token, same-token or itself, where that is half of its attention or more


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionGrid(_Shown):
    """How much each token of a text (a row) looks at itself and at each one before it. A row's weights sum to 1."""

    layer: int  # from 1
    head: int | None  # from 1; None for the mean of the layer's heads
    tokens: tuple[Token, ...]
    weights: tuple[tuple[float, ...], ...]  # row t has t + 1 of them
    scores: tuple[tuple[float, ...], ...]  # query . key / sqrt(head width), before the softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A token that another one looks at."""

    position: int
    token: Token
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAtWord:
    """A word that another one looks at: the pieces that it is cut into, joined."""

    position: int  # of its first token
    tokens: int
    text: str
    weight: float  # summed over its tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class WordLayer:
    """A word's vector (the mean of its tokens') after one layer, and where it looked in it."""

    layer: int  # from 1; 0 is the embedding, token and position added
    cosine_to_embedding: float
    moved: float  # the length of the way from the embedding, in lengths of the embedding
    looked_at: tuple[LookedAt, ...]  # by its last token, mean of the layer's heads, the largest first; none in layer 0
    words: tuple[LookedAtWord, ...] = ()  # by the mean of its tokens, over whole words; words + other_weight = 1
    other_words: int = 0  # that are not listed
    other_weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WordInContext:
    """One word of a text, layer by layer. `position` and `token` are its last token's, which has seen all of it."""

    text: str
    word: str
    position: int
    token: Token
    layers: tuple[WordLayer, ...]
    tokens: int = 1  # that it is cut into
    first: bool = False  # whether nothing stands before it in what the model sees


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWord(_Shown):
    """A word in two texts, and how alike its two vectors are: cosines, after each layer from 0."""

    first: WordInContext
    second: WordInContext
    cosines: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken(Token):
    """A token, and what it costs after those before it."""

    raw_prob: float
    nats: float  # -ln raw_prob


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The end of a prompt, seen from before its last `tokens`: could it have been cut otherwise?

    `bytes` is what these tokens spell. raw_prob + longer + other_longer + others = 1.
    """

    text: str | None  # None when the bytes are not whole characters
    bytes: str  # hexadecimal
    position: int  # from 0, of the first of `tokens`
    tokens: tuple[ScoredToken, ...]
    raw_prob: float  # of `tokens`, one after the other
    share: float  # of raw_prob in itself and all longer tokens
    longer: tuple[ScoredToken, ...]  # the likeliest single tokens that begin with `bytes` and go on
    other_longer: Other  # those of them that are not listed
    others: Other  # whatever does not begin so; where there are several `tokens`, what else may follow all but the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several texts that may follow a prompt: its whole probability, and its share among them."""

    text: str
    tokens: tuple[ScoredToken, ...]
    bytes: int
    raw_prob: float  # of all its tokens, one after the other; exp(-total_nats)
    total_nats: float  # -ln raw_prob: what the text costs, 0 or more
    nats_per_byte: float
    bits_per_byte: float
    share: float  # raw_prob / the sum of all choices' raw_prob
    share_per_byte: float  # the same of exp(-nats_per_byte), where length costs nothing


def to_plain(value: Any) -> Any:
    """A record as JSON has it: objects, lists, null for what is no finite number and for what a bare token lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [to_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: to_plain(inner) for name, inner in value.items()}
    names = _names(value.__class__)
    return {name: to_plain(getattr(value, name, None)) for name in names} if names else value


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The names of a record in JSON; none of anything else. A token without context has those of a candidate."""
    if kind is Token:
        kind = Candidate
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusText:
    """A text that answers are compared with, as tokens."""

    name: str
    part: str  # what of it: training text, or whole text
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSuffix:
    """The last tokens of a text, as a corpus holds them, and what follows there."""

    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int  # overlapping ones too
    followed: int  # of them, all but one at the very end of the corpus
    next_tokens: int  # different ones that follow
    likeliest: Token | None
    likeliest_share: float | None
    divergence_bits: float | None  # Kullback-Leibler, of the shares there from the model's raw softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusCandidate(Candidate):
    """A candidate, and how often it follows the suffix in the corpus."""

    corpus_count: int
    corpus_share: float | None  # of all that follows; None where nothing does


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusOther(Other):
    """All tokens that are not listed, summed in the corpus too."""

    corpus_count: int
    corpus_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusStep(StepRecord):
    """What a model expects after a text, beside what followed `suffix`, the end of this text, in a corpus.

    Candidates are the best of both, by logit; candidates + other = 1, for corpus_share too.
    """

    candidates: tuple[CorpusCandidate, ...]
    other: CorpusOther
    corpus: CorpusText
    suffixes: tuple[CorpusSuffix, ...]  # shortest first; of those with the very same occurrences, the longest
    suffix: CorpusSuffix | None  # that shares are taken from; None where the last token never stands in the corpus


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimSpan:
    """Sampled tokens that stand in the corpus, as they are here; with one more on either side they do not."""

    position: int  # from 0, of its first token in the text
    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimPiece:
    """A part of a sampled text that stands in the corpus, or that does not."""

    text: str
    verbatim: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimReport:
    """What of a sample stands verbatim in a corpus, in spans of `at_least` so many tokens. The prompt is left out."""

    sample: int
    corpus: CorpusText
    at_least: int
    sampled_tokens: int  # without an end-of-text that ended the sample
    verbatim_tokens: int  # of them, those in spans, which may overlap
    longest: VerbatimSpan | None  # the first of the longest
    spans: tuple[VerbatimSpan, ...]
    pieces: tuple[VerbatimPiece, ...]  # the whole sampled text


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRow:
    """What one layer would predict: its residual stream, through the final norm and the output table.

    candidates + other = 1. The last layer's row is the model's output.
    """

    layer: int  # 0: the embeddings; n: after block n
    candidates: tuple[Candidate, ...]  # the best by logit
    other: Other
    entropy_bits: float
    divergence_bits: float  # D(output || this layer)
    tracked: tuple[Candidate, ...]  # the same tokens in every row


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEffect(Token):
    """What leaving one token out of a prompt does to the surprisal of the token that is explained."""

    position: int  # from 0, in the prompt
    surprisal_bits: float  # of the explained token, without this one
    effect_bits: float  # log2 p(explained | prompt) - log2 p(explained | prompt without this token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution(_Shown):
    """How each token of a prompt, left out, changes the log-probability of one next token. Effects do not add up."""

    position: int  # from 0, of the token that is explained
    token: Candidate  # the token that is explained
    surprisal_bits: float  # of it, after the whole prompt
    unseen: int  # tokens before the model's window, which have no effect
    effects: tuple[TokenEffect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two neighbours that a BPE tokenizer makes one. All in hexadecimal bytes."""

    number: int  # from 1: the order in which merges were learned, and in which they are applied
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutToken(Token):
    """A token of a text, and how it came about."""

    position: int  # from 0
    merges: tuple[Merge, ...]  # in the order applied; none for a single byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour(Token):
    """A token whose vector points in a similar direction."""

    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVector(Token):
    """A token's row of `wte`, which is both what the model reads for it and what it is recognised by at the output."""

    norm: float
    mean: float
    vector: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]  # the nearest first; none where the vector is zero
    cosines: tuple[float | None, ...]  # to each of the tokens asked about, this one included; None for a zero vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model as it was written for other programs; `bytes` on disk."""

    path: str
    format: str  # gguf or huggingface
    dtype: str
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A folder with a model, as a list of them shows it. What is not known is None.

    `status`: running, finished, untrained (finished, but no better than the frequencies of tokens), stopped (by the
    user), diverged, unfinished (said to run, but silent for an hour), model (no run of minigpt), or damaged; `problem`
    then says what is wrong. The losses are those of the model that is kept, at `saved_step`; `bytes` is what the whole
    folder takes on disk.
    """

    name: str
    path: str
    date: str  # ISO 8601: when the run began; where that is not known, when it was last written
    age_seconds: float
    status: str
    model: str | None  # gpt, lstm, rnn or window
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


Points = tuple[tuple[Amount, Amount], ...]  # x and y


@dataclass(frozen=True, slots=True, kw_only=True)
class ContenderRun:
    """One training of a contender, and what it came to on the validation text."""

    folder: str  # of the run, in that of the comparison
    tokens: Count
    seconds: Amount  # with its evaluations
    bits_per_byte: Amount  # the best on the way, which is that of the model that is kept
    by_tokens: Points  # bits per byte on the way, after so many tokens
    by_seconds: Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model of a comparison, with what was measured of it; what is yet to come is None."""

    model: str  # gpt, lstm, rnn or window; of an ablation, what the GPT is without
    layers: Several
    width: Several
    window: Several | None
    parameters: Several
    learning_rate: Positive  # the best of those tried, where any were
    tried_rates: tuple[tuple[Positive, Amount | None], ...] = ()  # bits per byte; None where the loss was no number
    training_tokens_per_second: Points | None = None  # by the context, with as many tokens in a step
    step_milliseconds: Points | None = None  # of generating, by the number of the token
    peak_bytes: Count | None = None  # of training: what the process needs beyond what it has before; 0: cannot be told
    equal_tokens: ContenderRun | None = None
    equal_time: ContenderRun | None = None
    loss_nats_by_position: Points | None = None  # by the number of tokens that are seen
    gradient_by_distance: Points | None = None  # norm, of the last loss of a window by the input so many tokens before
    recall_by_distance: Points | None = None  # share of keys recalled after so many tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """A file that a text is made of; hash and size are of its bytes as stored."""

    name: str
    sha256: str
    size: Count
    documents: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Kinds of model with equal parameters on one text; None until it is known.

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
    ablation: bool = False  # of a GPT with itself, a part taken out: trained with equal tokens alone
    seed: Count
    machine: str  # in general terms
    spent_seconds: Amount = 0.0
    tokens: Several | None = None
    seconds: Positive | None = None
    tried_tokens: Count | None = None
    recall_steps: Count | None = None
    contenders: tuple[Contender, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be measured."""
        if self.ablation:
            return all(contender.equal_tokens is not None for contender in self.contenders)
        return all(None not in (getattr(c, name) for name in _names(Contender)[6:]) for c in self.contenders)
