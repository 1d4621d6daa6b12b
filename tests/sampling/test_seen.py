"""The history as it grows: each token once, and no step converts the text again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from minigpt.models.gpt import GPT
from minigpt.sampling import engine, tree
from minigpt.sampling.distribution import Distribution, distribution
from minigpt.sampling.engine import generate
from minigpt.sampling.filters import SamplingStage, SeenTokens, build_stages
from minigpt.sampling.records import StepRecord
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer

CONFIG = SampleConfig(repetition_penalty=1.3, max_tokens=100, ignore_end_of_text=True)
Histories = list[Sequence[int] | np.ndarray]


def test_each_token_is_kept_once_in_the_order_in_which_it_came() -> None:
    seen = SeenTokens([5, 3, 5])
    early = seen.ids
    for token in [3, 9, *range(100, 300), 9]:
        seen.add(token)
    assert seen.ids.tolist() == [5, 3, 9, *range(100, 300)]
    assert early.tolist() == [5, 3]


def test_counted_tokens_are_kept_as_often_as_they_come() -> None:
    seen = SeenTokens([5, 3, 5], counted=True)
    early = seen.ids
    for token in [3] * 200:
        seen.add(token)
    assert seen.ids.tolist() == [5, 3, 5] + [3] * 200
    assert early.tolist() == [5, 3, 5]


def test_a_text_without_a_token_has_an_empty_history() -> None:
    assert SeenTokens().ids.tolist() == []
    assert SeenTokens().ids.dtype == np.int64


def test_room_is_made_seldom() -> None:
    seen, storages = SeenTokens([0]), []
    for token in range(1, 5000):
        seen.add(token)
        storages.append(seen.ids.ctypes.data)
    moves = sum(one != other for one, other in pairwise(storages))
    assert moves <= 7  # 64 and twice as many each time


def test_the_penalty_is_the_same_of_a_text_and_of_its_different_tokens() -> None:
    stages = build_stages(SampleConfig(repetition_penalty=2.0, temperature=0.7, top_p=0.9))
    logits_V = np.array([2.0, -1.0, 0.5, 0.25])
    whole, once = (distribution(logits_V, stages, history) for history in ([1, 0, 1, 1], SeenTokens([1, 0, 1, 1]).ids))
    assert once.final_V.tolist() == whole.final_V.tolist()


@pytest.fixture
def histories(monkeypatch: pytest.MonkeyPatch) -> Histories:
    """What each distribution is given as the history."""
    given: Histories = []

    def noted(
        logits_V: np.ndarray, stages: Sequence[SamplingStage] = (), history: Sequence[int] | np.ndarray = ()
    ) -> Distribution:
        given.append(history)
        return distribution(logits_V, stages, history)

    for module in (engine, tree):
        monkeypatch.setattr(module, "distribution", noted)
    return given


def test_a_frequency_penalty_is_given_every_token_in_samples_and_trees(
    model: GPT, bpe: Tokenizer, histories: Histories
) -> None:
    config = replace(CONFIG, frequency_penalty=-5.0, max_tokens=30)  # which makes it repeat itself
    ids = bpe.encode("The quick")
    pieces = list(generate(model, bpe, "The quick", config))
    drawn = [piece.record.token.id for piece in pieces if isinstance(piece.record, StepRecord) and piece.record.token]
    assert len(set(drawn)) < len(drawn)
    assert histories[-1].tolist() == [*ids, *drawn[:-1]]  # type: ignore[union-attr]
    grown = TokenTree(model, bpe, "The quick")
    node = grown.append(grown.append(grown.prompt_end, 7, config), 7, config)
    grown.next(node, config)
    assert list(histories[-1]) == [*ids, 7, 7]


@pytest.mark.parametrize("count", [1, 3])
def test_a_sample_converts_no_text(model: GPT, bpe: Tokenizer, histories: Histories, count: int) -> None:
    pieces = list(generate(model, bpe, "The quick", CONFIG, count=count))
    assert len(histories) == count * CONFIG.max_tokens
    assert all(isinstance(history, np.ndarray) and len(history) <= bpe.vocab_size for history in histories)
    ids = bpe.encode("The quick")
    for number in range(count):
        drawn = [p.record.token.id for p in pieces if p.record.sample == number and getattr(p.record, "token", None)]
        for step, history in enumerate(histories[number::count]):
            assert history.tolist() == list(dict.fromkeys([*ids, *drawn[:step]]))


def test_a_tree_that_walks_on_converts_no_text_and_a_jump_is_right(
    model: GPT, bpe: Tokenizer, histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Counted(SeenTokens):
        def __init__(self, ids: Sequence[int] = (), *, counted: bool = False) -> None:
            made.append(len(ids))
            super().__init__(ids, counted=counted)

    grown = TokenTree(model, bpe, "The quick")
    monkeypatch.setattr(tree, "SeenTokens", Counted)
    node = grown.prompt_end
    for _ in range(20):
        node = grown.draw(node, CONFIG)
    assert len(made) == 1
    assert isinstance(histories[-1], np.ndarray)
    middle = grown.path(node)[len(bpe.encode("The quick")) + 4]
    for there in (node, middle, node):
        grown.next(there, CONFIG)
        assert histories[-1].tolist() == list(dict.fromkeys(grown.ids(there)))  # type: ignore[union-attr]
