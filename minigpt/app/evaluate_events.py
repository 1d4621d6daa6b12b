"""What `minigpt evaluate` says beside its scores."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """Files of the corpus that are not text."""

    names: Sequence[str]


@dataclass(frozen=True)
class Remark:
    """A sentence about how the corpus was read, or about what was measured."""

    sentence: str
