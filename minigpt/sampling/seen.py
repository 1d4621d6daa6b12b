"""The different tokens of a text, kept as a tensor while the text grows: what filters are given as its history."""

from collections.abc import Iterable

import torch
from torch import Tensor


class SeenTokens:
    """The ids of a text, each once, in the order in which they came. A step adds one, and converts none again."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        first = list(dict.fromkeys(ids))
        self._known = set(first)
        self._buffer = torch.tensor(first, dtype=torch.long)

    def add(self, token: int) -> None:
        """The next token of the text."""
        if token in self._known:
            return
        count = len(self._known)
        if count == len(self._buffer):  # twice the room, so that a token costs the same however long the text is
            self._buffer = torch.cat([self._buffer, torch.zeros(max(64, count), dtype=torch.long)])
        self._buffer[count] = token
        self._known.add(token)

    @property
    def ids(self) -> Tensor:
        """[S], a view that later tokens do not change."""
        return self._buffer[: len(self._known)]
