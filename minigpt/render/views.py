"""The registry of views: the command line, its help, JSON, pages and notebooks all read it."""

from functools import cache
from importlib import import_module

from minigpt.render.face import Face

# By command: the modules of this folder that show its views, in the order of the views' flags in --help. To add a view,
# add a line.
_MODULES = {
    "inspect-probs": (
        "candidates",
        "scores",
        "choices",
        "against",
        "tracked",
        "attribution",
        "gates",
        "without",
        "parts",
        "tokenization",
        "corpus",
    ),
    "inspect-attention": ("attention",),
    "inspect-embeddings": ("embeddings",),
}


@cache
def faces_of(command: str) -> tuple[Face, ...]:
    """The faces of one command's views."""
    return tuple(face for name in _MODULES[command] for face in import_module(f"minigpt.render.{name}").FACES)


def every_face() -> tuple[Face, ...]:
    """All views with their faces."""
    return tuple(face for command in _MODULES for face in faces_of(command))
