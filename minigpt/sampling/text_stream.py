"""Turns the bytes of tokens into whole characters, and holds back what may belong to a stop string."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Releases a text as it is generated.

    A character split over several tokens is held back until it is complete, and text that may be the start of a stop
    string until that is ruled out. `stopped` turns True when a stop string has appeared, which is not released.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stops = [text.encode() for text in stop]
        self._held = b""
        self.stopped = False

    def feed(self, data: bytes) -> bytes:
        """Take a token's bytes; return those that can be shown now."""
        if not self._held and not self._stops and data.isascii():
            return data
        self._held += data
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            self._held = self._held[: min(found)]
            return self.flush()
        return self._release(len(self._held) - max(_incomplete(self._held), self._possible_stop()))

    def flush(self) -> bytes:
        """End the text: returns everything that is still held back."""
        return self._release(len(self._held))

    def _release(self, count: int) -> bytes:
        released, self._held = self._held[:count], self._held[count:]
        return released

    def _possible_stop(self) -> int:
        """The length of the longest suffix of the held text that is a prefix of a stop string."""
        return max((_overlap(self._held, stop) for stop in self._stops), default=0)


def _overlap(text: bytes, stop: bytes) -> int:
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


def _incomplete(text: bytes) -> int:
    """The number of bytes at the end of `text` that begin a character which further bytes may complete."""
    if text.isascii():
        return 0
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[-4:])
    return len(decoder.getstate()[0])
