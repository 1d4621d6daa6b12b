"""The kinds of model in one table: a configuration in, a model of its kind out; a model in, what decodes it out."""

from minigpt.errors import ConfigError, named
from minigpt.models.baselines import LSTM, RNN, Baseline, WindowNet
from minigpt.models.batch_decoder import BatchDecoder
from minigpt.models.decoder import Decoder
from minigpt.models.gpt import GPT
from minigpt.models.stream_decoder import StreamBatchDecoder, StreamDecoder
from minigpt.settings import ModelConfig
from minigpt.settings.model import NAMES

Model = GPT | Baseline

_KINDS: dict[str, type[GPT] | type[Baseline]] = {"gpt": GPT, "lstm": LSTM, "rnn": RNN, "window": WindowNet}


def new_model(config: ModelConfig) -> Model:
    """Not yet initialised."""
    return _KINDS[config.model](config)


def decoder_for(model: Model) -> Decoder | StreamDecoder:
    """For one text."""
    return StreamDecoder(model) if isinstance(model, Baseline) else Decoder(model)


def batch_decoder_for(model: Model, batch: int) -> BatchDecoder | StreamBatchDecoder:
    """For `batch` texts of equal length that begin alike."""
    return StreamBatchDecoder(model, batch) if isinstance(model, Baseline) else BatchDecoder(model, batch)


def gpt_of(model: Model, what: str) -> GPT:
    """The model, which has to be a GPT: only that has what `what` says, in words. Raises ConfigError."""
    if isinstance(model, GPT):
        return model
    raise ConfigError(
        f"{what}, which only a GPT has: this model is {NAMES[model.config.model]}.\n"
        f"Name the folder of a GPT with {named('checkpoint')}."
    )
