"""A tree of texts over a model that expects the lecture's list, and a session in it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minigpt.errors import OutputError
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    from minigpt.explore.session import Session
    from minigpt.models.gpt import GPT
    from minigpt.sampling.tree import TokenTree
    from minigpt.text.tokenizer import Encoded


class WordTokenizer:
    """Tokens that a test chooses, in place of the real ones."""

    end_of_text = 0
    prefix: tuple[int, ...] = ()

    def __init__(self, words: Sequence[str | bytes]) -> None:
        self._words = [b"<|endoftext|>", *(word if isinstance(word, bytes) else word.encode() for word in words)]

    def encode_prompt(self, text: str) -> "Encoded":
        from minigpt.text.tokenizer import Encoded

        return Encoded(self.encode_whole(text) or [self.end_of_text], [])

    def encode_whole(self, text: str) -> list[int]:
        """The longest token first; letters that no token has are left out."""
        data, ids = text.encode(), list[int]()
        while data:
            fitting = [i for i, word in enumerate(self._words) if i and data.startswith(word)]
            best = max(fitting, key=lambda i: len(self._words[i]), default=None)
            ids += [] if best is None else [best]
            data = data[1 if best is None else len(self._words[best]) :]
        return ids

    def token_bytes(self, token: int) -> bytes:
        return self._words[token]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._words[token] for token in ids).decode("utf-8", "replace")


PROMPT = "To date, the cleverest thinker of all time was"
TRUNK = ("To", " date", ",", " cleverest", " thinker", " of", " all", " time", " was")
HOSTILE = (
    "[/]",
    "\x1b[31mred",
    "\u202eevil",
    "😀",
    b"\xe2\x80",
    b"\x94",
    "\n",
    "\t",
    ":smile:",
    " ",
    "速い茶色の狐は怠",
)


@pytest.fixture
def make_tree(constant_model: "Callable[..., GPT]", lecture_shares: dict[str, float]) -> "Callable[..., TokenTree]":
    """A tree over a model that expects the lecture's list after every text, and the other words hardly ever."""
    from minigpt.sampling.tree import TokenTree

    def make(prompt: str = PROMPT, seed: int = 1) -> TokenTree:
        rest = [*TRUNK, *HOSTILE]
        shares = [
            1e-6,
            *lecture_shares.values(),
            *(0.01 * 0.7**i for i in range(len(rest))),
        ]  # softmax makes them whole
        model = constant_model([math.log(share) for share in shares], context=64)
        return TokenTree(model, WordTokenizer([*lecture_shares, *rest]), prompt, seed=seed)  # type: ignore[arg-type]

    return make


@dataclass
class Saved:
    """Where the explorer saved its tree."""

    paths: list[Path] = field(default_factory=list)

    def save(self, path: Path) -> None:
        if path.name == "taken":
            raise OutputError("taken exists already.\nChoose another name.")
        self.paths.append(path)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys can write files, which belong in no clone."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def saved() -> Saved:
    return Saved()


@pytest.fixture
def session(make_tree: "Callable[..., TokenTree]", saved: Saved) -> "Session":
    """At the end of the lecture's text, with the default settings."""
    from minigpt.explore.session import Session

    return Session(make_tree(), SampleConfig(), saved.save)


@pytest.fixture
def press(session: "Session") -> Callable[..., None]:
    """Press keys one after the other: names such as enter, or `type:` and letters."""

    def send(*keys: str) -> None:
        for key in keys:
            if key.startswith("type:"):
                for letter in key.removeprefix("type:"):
                    session.press("space" if letter == " " else letter, letter)
            else:
                session.press(key, key if len(key) == 1 else " " if key == "space" else None)

    return send
