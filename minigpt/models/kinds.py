"""The kinds of model: how one is built, the shapes at which two are equally large, and the positions that a GPT has."""

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, cast, overload

from minigpt.errors import ConfigError, named
from minigpt.settings import DEFAULT_WINDOW, ModelConfig
from minigpt.settings.model import NAMES

if TYPE_CHECKING:
    from minigpt.models.baselines import Baseline
    from minigpt.models.encoder_decoder import EncoderDecoder
    from minigpt.models.gpt import GPT
    from minigpt.models.native import NativeGPT
    from minigpt.models.network import AnyModel

    Model = GPT | Baseline | EncoderDecoder
else:
    Model = Any  # torch is imported only where a model is built

TOLERANCE = 0.05  # of the weights
_CLOSE = 0.01  # near enough not to try widths that are less round
_LAYERS = 2  # of cells, or of dense layers

# Of the sinusoids. Token vectors begin at a standard deviation of 0.02, and what is much larger drowns the other in the
# first layer norm; docs/log.md has what other amplitudes cost.
AMPLITUDE = 0.1


def new_model(config: ModelConfig) -> Model:
    """A model of the configured kind, not yet initialised."""
    from minigpt.models.baselines import LSTM, RNN, WindowNet
    from minigpt.models.gpt import GPT
    from minigpt.models.seq2seq import AttentiveSeq2Seq, Seq2Seq
    from minigpt.models.transformer import Transformer

    kinds: dict[str, type[Model]] = {
        "gpt": GPT,
        "lstm": LSTM,
        "rnn": RNN,
        "window": WindowNet,
        "transformer": Transformer,
        "seq2seq": Seq2Seq,
        "seq2seq-attention": AttentiveSeq2Seq,
    }
    return kinds[config.model](config)


@overload
def gpt_of(model: Model, what: str, instead: str = "") -> "GPT": ...
@overload
def gpt_of(model: "AnyModel", what: str, instead: str = "") -> "GPT | NativeGPT": ...
def gpt_of(model: "AnyModel | Model", what: str, instead: str = "") -> "GPT | NativeGPT":
    """The model, which must be a GPT for `what`, a phrase for the message. Raises ConfigError.

    `instead`: a sentence about what can be asked of this model.
    """
    if model.config.model == "gpt":
        return cast("GPT | NativeGPT", model)
    raise ConfigError(
        f"{what}, which only a GPT has: this model is {NAMES[model.config.model]}.\n"
        f"{f'{instead} ' if instead else ''}Name the folder of a GPT with {named('checkpoint')}."
    )


def equal_shape(shape: ModelConfig, model: str, window: int | None = None) -> ModelConfig:
    """A `model` of two layers, as wide as necessary; `shape` itself for the same kind.

    Widths that are multiples of 16, 8 ... are tried first, because products are faster there. Raises ConfigError if
    none has as many weights within TOLERANCE.
    """
    if model == shape.model:
        return shape
    if model == "window" and window is None:
        window = min(DEFAULT_WINDOW, shape.context)
    wanted = shape.parameter_count()

    def of(width: int) -> ModelConfig:
        usual = ModelConfig.activation  # which no other kind has
        return replace(shape, model=model, window=window, layers=_LAYERS, heads=1, width=width, activation=usual)

    def miss(width: int) -> float:
        return abs(of(width).parameter_count() / wanted - 1)

    for multiple in (16, 8, 4, 2) if model == "seq2seq-attention" else (16, 8, 4, 2, 1):  # half of it reads each way
        large = next(width for width in count(multiple, multiple) if of(width).parameter_count() >= wanted)
        best = min(max(multiple, large - multiple), large, key=miss)
        if miss(best) <= _CLOSE:
            break
    if miss(best) > TOLERANCE:
        raise ConfigError(
            f"No {named('model', model)} has about as many weights as this "
            f"{'GPT' if shape.model == 'gpt' else 'model'}, {wanted:,}: give a {named('width')}."
        )
    return of(best)


def give_positions(model: "GPT", kind: str) -> "GPT":
    """Set the positions: learned leaves the model as it is; sinusoidal is `sinusoids` times AMPLITUDE; none is zeros.

    Fixed positions are frozen. Without positions a causal model can still infer some order from how many tokens each
    one sees (Haviv et al., "Transformer Language Models without Positional Encodings Still Learn Positional
    Information", 2022).
    """
    if kind == "learned":
        return model
    import torch

    from minigpt.models.functional import sinusoids

    with torch.no_grad():
        table = sinusoids(*model.wpe.weight.shape).mul_(AMPLITUDE) if kind == "sinusoidal" else torch.tensor(0.0)
        model.wpe.weight.copy_(table)
    model.wpe.weight.requires_grad_(False)
    return model
