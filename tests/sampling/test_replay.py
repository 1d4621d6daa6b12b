"""A trace comes out again to the bit; what differs is found; another model scores the very ids, in the same windows."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import TraceError
from minigpt.models.gpt import GPT
from minigpt.sampling import engine
from minigpt.sampling.engine import generate
from minigpt.sampling.records import Replay, StepRecord
from minigpt.sampling.replay import check_tokens, repeat, rescore, rescored
from minigpt.sampling.trace import Trace, TraceHeader, TraceStep, TraceWriter, read_trace
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.probs import every_token


def traced(path: Path, toy: Checkpoint, prompt: str, samples: int = 1, **settings: Any) -> Trace:
    """A trace of the toy model, written and read."""
    config = SampleConfig(**{"top": 3, "seed": 5, "ignore_end_of_text": True, **settings})
    with TraceWriter.open(path, TraceHeader.of(toy, prompt, config, num_samples=samples)) as writer:
        for piece in generate(toy.model, toy.tokenizer, prompt, config, count=samples):
            writer.write(piece.record)
    return read_trace(path)


def replay(trace: Trace, toy: Checkpoint) -> Replay:
    result, texts = repeat(trace, toy)
    assert texts == ([end.text for end in trace.ends] if result.divergence is None else [])
    return result


def with_step(trace: Trace, index: int, change: Callable[[StepRecord], StepRecord]) -> Trace:
    steps = list(trace.steps)
    steps[index] = replace(steps[index], record=change(steps[index].record))
    return replace(trace, steps=tuple(steps))


# The same again


@pytest.mark.parametrize("samples", [1, 3, 40])
@pytest.mark.parametrize("prompt", ["The quick", "", "x" * 50])
def test_a_trace_comes_out_again_to_the_bit(tmp_path: Path, toy: Checkpoint, prompt: str, samples: int) -> None:
    trace = traced(tmp_path / "t", toy, prompt, samples, max_tokens=20, top_k=30, min_p=0.01)
    found = replay(trace, toy)
    assert found.agrees
    assert found.same_numbers
    assert (found.tokens, found.largest_difference, found.largest_difference_bits) == (20 * samples, 0, 0)
    assert found.divergence is None
    assert found.changes == ()


def test_samples_that_end_at_different_times_come_out_again(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The", 5, max_tokens=40, ignore_end_of_text=False, stop=("e", "o"))
    assert len({end.tokens for end in trace.ends}) > 1
    assert replay(trace, toy).same_numbers


# From before the random numbers were Philox's


@pytest.fixture
def older(tmp_path: Path, toy: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trace]:
    """A trace of format 2, drawn by torch's generator, as all were up to then."""

    def torch_uniforms(seed: int, step: int) -> Iterator[float]:
        generator = torch.Generator().manual_seed(seed)
        return iter(torch.rand(step + 100, generator=generator, dtype=torch.float64)[step:].tolist())

    def make(samples: int = 1, **settings: Any) -> Trace:
        path = tmp_path / "older"
        with monkeypatch.context() as patch:
            patch.setattr(engine, "uniforms", torch_uniforms)
            traced(path, toy, "The quick", samples, **settings)
        first, _, rest = path.read_text("ascii").partition("\n")
        values = {**json.loads(first), "number": 2}
        assert values.pop("generator") == "philox4x32-10"
        path.write_text(f"{json.dumps(values)}\n{rest}", "ascii")
        return read_trace(path)

    return make


@pytest.mark.parametrize("samples", [1, 5, 40])
def test_an_older_trace_is_repeated_by_its_recorded_ids(
    older: Callable[..., Trace], toy: Checkpoint, samples: int
) -> None:
    """Every number is compared, those after the filters too; and the texts end where they did."""
    settings = {"max_tokens": 20, "top_k": 30, "stop": ("e", "o"), "ignore_end_of_text": False}
    trace = older(samples, **settings)
    again = generate(toy.model, toy.tokenizer, "The quick", trace.header.settings, count=samples)
    drawn_now = [piece.record.token.id for piece in again if isinstance(piece.record, StepRecord)]
    assert drawn_now != [step.record.token.id for step in trace.steps]
    found = replay(trace, toy)
    assert (found.drawn, found.divergence, found.tokens) == (False, None, len(trace.steps))
    assert found.agrees
    assert found.same_numbers


def test_another_number_in_an_older_trace_is_a_finding(older: Callable[..., Trace], toy: Checkpoint) -> None:
    trace = older(max_tokens=6, top_k=30)

    def change(record: StepRecord) -> StepRecord:
        first = record.candidates[0]
        first = replace(first, after=(*first.after[:-1], first.after[-1] / 2))
        return replace(record, candidates=(first, *record.candidates[1:]))

    assert not replay(with_step(trace, 2, change), toy).agrees


def test_an_older_trace_that_ends_early_is_a_finding(older: Callable[..., Trace], toy: Checkpoint) -> None:
    trace = older(max_tokens=6)
    found = replay(replace(trace, steps=trace.steps[:4]), toy)
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.expected) == (5, None)


def test_an_older_trace_with_a_token_that_does_not_exist(
    older: Callable[..., Trace], toy: Checkpoint, make_model: Callable[..., GPT]
) -> None:
    trace = older(max_tokens=6)
    small = replace(toy, model=make_model(max(trace.header.prompt_ids) + 1))
    with pytest.raises(TraceError, match="but does not exist in"):
        repeat(with_step(trace, 3, lambda record: replace(record, token=replace(record.token, id=319))), small)


# What differs


def test_another_token_is_found_and_named(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=12)
    other = next(c for c in trace.steps[4].record.candidates if c != trace.steps[4].record.token)
    found = replay(with_step(trace, 4, lambda record: replace(record, token=other)), toy)
    assert not found.agrees
    assert found.divergence is not None
    assert (found.tokens, found.divergence.sample, found.divergence.step) == (4, 0, 5)
    assert found.divergence.expected == other
    assert found.divergence.drawn == trace.steps[4].record.token


@pytest.mark.parametrize("kept", [7, 15])
def test_a_trace_that_is_longer_or_shorter_than_its_replay(tmp_path: Path, toy: Checkpoint, kept: int) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=15)
    settings = replace(trace.header.settings, max_tokens=11)
    header = replace(trace.header, settings=settings)
    found = replay(replace(trace, header=header, steps=trace.steps[:kept]), toy)
    assert found.divergence is not None
    assert found.divergence.step == min(kept, 11) + 1
    assert (found.divergence.expected is None) == (kept == 7)
    assert (found.divergence.drawn is None) == (kept == 15)


def test_numbers_are_compared_and_rounding_is_not_a_finding(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=6)

    def moved(by: float) -> Replay:
        def change(record: StepRecord) -> StepRecord:
            first = replace(record.candidates[0], raw_prob=record.candidates[0].raw_prob + by)
            return replace(record, candidates=(first, *record.candidates[1:]))

        return replay(with_step(trace, 2, change), toy)

    little, much = moved(1e-7), moved(0.25)
    assert (little.agrees, little.same_numbers) == (True, False)
    assert little.largest_difference == pytest.approx(1e-7)
    assert (much.agrees, much.same_numbers) == (False, False)
    assert much.largest_difference == pytest.approx(0.25)
    assert much.divergence is None


def test_bits_are_compared_too(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=6)
    found = replay(with_step(trace, 5, lambda r: replace(r, surprisal_bits=r.surprisal_bits + 1)), toy)
    assert not found.agrees
    assert found.largest_difference == 0
    assert found.largest_difference_bits == pytest.approx(1)


def test_ids_that_are_not_those_of_the_prompt(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=2)
    with pytest.raises(TraceError, match="the ids of its prompt"):
        repeat(replace(trace, header=replace(trace.header, prompt="The slow")), toy)


def test_what_is_not_as_it_was_is_told(header: TraceHeader, toy: Checkpoint) -> None:
    older = replace(
        header, versions=replace(header.versions, torch="1.0"), dtype="bfloat16", threads=header.threads + 1
    )
    found = {change.name: change.then for change in older.changes(toy.model)}
    assert found == {"torch": "1.0", "dtype": "bfloat16", "threads": str(header.threads + 1)}


# The same tokens elsewhere


@pytest.fixture
def other(toy: Checkpoint, make_model: Callable[..., GPT]) -> Checkpoint:
    """Another model of the same tokens, with another context."""
    return replace(toy, model=make_model(toy.tokenizer.vocab_size, context=10, seed=9), path=Path("other"))


@pytest.mark.parametrize("prompt", ["The quick", "", "The quick brown fox jumps over the lazy dog, and over it"])
def test_the_same_ids_are_scored_as_inspection_scores_them(
    tmp_path: Path, toy: Checkpoint, other: Checkpoint, prompt: str
) -> None:
    trace = traced(tmp_path / "t", toy, prompt, 2, max_tokens=30, temperature=1.3)
    assert len(trace.steps) == 60
    rows = list(rescore(trace, other))
    assert [step for step, _, _ in rows] == sorted(trace.steps, key=lambda step: step.record.sample)
    for sample in (0, 1):
        ids = list(trace.header.prompt_ids)
        ids += [step.record.chosen.id for step in trace.steps if step.record.sample == sample and step.record.chosen]
        expected = list(every_token(other.model, other.tokenizer, ids, top=3))[len(trace.header.prompt_ids) :]
        found = [record for step, _, record in rows if step.record.sample == sample]
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.position == theirs.position
            assert mine.chosen is not None
            assert theirs.chosen is not None
            assert (mine.chosen.id, mine.chosen.rank) == (theirs.chosen.id, theirs.chosen.rank)
            assert mine.surprisal_bits == pytest.approx(theirs.surprisal_bits, abs=1e-4)


def test_a_tree_is_scored_branch_by_branch(tree_file: Path, toy: Checkpoint, tree: list[TraceStep]) -> None:
    trace = read_trace(tree_file)
    rows = list(rescore(trace, toy))
    assert sorted(step.node for step, _, _ in rows if step.node is not None) == list(range(14))
    texts = {None: "The quick"}
    for step in tree:
        assert step.record.chosen is not None
        texts[step.node] = texts[step.parent] + (step.record.chosen.text or "?")
    for step, before, _ in rows:
        if texts[step.parent].isascii() and "?" not in texts[step.parent]:
            assert before == texts[step.parent]
    found, drawn_texts = repeat(trace, toy)
    assert found.agrees
    assert drawn_texts == []
    assert found.tokens == 14
    assert not found.drawn
    assert found.largest_difference < 1e-5


def test_the_most_different_come_first_and_the_totals_are_over_all(
    tmp_path: Path, toy: Checkpoint, other: Checkpoint
) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", 2, max_tokens=12)
    found, whole = rescored(trace, other, 4), rescored(trace, other, 1000)
    differences = [abs(row.surprisal_bits - row.other_surprisal_bits) for row in whole.most_different]
    assert differences == sorted(differences, reverse=True)
    assert found.most_different == whole.most_different[:4]
    assert (found.tokens, len(whole.most_different)) == (24, 24)
    assert found.bits_per_token == pytest.approx(sum(end.bits_per_token for end in trace.ends) / 2)
    assert found.other_bits_per_token == pytest.approx(sum(r.other_surprisal_bits for r in whole.most_different) / 24)


def test_the_same_tokens_pass_the_check_and_others_are_named(
    tmp_path: Path, toy: Checkpoint, other: Checkpoint, char: Tokenizer, make_model: Callable[..., GPT]
) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=8)
    check_tokens(trace, other)
    strange = Checkpoint(Path("strange"), make_model(char.vocab_size), char)
    with pytest.raises(TraceError, match=r"Token \d+ begins “he quick” of the prompt in the trace, but is “.+” in str"):
        check_tokens(trace, strange)
    ascii_prompt = replace(trace, header=replace(trace.header, prompt="", prompt_ids=(char.end_of_text,)))
    with pytest.raises(
        TraceError, match=r"Token \d+ is “.+” in the trace, but (is “.+”|does not exist) in strange: their"
    ):
        check_tokens(ascii_prompt, strange)


def test_a_prompt_that_other_tokens_only_begin(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "The", max_tokens=2)
    begun = replace(trace, header=replace(trace.header, prompt_ids=trace.header.prompt_ids[:1], prompt="The"))
    with pytest.raises(TraceError, match=r"begins “.*e” of the prompt in the trace, but is “.+” in"):
        check_tokens(begun, toy)


def test_a_prompt_that_ends_inside_a_character_is_the_same(tmp_path: Path, toy: Checkpoint) -> None:
    ids = toy.tokenizer.encode("a🫠")[:-1]
    trace = traced(tmp_path / "t", toy, "The", max_tokens=2)
    cut = replace(trace, header=replace(trace.header, prompt_ids=tuple(ids), prompt=toy.tokenizer.decode(ids)))
    assert cut.header.prompt == "a\ufffd"
    check_tokens(cut, toy)
    assert len(list(rescore(cut, toy))) == 2


def test_an_empty_prompt_begins_with_the_same_end_of_text(tmp_path: Path, toy: Checkpoint) -> None:
    trace = traced(tmp_path / "t", toy, "", max_tokens=2)
    check_tokens(trace, toy)
    with pytest.raises(TraceError, match=r"Token 3 begins “” of the prompt"):
        check_tokens(replace(trace, header=replace(trace.header, prompt_ids=(3,))), toy)


def test_a_smaller_vocabulary_has_none_of_an_id(
    tmp_path: Path, toy: Checkpoint, make_model: Callable[..., GPT]
) -> None:
    trace = traced(tmp_path / "t", toy, "The quick", max_tokens=2)
    small = replace(toy, model=make_model(max(trace.header.prompt_ids)), path=Path("small"))
    with pytest.raises(TraceError, match="but does not exist in small"):
        check_tokens(trace, small)
