"""The English text that comes with every Python: its language reference, as pydoc shows it."""

from collections.abc import Iterable, Iterator
from importlib import import_module

from minigpt.errors import CorpusError

NAME = "Python's language reference (pydoc_data.topics)"


def python_reference() -> tuple[bytes, tuple[str, ...]]:
    """The topics as stored, for their hash (it differs between versions of Python), and one document per topic."""
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise CorpusError(
            "This Python comes without pydoc_data.topics, the text to train on when none is given.\n"
            "Give a text of your own: minigpt train notes.txt"
        ) from error
    return "\n\n".join(topics.values()).encode(), without_repeats(topics.values())


def without_repeats(texts: Iterable[str]) -> tuple[str, ...]:
    """`texts` without repeated paragraphs: a fifth are repeats, which would leak into validation."""
    seen: set[str] = set()
    documents = ("\n\n".join(new_paragraphs(text, seen)) for text in texts)
    return tuple(f"{document}\n" for document in documents if document)


def new_paragraphs(text: str, seen: set[str]) -> Iterator[str]:
    """The paragraphs of `text` that are not in `seen`, to which they are added."""
    for paragraph in text.split("\n\n"):
        if (words := paragraph.strip()) and words not in seen:
            seen.add(words)
            yield paragraph.strip("\n")
