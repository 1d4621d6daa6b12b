"""The kinds of model in one table."""

from minigpt.errors import ConfigError
from minigpt.models.baselines import LSTM, RNN, Baseline, WindowNet
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig

Model = GPT | Baseline

_KINDS: dict[str, type[GPT] | type[Baseline]] = {"gpt": GPT, "lstm": LSTM, "rnn": RNN, "window": WindowNet}
NAMES = {"gpt": "a GPT-2", "lstm": "an LSTM", "rnn": "an RNN", "window": "a dense network over a window"}


def new_model(config: ModelConfig) -> Model:
    """Not yet initialised."""
    return _KINDS[config.model](config)


def gpt_of(model: Model, what: str) -> GPT:
    """The model, which has to be a GPT: only that has what `what` says, in words. Raises ConfigError."""
    if isinstance(model, GPT):
        return model
    raise ConfigError(
        f"{what}, which only a GPT has: this model is {NAMES[model.config.model]}.\n"
        "Name the folder of a GPT with --checkpoint."
    )
