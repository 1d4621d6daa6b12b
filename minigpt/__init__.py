"""minigpt: train a small GPT on your own text, and see the probabilities behind every token.

    checkpoint = minigpt.load("checkpoints/demo")
    checkpoint.next("The value of")

Questions to a checkpoint are texts, and its answers are records, which a notebook shows as tables:

    load          opens a run's folder, a GPT-2 folder, or a GPT-2 of the Hub as a Checkpoint
    train         trains a Checkpoint on a text: train("notes.txt", minutes=3)
    Checkpoint    its methods:
                    next(text)           what may come next
                    every_token(text)    the distribution behind each token
                    score(text)          nats, bits per byte, perplexity
                    sample(text)         continues the text piece by piece, with a record per step
                    choose(text, ...)    how probable each of several continuations is
                    attend(text)         where each attention head looks
                    align(text)          which words of a source a model of pairs attends to
                    shared_word(a, b)    a word in two texts, layer by layer
                    by_layer(text)       what each layer would predict: the logit lens
                    attribution(text)    what each token did for the next one
                    without(text, ...)   what comes next with parts switched off
                    gates(text)          the gates and the state of an LSTM, or the state of an RNN
                    parts(text)          what each head and MLP contributes to a token
                    history(text)        what the snapshots of a training expected
                    compare(other, text) two models side by side
                    embeddings(a, ...)   the vectors of tokens, and the tokens nearest to them
                    positions()          the vectors of positions, and how similar they are
                    tokenize(text)       how a text is cut into tokens, and by which merges
    show          records as a notebook or a terminal shows them
    snapshots     the models that a run saved on the way
    MinigptError  what can go wrong; its text is the whole message
    GPT, Tokenizer, ModelConfig, TrainConfig, SampleConfig
                  a checkpoint's parts, and the settings

Names are imported when they are first used, so that `import minigpt` alone takes no time.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigpt.api import Checkpoint, load, train
    from minigpt.checkpoint.listing import snapshots
    from minigpt.errors import MinigptError
    from minigpt.models.gpt import GPT
    from minigpt.render.notebook import show
    from minigpt.settings import ModelConfig, SampleConfig, TrainConfig
    from minigpt.text.tokenizer import Tokenizer

_HOMES = {
    "GPT": "models.gpt",
    "Checkpoint": "api",
    "MinigptError": "errors",
    "ModelConfig": "settings",
    "SampleConfig": "settings",
    "Tokenizer": "text.tokenizer",
    "TrainConfig": "settings",
    "load": "api",
    "show": "render.notebook",
    "snapshots": "checkpoint.listing",
    "train": "api",
}

__all__ = [
    "GPT",
    "Checkpoint",
    "MinigptError",
    "ModelConfig",
    "SampleConfig",
    "Tokenizer",
    "TrainConfig",
    "load",
    "show",
    "snapshots",
    "train",
]

# Functions of models and ids, older than the methods of Checkpoint: where they are, and what replaces them.
_FORMER = {
    "attend": ("views.attention", "checkpoint.attend(text)"),
    "attention_grid": ("views.attention", "checkpoint.attend(text, layer=1)"),
    "by_layer": ("views.history", "checkpoint.by_layer(text)"),
    "compare_next": ("views.against", "checkpoint.compare(other, text)"),
    "compare_text": ("views.against", "minigpt.views.against.compare_text"),
    "every_token": ("views.probs", "checkpoint.every_token(text)"),
    "generate": ("sampling.engine", "checkpoint.sample(text)"),
    "head_summaries": ("views.attention", "checkpoint.attend(text)"),
    "history": ("views.history", "checkpoint.history(text)"),
    "history_by_layer": ("views.history", "minigpt.views.history.history_by_layer"),
    "leave_one_out": ("views.attribution", "checkpoint.attribution(text)"),
    "next_token": ("views.probs", "checkpoint.next(text)"),
    "shared_word": ("views.shared_word", "checkpoint.shared_word(text, other_text)"),
    "single_token": ("text.arguments", "checkpoint.tokenizer.encode(text)"),
    "text_score": ("views.probs", "checkpoint.score(text)"),
    "token_vectors": ("views.embeddings", "checkpoint.embeddings(token)"),
    "weigh": ("views.choices", "checkpoint.choose(text, choices)"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"minigpt.{_HOMES[name]}"), name)
    if name in _FORMER:
        home, instead = _FORMER[name]
        warnings.warn(f"minigpt.{name} is deprecated: use {instead}", DeprecationWarning, stacklevel=2)
        import_module("minigpt.render.notebook")  # so that the records show their tables
        return getattr(import_module(f"minigpt.{home}"), name)
    raise AttributeError(f"module 'minigpt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING", "import_module", "warnings"})
