"""minigpt: train a small GPT on your own text, and see the probabilities behind every token.

For programs: `load` a checkpoint, `generate` from it, look at the `next_token` or `every_token` of a text. Names are
imported when they are first used, so that `import minigpt` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint, load
    from minigpt.config import ModelConfig, SampleConfig, TrainConfig
    from minigpt.errors import MinigptError
    from minigpt.inspection.probs import every_token, next_token, text_score
    from minigpt.models.gpt import GPT
    from minigpt.render.notebook import show
    from minigpt.sampling.engine import generate
    from minigpt.text.tokenizer import Tokenizer

_HOMES = {
    "GPT": "models.gpt",
    "Checkpoint": "checkpoint.folder",
    "MinigptError": "errors",
    "ModelConfig": "config",
    "SampleConfig": "config",
    "Tokenizer": "text.tokenizer",
    "TrainConfig": "config",
    "every_token": "inspection.probs",
    "generate": "sampling.engine",
    "load": "checkpoint.folder",
    "next_token": "inspection.probs",
    "show": "render.notebook",
    "text_score": "inspection.probs",
}

__all__ = [
    "GPT",
    "Checkpoint",
    "MinigptError",
    "ModelConfig",
    "SampleConfig",
    "Tokenizer",
    "TrainConfig",
    "every_token",
    "generate",
    "load",
    "next_token",
    "show",
    "text_score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minigpt' has no attribute {name!r}")
    return getattr(import_module(f"minigpt.{_HOMES[name]}"), name)
