"""What the views tell: a record for each answer."""

from dataclasses import dataclass

from minigpt.records import Record
from minigpt.sampling.records import BareToken, Candidate, Other, StepRecord
from minigpt.text.records import CorpusText, Token


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
class ComparedNext(Record):
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
class AttentionGrid(Record):
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
class SharedWord(Record):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSuffix:
    """The last tokens of a text, as a corpus holds them, and what follows there."""

    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int  # overlapping ones too
    followed: int  # of them, all but one at the very end of the corpus
    next_tokens: int  # different ones that follow
    likeliest: BareToken | None
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
class Attribution(Record):
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
