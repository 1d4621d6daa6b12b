"""Guesses the next tokens of a text, so that one pass over the weights reads several.

A guess is what followed an earlier occurrence of the last tokens (Saxena, "Prompt Lookup Decoding", 2023). It holds if
it is the token that the draw gives, so it changes no token and no number, only how many passes a text takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.models.decoder import network_of
from minigpt.models.native import NativeGPT
from minigpt.models.network import is_gpt
from minigpt.settings import require
from minigpt.text.occurrences import MATCHES, LastPlaces

if TYPE_CHECKING:
    from minigpt.models.network import AnyModel

_COST = 0.4  # of reading one token more in a pass, in passes over one token: docs/log.md has measurements
_START = 0.25  # the share of guesses that hold, before any was tried
_WEIGHT = 1 / 12  # of the newest guess in that share
_REMEMBERED = 1 << 14  # of the prompt's tokens, the last


@dataclass(frozen=True)
class Lookahead:
    """At most this many guesses in a pass; from the text so far, or from a corpus where that has a longer match."""

    most: int
    corpus: LastPlaces | None = None


def require_lookahead(model: AnyModel) -> None:
    """Raise ConfigError unless C computes this model: only there is a token the same to the bit, read alone or not."""
    require(
        is_gpt(model) and isinstance(network_of(model), NativeGPT),
        f"{named('lookahead')} needs a GPT that is computed in C, on the CPU: leave it out here.",
    )


class TextPlaces:
    """Where the last tokens of a growing text occurred before."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}  # of what follows an n-gram, the last time that it occurred
        self._match, self._place = 0, 0

    def add(self, token: int) -> None:
        """Take the next token."""
        self._ids.append(token)
        self._match, now = 0, len(self._ids)
        for length in MATCHES:
            if length <= now:
                last = tuple(self._ids[-length:])
                if not self._match and last in self._places:
                    self._match, self._place = length, self._places[last]
                self._places[last] = now

    def following(self, most: int) -> tuple[int, list[int]]:
        """How many of the last tokens occurred before, one of MATCHES or 0, and what followed them there.

        A text that repeats its very end is guessed to go on repeating it.
        """
        if not self._match:
            return 0, []
        period = len(self._ids) - self._place
        return self._match, [self._ids[self._place + i % period] for i in range(most)]


class Guesses:
    """Guesses what follows a growing text, as many tokens as are worth their time.

    `read` guesses were handed out, `held` of them were drawn. For each length of a match, the share of guesses that
    hold is kept, also of guesses that are not handed out; so where they rarely hold, guessing costs nothing.
    """

    def __init__(self, ids: Sequence[int], how: Lookahead) -> None:
        self.read = self.held = 0
        self._most, self._corpus, self._text = how.most, how.corpus, TextPlaces()
        self._share = defaultdict[tuple[bool, int], float](lambda: _START)  # whether of the corpus, and the match
        self._ids: list[int] = []
        self._next: list[int] = []  # the best guess, by the match that it comes from
        self._match = (False, 0)
        self._open: list[int] = []  # handed out, and not drawn yet
        for token in ids[-_REMEMBERED:]:
            self.add(token)

    def add(self, token: int) -> None:
        """Take the next token of the text."""
        if self._next:
            self._share[self._match] += _WEIGHT * ((token == self._next[0]) - self._share[self._match])
        holds = bool(self._open) and token == self._open[0]
        self.held += holds
        self._open = self._open[1:] if holds else []
        self._text.add(token)
        self._ids = [*self._ids[1 - MATCHES[0] :], token]
        length, self._next = self._text.following(self._most)
        self._match = (False, length)
        if self._corpus is not None and length < MATCHES[0]:
            longer, following = self._corpus.following(self._ids, self._most)
            if longer > length and following:
                self._match, self._next = (True, longer), following

    def take(self, room: int) -> list[int]:
        """The guesses for the next tokens, `room` at most.

        One more pays as long as its chance to hold, per cost, is above that of those before it: the optimum of
        Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", 2023, with a chance for each
        length of a match.
        """
        of_corpus, matched = self._match
        chance, tokens, cost, count = 1.0, 1.0, 1.0, 0
        for _ in self._next[:room]:
            length = next(length for length in MATCHES if length <= matched + count)
            chance *= self._share[of_corpus, length]
            if chance * cost < _COST * tokens:
                break
            tokens, cost, count = tokens + chance, cost + _COST, count + 1
        self._open = self._next[:count]
        self.read += count
        return self._open
