"""A comparison of tiny models on a few sentences."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.contest.comparison import begin, save_new
from minigpt.contest.contest import Contest
from minigpt.settings import ContestSettings
from minigpt.text.blocks import no_progress
from minigpt.text.corpus import Corpus, corpus_of

CPU = torch.device("cpu")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "a", "dog", "came", "by"]


@pytest.fixture
def text() -> Corpus:
    source = random.Random(1)
    return corpus_of("notes", [" ".join(source.choice(WORDS) for _ in range(2000))])


@pytest.fixture
def contest(small_contest: None, text: Corpus, tmp_path: Path) -> Callable[..., Contest]:
    """One that has just begun, in a folder of its own."""

    def start(*, quick: bool = False) -> Contest:
        folder = tmp_path / f"compare-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        wanted = ContestSettings(minutes=0.06 if quick else 0.09, quick=quick)
        comparison, plan = begin(text, wanted, CPU, None, lambda *_: no_progress)
        save_new(folder, comparison, plan)
        return Contest(folder, comparison, plan, CPU)

    return start
