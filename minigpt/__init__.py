"""minigpt: train a small GPT on your own text, and see the probabilities behind every token.

For programs and notebooks: `load` a checkpoint, `generate` from it, look at the `next_token` or `every_token` of a
text, or ask what else the command line asks; each answer is a record, which `show` shows. Names are imported when they
are first used, so that `import minigpt` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint, load
    from minigpt.checkpoint.snapshots import snapshots
    from minigpt.config import ModelConfig, SampleConfig, TrainConfig
    from minigpt.errors import MinigptError
    from minigpt.inspection.against import compare_next, compare_text
    from minigpt.inspection.attention import attend, attention_grid, head_summaries, shared_word
    from minigpt.inspection.attribution import leave_one_out
    from minigpt.inspection.choices import weigh
    from minigpt.inspection.embeddings import token_vectors
    from minigpt.inspection.history import history, history_by_layer
    from minigpt.inspection.lens import by_layer
    from minigpt.inspection.probs import every_token, next_token, text_score
    from minigpt.models.gpt import GPT
    from minigpt.render.notebook import show
    from minigpt.sampling.engine import generate
    from minigpt.text.single import single_token
    from minigpt.text.tokenizer import Tokenizer

_HOMES = {
    "GPT": "models.gpt",
    "Checkpoint": "checkpoint.folder",
    "MinigptError": "errors",
    "ModelConfig": "config",
    "SampleConfig": "config",
    "Tokenizer": "text.tokenizer",
    "TrainConfig": "config",
    "attend": "inspection.attention",
    "attention_grid": "inspection.attention",
    "by_layer": "inspection.lens",
    "compare_next": "inspection.against",
    "compare_text": "inspection.against",
    "every_token": "inspection.probs",
    "generate": "sampling.engine",
    "head_summaries": "inspection.attention",
    "history": "inspection.history",
    "history_by_layer": "inspection.history",
    "leave_one_out": "inspection.attribution",
    "load": "checkpoint.folder",
    "next_token": "inspection.probs",
    "shared_word": "inspection.attention",
    "show": "render.notebook",
    "single_token": "text.single",
    "snapshots": "checkpoint.snapshots",
    "text_score": "inspection.probs",
    "token_vectors": "inspection.embeddings",
    "weigh": "inspection.choices",
}

__all__ = [
    "GPT",
    "Checkpoint",
    "MinigptError",
    "ModelConfig",
    "SampleConfig",
    "Tokenizer",
    "TrainConfig",
    "attend",
    "attention_grid",
    "by_layer",
    "compare_next",
    "compare_text",
    "every_token",
    "generate",
    "head_summaries",
    "history",
    "history_by_layer",
    "leave_one_out",
    "load",
    "next_token",
    "shared_word",
    "show",
    "single_token",
    "snapshots",
    "text_score",
    "token_vectors",
    "weigh",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minigpt' has no attribute {name!r}")
    return getattr(import_module(f"minigpt.{_HOMES[name]}"), name)
