"""What the tests of views share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from minigpt.models import torch_network


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rows and tokens of every pass through a GPT, in order."""
    seen: list[tuple[int, int]] = []
    made = torch_network.network

    def watched(model: Any) -> Any:
        network = made(model)
        read = network.read

        def noted(ids: Sequence[Sequence[int]], cache: Any, *, every: bool = False) -> np.ndarray:
            seen.append((len(ids), len(ids[0])))
            found: np.ndarray = read(ids, cache, every=every)
            return found

        network.read = noted
        return network

    monkeypatch.setattr(torch_network, "network", watched)
    return seen
