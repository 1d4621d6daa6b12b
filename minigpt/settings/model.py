"""The shape of a model, and presets of shapes by name."""

import math
from dataclasses import dataclass

from minigpt.errors import named
from minigpt.settings.fields import Range, Settings, require, setting

ACTIVATIONS = ("gelu_new", "gelu", "quick_gelu", "relu", "silu", "tanh")  # gelu_new, by tanh, is GPT-2's
NAMES = {
    "gpt": "a GPT-2",
    "lstm": "an LSTM",
    "rnn": "an RNN",
    "window": "a dense network over a window",
    "transformer": "a Transformer with encoder and decoder",
    "seq2seq": "an LSTM encoder-decoder",
    "seq2seq-attention": "an LSTM encoder-decoder with attention",
}
MODELS = tuple(NAMES)
PAIR_MODELS = ("transformer", "seq2seq", "seq2seq-attention")  # which read one text and write another
PLANNED = ("gpt", *PAIR_MODELS)  # whose shape a time budget chooses
_WITH_HEADS = ("gpt", "transformer")
DEFAULT_WINDOW = 16
DROPOUT = Range(0, 1, below=True, both=True)
_SIZE = Range(1, math.inf)  # also of other people's models, so there is no upper limit


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """The shape of a GPT-2. Head width is `width / heads`; the MLP inside is `inner_width` wide, by default 4 * width.

    Or, as `model` says, of an earlier architecture: `layers` of recurrent cells, or of dense ones over the last
    `window` tokens. `context` is then how many tokens it is trained on at once; it can generate more. Of PAIR_MODELS,
    encoder and decoder have `layers` each, `context` limits source and target each, and `end` is the id that ends both.

    The fields from `inner_width` to `tied` differ in some GPT-2s of others, which are loaded and never created here.
    """

    vocab_size: int = setting(range=_SIZE)
    context: int = setting(range=_SIZE)
    layers: int = setting(range=_SIZE)
    heads: int = setting(range=_SIZE)
    width: int = setting(range=_SIZE)
    dropout: float = setting(0.0, range=DROPOUT)
    inner_width: int | None = None
    activation: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    tied: bool = True  # the output head is the token embedding
    model: str = setting("gpt", choices=MODELS)
    window: int | None = setting(None, range=_SIZE)
    end: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.mlp_width > 0, f"The MLP's width must be 1 or more, not {self.mlp_width:,}.")
        known = ", ".join(ACTIVATIONS)
        require(self.activation in ACTIVATIONS, f"The activation must be one of {known}, not {self.activation}.")
        epsilon = self.layer_norm_epsilon
        require(0 <= epsilon < 1, f"The layer norm's epsilon must be at least 0 and below 1, not {epsilon}.")
        require(
            self.model in _WITH_HEADS or self.heads == 1,
            f"{named('heads', self.heads)} does not go with {named('model', self.model)}, which has no heads.",
        )
        require(
            (self.window is not None) == (self.model == "window"),
            f"{named('window')} goes with {named('model', 'window')}, not with {named('model', self.model)}.",
        )
        require(
            self.window is None or self.window <= self.context,
            f"{named('window', self.window)} is more than the {named('context', self.context)} that it is trained on.",
        )
        require(
            self.model != "seq2seq-attention" or self.width % 2 == 0,
            f"{named('width', self.width)} must be even: an encoder that reads both ways has half of it for each.",
        )
        require((self.end is not None) == self.reads_pairs, "An end goes with a model of pairs, and only with one.")
        require(
            self.width % self.heads == 0,
            f"{named('width', self.width)} cannot be divided among {named('heads', self.heads)}: "
            f"take a multiple of {self.heads}.",
        )

    @property
    def reads_pairs(self) -> bool:
        """Whether the model reads one text and writes another."""
        return self.model in PAIR_MODELS

    @property
    def limit(self) -> int | None:
        """The most tokens that the model can see at once; None for a recurrent model, which has no limit."""
        return self.context if self.model == "gpt" else None

    @property
    def mlp_width(self) -> int:
        """I, the channels inside the MLP."""
        return 4 * self.width if self.inner_width is None else self.inner_width

    def parameter_count(self) -> int:
        """The number of weights, with a tied output head counted once.

        For a GPT: C(V + T) + L(4 C² + 9 C + 2 C I + I) + 2 C.
        """
        c, i = self.width, self.mlp_width
        if self.model != "gpt":
            return c * self.vocab_size + self._baseline_parameters()
        embeddings = c * (self.vocab_size * (1 if self.tied else 2) + self.context)
        return embeddings + self.layers * (4 * c * c + 9 * c + 2 * c * i + i) + 2 * c

    def _baseline_parameters(self) -> int:
        """Parameters without embeddings: a cell has two matrices and two biases, four times as many with gates."""
        c, inner = self.width, 4 * self.width
        if self.reads_pairs:
            return self._pair_parameters()
        if self.model == "window":
            between = (self.layers - 1) * (inner * inner + inner)
            return ((self.window or 1) * c * inner + inner) + between + (inner * c + c)
        return self.layers * (4 if self.model == "lstm" else 1) * (2 * c * c + 2 * c)

    def _pair_parameters(self) -> int:
        """Parameters of encoder and decoder: attention has four matrices, a cell of an LSTM eight."""
        c, i, layers = self.width, self.mlp_width, self.layers
        if self.model == "transformer":
            attention, mlp, norm = 4 * (c * c + c), 2 * c * i + i + c, 2 * c
            return layers * ((attention + mlp + 2 * norm) + (2 * attention + mlp + 3 * norm))
        cell = 8 * (c * c + c)
        if self.model == "seq2seq":
            return 2 * layers * cell
        half = c // 2
        both_ways = layers * 2 * 4 * (half * c + half * half + 2 * half)
        decoder, attention, output = layers * cell + 4 * c * c, 2 * c * c + 2 * c, 2 * c * c + c
        return both_ways + decoder + attention + output


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model shape by name, with the batch size and learning rate that suit it on the machine it is meant for."""

    layers: int
    heads: int
    width: int
    context: int
    batch_size: int
    learning_rate: float


# Head width 32 or 64. The gpt2 family's shapes are those of the release (Radford et al., 2019).
PRESETS: dict[str, Preset] = {
    "nano": Preset(layers=4, heads=4, width=128, context=128, batch_size=16, learning_rate=6e-3),
    "micro": Preset(layers=5, heads=4, width=256, context=128, batch_size=16, learning_rate=4e-3),
    "mini": Preset(layers=6, heads=6, width=384, context=256, batch_size=16, learning_rate=3e-3),
    "gpt2": Preset(layers=12, heads=12, width=768, context=1024, batch_size=8, learning_rate=6e-4),
    "gpt2-medium": Preset(layers=24, heads=16, width=1024, context=1024, batch_size=8, learning_rate=3e-4),
    "gpt2-large": Preset(layers=36, heads=20, width=1280, context=1024, batch_size=4, learning_rate=2.5e-4),
    "gpt2-xl": Preset(layers=48, heads=25, width=1600, context=1024, batch_size=4, learning_rate=2e-4),
}
