"""The history that filters receive: the tokens of a growing text, as a tensor."""

from collections.abc import Iterable

import torch
from torch import Tensor


class SeenTokens:
    """The ids of a growing text in order: each once, or with repetitions if they are counted.

    A step adds one id without converting the others again.
    """

    def __init__(self, ids: Iterable[int] = (), *, counted: bool = False) -> None:
        first = list(ids) if counted else list(dict.fromkeys(ids))
        self._known, self._counted, self._length = set(first), counted, len(first)
        self._buffer = torch.tensor(first, dtype=torch.long)

    def add(self, token: int) -> None:
        """Add the next token of the text."""
        if token in self._known and not self._counted:
            return
        if self._length == len(self._buffer):  # twice the room, so that a token costs the same however long the text is
            self._buffer = torch.cat([self._buffer, torch.zeros(max(64, self._length), dtype=torch.long)])
        self._buffer[self._length] = token
        self._known.add(token)
        self._length += 1

    @property
    def ids(self) -> Tensor:
        """The ids [S], as a view that later tokens do not change."""
        return self._buffer[: self._length]
