"""The table of all kinds of model."""

from minigpt.errors import ConfigError, named
from minigpt.models.baselines import LSTM, RNN, Baseline, WindowNet
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig
from minigpt.settings.model import NAMES

Model = GPT | Baseline

_KINDS: dict[str, type[GPT] | type[Baseline]] = {"gpt": GPT, "lstm": LSTM, "rnn": RNN, "window": WindowNet}


def new_model(config: ModelConfig) -> Model:
    """A model of the configured kind, not yet initialised."""
    return _KINDS[config.model](config)


def gpt_of(model: Model, what: str) -> GPT:
    """The model, which must be a GPT for `what`, a phrase for the message. Raises ConfigError."""
    if isinstance(model, GPT):
        return model
    raise ConfigError(
        f"{what}, which only a GPT has: this model is {NAMES[model.config.model]}.\n"
        f"Name the folder of a GPT with {named('checkpoint')}."
    )
