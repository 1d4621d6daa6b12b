"""From a prompt to the last piece: what seeds, ends, stops and a full context do."""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.sampling import engine
from minigpt.sampling.distribution import distribution
from minigpt.sampling.engine import Piece, by_sample, generate
from minigpt.sampling.filters import build_stages
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer

PROMPT = "The quick"


def run(model: GPT, tokenizer: Tokenizer, prompt: str = PROMPT, sample: int = 0, **settings: object) -> list[Piece]:
    return list(generate(model, tokenizer, prompt, SampleConfig(**settings), sample=sample))


def steps(pieces: list[Piece]) -> list[StepRecord]:
    return [piece.record for piece in pieces if isinstance(piece.record, StepRecord)]


def tokens(pieces: list[Piece]) -> list[int]:
    return [record.chosen.id for record in steps(pieces) if record.chosen]


def end(pieces: list[Piece]) -> SampleEnd:
    assert isinstance(pieces[-1].record, SampleEnd)
    return pieces[-1].record


def text(pieces: list[Piece]) -> str:
    return b"".join(piece.data for piece in pieces).decode("utf-8", "replace")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, bpe: Tokenizer) -> Callable[[list[int]], None]:
    """Make the model say these tokens, one after the other."""

    def use(ids: list[int]) -> None:
        class Scripted:
            def __init__(self, model: GPT, rows: int) -> None:
                self.ids: list[int] = []
                self.start, self.left = 0, list(ids)

            def prefill(self, prompt: list[int]) -> np.ndarray:
                self.ids = list(prompt)
                return self.next()

            def step(self, tokens: list[int]) -> np.ndarray:
                self.ids += tokens
                return self.next()

            def next(self) -> np.ndarray:
                logits = np.zeros(bpe.vocab_size)
                logits[self.left.pop(0)] = 100.0
                return logits[None]

        monkeypatch.setattr(engine, "decoder_for", Scripted)

    return use


# Seeds


def test_the_same_seed_gives_the_same_text(model: GPT, bpe: Tokenizer) -> None:
    first, same, other = (run(model, bpe, seed=s, max_tokens=30) for s in (7, 7, 8))
    assert tokens(first) == tokens(same)
    assert steps(first) == steps(same)
    assert tokens(first) != tokens(other)


@pytest.mark.parametrize("sample", [1, 4])
def test_a_sample_is_the_first_one_of_its_own_seed(model: GPT, bpe: Tokenizer, sample: int) -> None:
    one_of_many = run(model, bpe, seed=10, sample=sample, max_tokens=20)
    alone = run(model, bpe, seed=10 + sample, max_tokens=20)
    assert tokens(one_of_many) == tokens(alone)
    assert {record.sample for record in steps(one_of_many)} == {sample}
    assert (end(one_of_many).sample, end(one_of_many).seed) == (sample, 10 + sample)


@pytest.mark.parametrize("max_tokens", [1, 40])
def test_samples_of_a_batch_are_those_made_alone(model: GPT, bpe: Tokenizer, max_tokens: int) -> None:
    config = SampleConfig(max_tokens=max_tokens, seed=3, top_k=5)
    pieces = list(generate(model, bpe, PROMPT, config, sample=2, count=4))
    assert {piece.record.sample for piece in pieces} == {2, 3, 4, 5}
    for number in range(2, 6):
        mine = [piece for piece in pieces if piece.record.sample == number]
        alone = list(generate(model, bpe, PROMPT, config, sample=number))
        assert [piece.data for piece in mine] == [piece.data for piece in alone]
        assert tokens(mine) == tokens(alone)
        assert [piece.window_start for piece in mine] == [piece.window_start for piece in alone]
        assert end(mine).seed == end(alone).seed
        for one, other in zip(steps(mine), steps(alone), strict=True):
            assert one.entropy_bits == pytest.approx(other.entropy_bits, abs=1e-4)


def test_samples_of_a_batch_end_each_at_its_own_time(
    monkeypatch: pytest.MonkeyPatch, model: GPT, bpe: Tokenizer
) -> None:
    monkeypatch.setattr(engine, "BATCH", 3)
    config = SampleConfig(max_tokens=30, seed=5, stop=("e", "o"), temperature=1.5)
    pieces = list(generate(model, bpe, PROMPT, config, count=7))
    ends = {p.record.sample: p.record for p in pieces if isinstance(p.record, SampleEnd)}
    assert list(range(7)) == sorted(ends)
    assert len({e.tokens for e in ends.values()}) > 1
    for number, last in ends.items():
        alone = end(run(model, bpe, sample=number, max_tokens=30, seed=5, stop=("e", "o"), temperature=1.5))
        assert (last.text, last.tokens, last.stopped_by) == (alone.text, alone.tokens, alone.stopped_by)
        assert sum(isinstance(p.record, StepRecord) and p.record.sample == number for p in pieces) == last.tokens


def test_as_many_samples_as_asked_begin_at_once(model: GPT, bpe: Tokenizer) -> None:
    count = 10**11
    pieces = generate(model, bpe, PROMPT, SampleConfig(max_tokens=2, seed=3), count=count)
    first = list(next(by_sample(pieces, range(count))))
    assert tokens(first) == tokens(run(model, bpe, max_tokens=2, seed=3))


def test_the_watch_sees_the_logits_of_every_step(model: GPT, bpe: Tokenizer) -> None:
    seen = []
    config = SampleConfig(max_tokens=5)
    list(generate(model, bpe, PROMPT, config, count=2, watch=lambda n, ids, logits: seen.append((n, len(ids), logits))))
    start = len(bpe.encode(PROMPT))
    assert [(n, length) for n, length, _ in seen] == [(n, start + step) for step in range(5) for n in (0, 1)]
    assert all(logits.shape == (model.config.vocab_size,) for *_, logits in seen)


def test_a_watched_step_is_passed_on_before_the_next_is_drawn(model: GPT, bpe: Tokenizer) -> None:
    watched: list[int] = []
    config = SampleConfig(max_tokens=40)
    pieces = generate(model, bpe, PROMPT, config, count=2, watch=lambda n, ids, logits: watched.append(n))
    for drawn, piece in enumerate((p for p in pieces if isinstance(p.record, StepRecord)), start=1):
        assert len(watched) == drawn
        assert watched[-1] == piece.record.sample


@pytest.mark.parametrize("together", [1, 7, 16])
def test_steps_whose_records_are_made_together_are_those_made_one_by_one(
    monkeypatch: pytest.MonkeyPatch, model: GPT, bpe: Tokenizer, together: int
) -> None:
    config = SampleConfig(max_tokens=40, seed=3, stop=("e",), repetition_penalty=1.1)
    watched = list(generate(model, bpe, PROMPT, config, count=3, watch=lambda *step: None))
    monkeypatch.setattr(engine, "_TOGETHER", together)
    monkeypatch.setattr(engine, "_WAIT", math.inf)
    pieces = list(generate(model, bpe, PROMPT, config, count=3))
    assert [replace(p, record=without_time(p.record)) for p in pieces] == [
        replace(p, record=without_time(p.record)) for p in watched
    ]


def without_time(record: StepRecord | SampleEnd) -> StepRecord | SampleEnd:
    return replace(record, seconds=0.0, tokens_per_second=0.0) if isinstance(record, SampleEnd) else record


@pytest.mark.parametrize(("wait", "drawn"), [(math.inf, 16), (0.0, 1)])
def test_no_piece_waits_for_more_than_a_few_steps(
    monkeypatch: pytest.MonkeyPatch, model: GPT, bpe: Tokenizer, wait: float, drawn: int
) -> None:
    draws: list[int] = []
    monkeypatch.setattr(engine, "_WAIT", wait)
    monkeypatch.setattr(engine, "distribution", lambda *step: draws.append(1) or distribution(*step))
    next(generate(model, bpe, PROMPT, SampleConfig(max_tokens=40)))
    assert len(draws) == drawn


def test_the_global_generator_plays_no_part(model: GPT, bpe: Tokenizer) -> None:
    torch.manual_seed(1)
    first = tokens(run(model, bpe, max_tokens=10))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert tokens(run(model, bpe, max_tokens=10)) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_temperature_0_takes_the_most_likely_token_whatever_the_seed(model: GPT, bpe: Tokenizer) -> None:
    settings = {"temperature": 0.0, "max_tokens": 40, "ignore_end_of_text": True}
    pieces = run(model, bpe, seed=1, **settings)
    assert tokens(pieces) == tokens(run(model, bpe, seed=2, **settings))
    ids = bpe.encode(PROMPT)
    for token in tokens(pieces):
        with torch.no_grad():
            assert token == int(model(torch.tensor([ids[window_start(len(ids), 16) :]]))[0, -1].argmax())
        ids.append(token)
    assert {record.chosen.rank for record in steps(pieces) if record.chosen} == {1}
    assert end(pieces).top_token_share == 1.0


def test_draws_are_as_frequent_as_the_distribution_says(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    logits = torch.randn(bpe.vocab_size, generator=torch.Generator().manual_seed(0)).mul(2).tolist()
    settings = {"temperature": 0.9, "top_k": 8, "top_p": 0.98, "ignore_end_of_text": True}
    model = constant_model(logits)
    drawn: Counter[int] = Counter()
    for seed in range(300):
        drawn.update(tokens(run(model, bpe, seed=seed, max_tokens=4, top=1, **settings)))
    expected = distribution(np.array(logits), build_stages(SampleConfig(**settings))).final_V * 1200
    kept = [token for token in range(bpe.vocab_size) if expected[token] > 0]
    assert set(drawn) <= set(kept)
    assert 5 <= len(kept) <= 8
    assert min(expected[kept]) > 5
    chi_square = sum((drawn[token] - float(expected[token])) ** 2 / float(expected[token]) for token in kept)
    assert chi_square < len(kept) + 5 * math.sqrt(2 * len(kept))


# Ends


@pytest.mark.parametrize("count", [1, 2, 25])
def test_max_tokens_are_drawn(model: GPT, bpe: Tokenizer, count: int) -> None:
    pieces = run(model, bpe, max_tokens=count, ignore_end_of_text=True)
    assert len(pieces) == count + 1
    assert (end(pieces).tokens, end(pieces).stopped_by) == (count, "max-tokens")
    assert [record.position for record in steps(pieces)] == [len(bpe.encode(PROMPT)) + i for i in range(count)]
    assert end(pieces).text == PROMPT + bpe.decode(tokens(pieces))
    assert end(pieces).prompt == PROMPT


def test_the_pieces_are_the_text_beyond_the_prompt(model: GPT, bpe: Tokenizer) -> None:
    pieces = run(model, bpe, max_tokens=60, temperature=1.5, top_p=1.0, ignore_end_of_text=True)
    assert b"".join(piece.data for piece in pieces) == bpe.decode_bytes(tokens(pieces))
    assert PROMPT + text(pieces) == end(pieces).text


def test_end_of_text_ends_the_sample_and_is_not_shown(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([*bpe.encode("ab"), bpe.end_of_text, *bpe.encode("cdef")])
    pieces = run(model, bpe, max_tokens=10)
    assert text(pieces) == "ab"
    assert (end(pieces).stopped_by, end(pieces).tokens, end(pieces).text) == ("end-of-text", 3, PROMPT + "ab")
    assert tokens(pieces)[-1] == bpe.end_of_text


def test_end_of_text_may_be_ignored(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([*bpe.encode("ab"), bpe.end_of_text, *bpe.encode("cd")])
    pieces = run(model, bpe, max_tokens=5, ignore_end_of_text=True)
    assert (end(pieces).stopped_by, end(pieces).tokens) == ("max-tokens", 5)
    assert text(pieces) == "ab<|endoftext|>cd"


def test_end_of_text_as_the_last_allowed_token_is_an_end_of_text(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([bpe.end_of_text])
    pieces = run(model, bpe, max_tokens=1)
    assert (end(pieces).stopped_by, end(pieces).text) == ("end-of-text", PROMPT)


def test_a_stop_string_ends_the_sample_and_is_not_shown(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([bpe.encode(letter)[0] for letter in "xyENDz"])
    pieces = run(model, bpe, max_tokens=10, stop=("END",))
    assert [piece.data for piece in pieces] == [b"x", b"y", b"", b"", b"", b""]
    assert (end(pieces).stopped_by, end(pieces).tokens, end(pieces).text) == ("stop", 5, PROMPT + "xy")


def test_a_stop_string_in_the_prompt_does_not_stop(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([bpe.encode(letter)[0] for letter in "Dx"])
    pieces = run(model, bpe, "END EN", max_tokens=2, stop=("END",))
    assert (end(pieces).stopped_by, end(pieces).text) == ("max-tokens", "END ENDx")


def test_what_was_held_back_is_shown_at_the_end(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([bpe.encode(letter)[0] for letter in "xEN"])
    pieces = run(model, bpe, max_tokens=3, stop=("END",))
    assert [piece.data for piece in pieces] == [b"x", b"", b"", b"EN"]
    assert end(pieces).text == PROMPT + "xEN"


def test_what_was_held_back_is_shown_before_an_end_of_text(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    script([*(bpe.encode(letter)[0] for letter in "xEN"), bpe.end_of_text])
    pieces = run(model, bpe, max_tokens=9, stop=("END",))
    assert [piece.data for piece in pieces] == [b"x", b"", b"", b"EN", b""]


def test_a_split_emoji_appears_when_it_is_whole(script: Callable, model: GPT, bpe: Tokenizer) -> None:
    ids = [bpe.encode("\x00")[0], *bpe.encode("🦖")]  # unknown: its four bytes, some of them merged
    assert len(ids) >= 4
    script(ids)
    pieces = run(model, bpe, max_tokens=len(ids))
    assert [piece.data for piece in pieces] == [b"\x00", *[b""] * (len(ids) - 2), "🦖".encode(), b""]
    assert "\ufffd" not in "".join(piece.text for piece in pieces)


# The context


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT * 20])
def test_the_window_moves_beyond_the_context(model: GPT, bpe: Tokenizer, prompt: str) -> None:
    pieces = run(model, bpe, prompt, max_tokens=60, ignore_end_of_text=True, top_p=1.0, temperature=1.0)
    given = len(bpe.encode(prompt))
    assert [piece.window_start for piece in pieces[:-1]] == [window_start(given + i, 16) for i in range(60)]
    assert len({piece.window_start for piece in pieces}) > 5
    assert end(pieces).tokens == 60


def test_beyond_the_context_the_records_are_those_of_the_window(model: GPT, bpe: Tokenizer) -> None:
    pieces = run(model, bpe, max_tokens=50, ignore_end_of_text=True, temperature=1.0, top_p=1.0, top=5)
    ids = [*bpe.encode(PROMPT), *tokens(pieces)]
    for piece, record in zip(pieces, steps(pieces), strict=False):
        with torch.no_grad():
            probs = model(torch.tensor([ids[piece.window_start : record.position]]))[0, -1].double().softmax(-1)
        expected = probs[[c.id for c in record.candidates]].tolist()
        assert [c.raw_prob for c in record.candidates] == pytest.approx(expected, rel=1e-4)


def test_an_empty_prompt_starts_from_end_of_text(model: GPT, bpe: Tokenizer) -> None:
    pieces = run(model, bpe, "", max_tokens=5, temperature=1.0, top_p=1.0)
    first = steps(pieces)[0]
    with torch.no_grad():
        probs = model(torch.tensor([[bpe.end_of_text]]))[0, -1].double().softmax(-1)
    assert first.position == 1
    assert first.candidates[0].raw_prob == pytest.approx(probs.max().item(), rel=1e-5)
    assert end(pieces).text == text(pieces)


# Records


def test_the_history_is_the_whole_text(model: GPT, bpe: Tokenizer) -> None:
    """A penalty of the prompt's tokens: `(l / 2 or l * 2)`, also for those that the window has left behind."""
    settings = {"repetition_penalty": 2.0, "temperature": 1.0, "top_p": 1.0, "top": bpe.vocab_size}
    prompt = "lazy " + "dog " * 30
    (record,) = steps(run(model, bpe, prompt, max_tokens=1, **settings))
    seen = set(bpe.encode(prompt))
    assert not seen <= set(bpe.encode(prompt)[window_start(len(bpe.encode(prompt)), 16) :])
    logits = {c.id: c.logit for c in record.candidates}
    penalised = [v if i not in seen else v / 2 if v > 0 else v * 2 for i, v in sorted(logits.items())]
    expected = torch.tensor(penalised, dtype=torch.float64).softmax(-1)
    assert [c.prob for c in sorted(record.candidates, key=lambda c: c.id)] == pytest.approx(expected.tolist())


def test_the_end_sums_up_the_steps(model: GPT, bpe: Tokenizer) -> None:
    pieces = run(model, bpe, max_tokens=20, ignore_end_of_text=True, temperature=1.0, top_p=1.0)
    bits = [record.surprisal_bits for record in steps(pieces)]
    ranks = [record.chosen.rank for record in steps(pieces) if record.chosen]
    entropies = [record.entropy_bits for record in steps(pieces) if record.entropy_bits]
    assert end(pieces).bits_per_token == pytest.approx(math.fsum(b for b in bits if b is not None) / 20)
    assert end(pieces).entropy_bits_per_token == pytest.approx(math.fsum(entropies) / 20)
    assert end(pieces).top_token_share == ranks.count(1) / 20
    assert end(pieces).tokens_per_second == pytest.approx(20 / end(pieces).seconds)


def test_every_record_holds_as_many_candidates_as_asked(model: GPT, bpe: Tokenizer) -> None:
    for record in steps(run(model, bpe, max_tokens=20, top=3, temperature=2.0, top_p=1.0)):
        assert len(record.candidates) in (3, 4)
        assert record.chosen in record.candidates


@pytest.mark.parametrize("together", [1, 7, 16])
def test_what_was_drawn_before_an_error_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, make_model: Callable[..., GPT], bpe: Tokenizer, together: int
) -> None:
    model, read = make_model(bpe.vocab_size, 32), len(bpe.encode(PROMPT))
    monkeypatch.setattr(engine, "_TOGETHER", together)
    monkeypatch.setattr(engine, "_WAIT", math.inf)
    with torch.no_grad():
        model.wpe.weight[read + 9] = math.nan
    shown = deque[Piece]()
    with pytest.raises(CheckpointError, match="not finite"):
        shown.extend(generate(model, bpe, PROMPT, SampleConfig(max_tokens=40)))
    assert [record.position for record in steps(list(shown))] == list(range(read, read + 10))


def test_a_damaged_model_is_reported(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    model = make_model(bpe.vocab_size)
    with torch.no_grad():
        model.ln_f.bias[0] = math.nan
    with pytest.raises(CheckpointError, match="not finite"):
        run(model, bpe)
