"""A tree of texts: the numbers of full passes over each of them, at the cost of one token a step."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CheckpointError
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.engine import generate
from minigpt.sampling.filters import build_stages
from minigpt.sampling.trace import Trace, TraceHeader, TraceWriter, read_trace
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer

MakeModel = Callable[..., GPT]
CONFIG = SampleConfig(temperature=0.9, top_k=50, top_p=0.9, min_p=0.01, top=5)
RAW = SampleConfig(temperature=1.0, top_p=1.0)


@contextmanager
def counted(model: GPT, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tokens each forward pass inside was fed."""
    passes: list[int] = []
    one = CachedDecoder.step
    hook = model.register_forward_pre_hook(lambda _, arguments: passes.append(arguments[0].numel()))

    def step(self: CachedDecoder, tokens: list[int]) -> Any:
        before = len(passes)
        logits = one(self, tokens)
        if len(passes) == before:  # not a window that was read again
            passes.append(1)
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(CachedDecoder, "step", step)
        yield passes
    hook.remove()


def full_logits(model: GPT, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids[window_start(len(ids), model.config.context) :]]))[0, -1]


def assert_true(tree: TokenTree, model: GPT, node: int) -> None:
    """The node's record lists what a full pass over its text gives."""
    expected = full_logits(model, tree.ids(node))
    for candidate in tree.next(node, SampleConfig(top=model.config.vocab_size)).candidates:
        assert candidate.logit == pytest.approx(float(expected[candidate.id]), abs=1e-4)


def grow(tree: TokenTree, node: int, length: int, seed: int) -> list[int]:
    """A branch of `length` random tokens from `node`."""
    generator = torch.Generator().manual_seed(seed)
    branch = []
    for token in torch.randint(200, (length,), generator=generator).tolist():
        node = tree.append(node, token, RAW)
        branch.append(node)
    return branch


# The tree


def test_the_prompt_is_the_trunk(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The quick fox")
    ids = bpe.encode("The quick fox")
    assert tree.ids(tree.prompt_end) == ids
    assert tree.path(tree.prompt_end) == tuple(range(len(ids)))
    assert tree.text(tree.prompt_end) == "The quick fox"
    assert tree.children(tree.prompt_end) == ()
    assert tree.token(0).id == ids[0]


def test_an_empty_prompt_starts_from_end_of_text_as_sampling_does(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe)
    assert tree.ids(tree.prompt_end) == [bpe.end_of_text]
    assert tree.text(tree.prompt_end) == ""
    assert tree.text(tree.append(0, 65, RAW)) == bpe.decode([65])


def test_the_same_token_at_the_same_place_is_the_same_node(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    first, second = tree.append(tree.prompt_end, 70, RAW), tree.append(tree.prompt_end, 71, RAW)
    assert tree.append(tree.prompt_end, 70, CONFIG) == first
    assert tree.children(tree.prompt_end) == (first, second)
    assert [tree.path(child)[:-1] for child in (first, second)] == [tree.path(tree.prompt_end)] * 2


def test_draws_are_those_of_sampling(model: GPT, bpe: Tokenizer) -> None:
    config = SampleConfig(temperature=0.9, top_p=0.9, max_tokens=30, seed=7, top=5, ignore_end_of_text=True)
    sampled = [piece.record for piece in generate(model, bpe, "The", config)][:-1]
    tree = TokenTree(model, bpe, "The", seed=7)
    node = tree.prompt_end
    for record in sampled:
        node = tree.draw(node, config)
        assert tree.token(node).id == record.token.id
        assert tree.step(node).surprisal_bits == pytest.approx(record.surprisal_bits, abs=1e-4)
        assert tree.step(node).stages[-1].kept == record.stages[-1].kept


def test_each_draw_of_a_tree_has_the_next_number_wherever_it_is_made(
    constant_model: Callable[..., GPT], bpe: Tokenizer
) -> None:
    """After every token the model predicts the same, so what decides are the numbers alone: those of a sample."""
    model, config = constant_model([0.0] * bpe.vocab_size), SampleConfig(seed=7, max_tokens=9, ignore_end_of_text=True)
    sampled = [piece.record.token.id for piece in list(generate(model, bpe, "The", config))[:-1]]
    tree = TokenTree(model, bpe, "The", seed=7)
    drawn, node = [], tree.prompt_end
    for number in range(9):
        node = tree.draw(tree.prompt_end if number % 3 == 0 else node, config)
        drawn.append(tree.token(node).id)
    assert drawn == sampled
    assert len(tree.children(tree.prompt_end)) == 3


def test_a_damaged_model_is_refused_at_once(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match="not finite"):
        TokenTree(constant_model([math.nan] * bpe.vocab_size), bpe, "The")


def test_a_step_into_damaged_numbers_leaves_the_tree_as_it_was(make_model: MakeModel, bpe: Tokenizer) -> None:
    model = make_model(bpe.vocab_size)
    tree = TokenTree(model, bpe, "The fox")
    with torch.no_grad():
        model.wte.weight[200] = math.nan  # also a row of the output head
    with pytest.raises(CheckpointError, match="not finite"):
        tree.append(tree.prompt_end, 200, CONFIG)
    assert tree.children(tree.prompt_end) == ()


# What it costs


def test_a_step_feeds_one_token_from_any_node(
    make_model: MakeModel, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(bpe.vocab_size, 64)
    tree = TokenTree(model, bpe, "The quick brown fox")
    with counted(model, monkeypatch) as passes:
        first = grow(tree, tree.prompt_end, 10, 1)
        second = grow(tree, first[4], 10, 2)
        third = grow(tree, 2, 10, 3)  # within the prompt
        grow(tree, first[-1], 3, 4)
        grow(tree, second[-1], 3, 5)
    assert passes == [1] * 36
    for node in (*first, *second, *third):
        assert_true(tree, model, node)


def test_records_and_settings_need_no_forward_pass(model: GPT, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = TokenTree(model, bpe, "The fox")
    tip = grow(tree, tree.prompt_end, 4, 1)[-1]
    with counted(model, monkeypatch) as passes:
        for node in tree.path(tip):
            for config in (RAW, CONFIG, SampleConfig(temperature=0.0), SampleConfig(repetition_penalty=2.0)):
                tree.next(node, config)
                tree.next(node, config, first=7)
                tree.find(node, "e", config)
            tree.step(node)
            tree.bet_bits(node, 1, 2, 0.5)
    assert passes == []


@pytest.mark.parametrize("context", [1, 2, 3, 8, 9])
def test_branches_beyond_the_context_see_the_window_of_sampling(
    make_model: MakeModel, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, context: int
) -> None:
    model = make_model(bpe.vocab_size, context)
    tree = TokenTree(model, bpe, "The quick brown fox jumps over the lazy dog")
    with counted(model, monkeypatch) as passes:
        first = grow(tree, tree.prompt_end, 3 * context, 1)
        second = grow(tree, first[context // 2], 3 * context, 2)
        third = grow(tree, tree.prompt_end // 2, 2 * context, 3)
        fourth = grow(tree, second[context], 2, 4)
    assert max(passes) <= context
    for node in (0, 1, *first, *second, *third, *fourth):
        assert_true(tree, model, node)


def test_memory_is_bounded_and_what_had_to_go_is_read_again(
    make_model: MakeModel, bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(bpe.vocab_size, 16)
    tree = TokenTree(model, bpe, "The fox", kept_bytes=1)  # then as many as the context has
    first = grow(tree, tree.prompt_end, 10, 1)
    for seed in range(2, 7):
        grow(tree, first[3], 8, seed)
    assert len(tree._kept) == 16
    with counted(model, monkeypatch) as passes:
        tip = grow(tree, first[-1], 1, 9)[-1]
    assert sum(passes) <= 2 * 16
    for node in (*first, tip):
        assert_true(tree, model, node)


# Records


def test_a_record_is_that_of_the_same_text(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The quick fox")
    ids = tree.ids(tree.prompt_end)
    record = tree.next(tree.prompt_end, CONFIG)
    dist = distribution(full_logits(model, ids).numpy(), build_stages(CONFIG), ids)
    expected = step_record(dist, bpe.token_bytes, position=len(ids), top=CONFIG.top)
    assert [(c.id, c.rank, c.cut_by) for c in record.candidates] == [
        (c.id, c.rank, c.cut_by) for c in expected.candidates
    ]
    assert record.entropy_bits == pytest.approx(expected.entropy_bits, abs=1e-5)
    assert (record.position, record.token) == (len(ids), None)


def test_pages_of_a_record_add_up_and_follow_each_other(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    everything = tree.next(0, SampleConfig(top=bpe.vocab_size)).candidates
    for first in (0, 3, 300, bpe.vocab_size - 2):
        record = tree.next(0, CONFIG, first=first)
        assert [c.id for c in record.candidates] == [c.id for c in everything[first : first + 5]]
        assert [c.rank for c in record.candidates] == [c.rank for c in everything[first : first + 5]]
        for name in ("raw_prob", "prob"):
            listed = math.fsum(getattr(c, name) for c in record.candidates)
            assert listed + getattr(record.other, name) == pytest.approx(1, abs=1e-9)


def test_a_step_tells_how_its_token_was_expected(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The quick")
    assert tree.step(0) is None
    for node in range(1, tree.prompt_end + 1):
        record = tree.step(node)
        assert record.token.id == tree.token(node).id
        assert record.surprisal_bits == pytest.approx(tree.bits(node - 1, record.token.id), abs=1e-9)
        assert record.stages == ()
    child = tree.append(tree.prompt_end, 3, CONFIG)
    assert [stage.name for stage in tree.step(child).stages] == ["temperature", "top-k", "top-p", "min-p"]
    assert len(tree.step(child).candidates) in (5, 6)


def test_the_vocabulary_is_searched_by_text(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    record, count = tree.find(0, "FO", CONFIG)
    expected = [t for t in range(bpe.vocab_size) if b"fo" in bpe.token_bytes(t).lower()]
    assert count == len(expected) > 0
    assert {c.id for c in record.candidates} <= set(expected)
    ranks = {c.id: c.rank for c in tree.next(0, SampleConfig(top=bpe.vocab_size)).candidates}
    assert [c.rank for c in record.candidates] == sorted(ranks[c.id] for c in record.candidates)
    assert record.other.count == bpe.vocab_size - len(record.candidates)
    nothing, none = tree.find(0, "no token has this", CONFIG)
    assert (nothing.candidates, none) == ((), 0)
    assert nothing.other.raw_prob == pytest.approx(1, abs=1e-9)


def test_a_guess_stands_for_its_first_token(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    assert tree.first_token(" fox and more").id == bpe.encode(" fox and more")[0]
    assert tree.first_token("") is None


# Bets


def test_a_bet_is_a_distribution(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    for share in (0.1, 0.5, 0.9):
        total = math.fsum(2 ** -tree.bet_bits(0, token, 42, share) for token in range(bpe.vocab_size))
        assert total == pytest.approx(1, abs=1e-9)
    assert tree.bet_bits(0, 42, 42, 0.5) == 1.0
    assert tree.bet_bits(0, 42, 42, 0.25) == 2.0


def test_a_bet_of_the_models_own_share_costs_what_the_model_costs(model: GPT, bpe: Tokenizer) -> None:
    tree = TokenTree(model, bpe, "The")
    share = tree.next(0, RAW).candidates[0].raw_prob
    guess = tree.next(0, RAW).candidates[0].id
    for token in (guess, 1, 2, 3):
        assert tree.bet_bits(0, token, guess, share) == pytest.approx(tree.bits(0, token), abs=1e-9)


def test_a_lost_bet_against_a_certain_model_is_still_a_number(
    constant_model: Callable[..., GPT], bpe: Tokenizer
) -> None:
    model = constant_model([5000.0, *range(bpe.vocab_size - 1)])
    tree = TokenTree(model, bpe, "The")
    bits = tree.bet_bits(0, bpe.vocab_size - 1, 0, 0.5)
    assert 1.5 < bits < 2  # a bit for the half, and what the likeliest of the others costs


# Traces


def trace_of(tree: TokenTree, model: GPT, bpe: Tokenizer, folder: Path, prompt: str) -> Trace:
    """The tree's trace, written and read again."""
    checkpoint = Checkpoint(folder, model, bpe)
    header, steps = tree.as_trace(TraceHeader.of(checkpoint, prompt, CONFIG, made_by="explore"))
    with TraceWriter.open(folder / "tree.jsonl", header) as writer:
        for step in steps:
            writer.write(step.record, step)
    return read_trace(folder / "tree.jsonl")


def test_a_tree_is_a_trace(model: GPT, bpe: Tokenizer, checkpoint_folder: Path) -> None:
    tree = TokenTree(model, bpe, "The fox")
    first = grow(tree, tree.prompt_end, 3, 1)
    second = tree.draw(first[0], CONFIG)
    trace = trace_of(tree, model, bpe, checkpoint_folder, "The fox")
    assert (trace.header.prompt, list(trace.header.prompt_ids)) == ("The fox", bpe.encode("The fox"))
    assert [(step.node, step.parent) for step in trace.steps] == [
        (first[0], None),
        (first[1], first[0]),
        (first[2], first[1]),
        (second, first[0]),
    ]
    assert [step.record for step in trace.steps] == [tree.step(node) for node in (*first, second)]


def test_a_branch_in_the_middle_of_the_prompt_makes_its_rest_steps(
    model: GPT, bpe: Tokenizer, checkpoint_folder: Path
) -> None:
    tree = TokenTree(model, bpe, "The quick fox")
    tree.append(1, 200, CONFIG)
    trace = trace_of(tree, model, bpe, checkpoint_folder, "The quick fox")
    assert list(trace.header.prompt_ids) == bpe.encode("The quick fox")[:2]
    assert trace.header.prompt == bpe.decode(bpe.encode("The quick fox")[:2])
    parents = [step.parent for step in trace.steps]
    assert parents == [None, *range(2, tree.prompt_end), None]
    assert [step.record.token.id for step in trace.steps[:-1]] == bpe.encode("The quick fox")[2:]


def test_an_empty_prompt_is_an_empty_prompt_in_the_trace(model: GPT, bpe: Tokenizer, checkpoint_folder: Path) -> None:
    tree = TokenTree(model, bpe)
    tree.append(0, 65, CONFIG)
    trace = trace_of(tree, model, bpe, checkpoint_folder, "")
    assert (trace.header.prompt, trace.header.prompt_ids) == ("", (bpe.end_of_text,))
