"""The registry of views: the command line, its help, JSON, pages and notebooks all read it."""

from functools import cache
from importlib import import_module

from minigpt.render.face import Face

# Modules of this folder that show views, in the order of the views' flags in --help. To add a view, add a line.
_MODULES = (
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
    "attention",
    "embeddings",
    "positions",
)


@cache
def every_face() -> tuple[Face, ...]:
    """All views with their faces."""
    return tuple(face for name in _MODULES for face in import_module(f"minigpt.render.{name}").FACES)


def faces_of(command: str) -> list[Face]:
    """The faces of one command's views."""
    return [face for face in every_face() if face.view.command == command]
