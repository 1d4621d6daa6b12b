"""Guessing the next tokens changes no token, no number and no record: whole outputs with it and without are compared.

What decides is equality to the bit, of everything but the seconds. Models have random weights; some are made to repeat
themselves, so that guesses hold.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from minigpt.errors import ConfigError
from minigpt.models import native
from minigpt.models.baselines import Baseline
from minigpt.models.gpt import GPT
from minigpt.models.native import NativeGPT
from minigpt.models.threads import most_threads, use_threads
from minigpt.sampling.check import CacheCheck
from minigpt.sampling.engine import Piece, generate
from minigpt.sampling.lookahead import Guesses, Lookahead, TextPlaces, require_lookahead
from minigpt.sampling.records import GuessedEnd, SampleEnd
from minigpt.settings import ModelConfig, SampleConfig
from minigpt.text.occurrences import LastPlaces
from minigpt.text.tokenizer import Tokenizer

PROMPT = "The quick brown fox. The quick brown fox. The quick"
FILTERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "nothing": {"temperature": 1.0, "top_p": 1.0},
    "the top token": {"temperature": 0.0},
    "nearly the top token": {"temperature": 0.05},
    "hot": {"temperature": 3.0, "top_p": 1.0},
    "top-k": {"top_k": 3},
    "min-p and typical-p": {"min_p": 0.05, "typical_p": 0.9},
    "n-sigma": {"top_n_sigma": 1.5},
    "repetition penalty": {"repetition_penalty": 1.3},
    "presence and frequency": {"presence_penalty": 0.4, "frequency_penalty": 0.2},
    "bias": {"bias": ((40, 2.5), (7, -4.0))},
    "other order": {"stages": ("top-p", "temperature"), "top_p": 0.8},
    "stop": {"stop": ("e", "qu")},
    "end of text": {"bias": ((0, 3.0),)},
    "endless": {"bias": ((0, 3.0),), "ignore_end_of_text": True},
}

pytestmark = pytest.mark.skipif(not native.has_library(), reason="forward.c was not compiled, without a C compiler")


def make_model(tokenizer: Tokenizer, context: int, *, seed: int = 0, spread: float = 0.3) -> NativeGPT:
    """Random weights; the larger `spread`, the less even the distributions, and the more a text repeats itself."""
    V, C, layers = tokenizer.vocab_size, 32, 2
    config = ModelConfig(vocab_size=V, context=context, layers=layers, heads=2, width=C)
    generator = np.random.default_rng(seed)
    shapes = {"wte.weight": (V, C), "wpe.weight": (context, C), "ln_f.weight": (C,), "ln_f.bias": (C,)}
    products = {"attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C), "mlp.c_fc": (C, 4 * C), "mlp.c_proj": (4 * C, C)}
    for layer in range(layers):
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h.{layer}.{norm}.weight": (C,), f"h.{layer}.{norm}.bias": (C,)}
        for name, shape in products.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
    weights = {
        name: spread * generator.standard_normal(shape, np.float32) + ("ln_" in name and name.endswith("weight"))
        for name, shape in shapes.items()
    }
    return NativeGPT(config, {name: weight.astype(np.float32) for name, weight in weights.items()})


def plain(piece: Piece) -> tuple[Any, ...]:
    """All of a piece but its seconds."""
    record = asdict(piece.record)
    for name in ("seconds", "tokens_per_second", "guesses", "guesses_held"):
        record.pop(name, None)
    return piece.data, record, piece.window_start


def both(
    model: Any, tokenizer: Tokenizer, config: SampleConfig, prompt: str = PROMPT, **how: Any
) -> tuple[list[Piece], list[Piece]]:
    """The pieces without guesses and with up to 15, which must be the same."""
    without = list(generate(model, tokenizer, prompt, config))
    guessed = list(generate(model, tokenizer, prompt, config, lookahead=Lookahead(15, **how)))
    assert list(map(plain, guessed)) == list(map(plain, without))
    return without, guessed


def end(pieces: list[Piece]) -> GuessedEnd:
    assert isinstance(pieces[-1].record, GuessedEnd)
    return pieces[-1].record


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every guess is read, however rarely guesses hold: the most wrong ones that there can be."""
    monkeypatch.setattr("minigpt.sampling.lookahead._COST", 0.0)


@pytest.fixture
def threads() -> Iterator[None]:
    before = most_threads()
    yield
    use_threads(before)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("context", [24, 256])
def test_every_filter_gives_the_same_records(bpe: Tokenizer, name: str, context: int) -> None:
    for seed in range(3):
        settings = {"max_tokens": 70, "seed": seed, "top": 5} | FILTERS[name]
        both(make_model(bpe, context, seed=seed), bpe, SampleConfig(**settings))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("context", [2, 3, 8, 17, 33])
def test_windows_advance_as_without_guesses(bpe: Tokenizer, context: int) -> None:
    for seed in range(4):
        without, _ = both(make_model(bpe, context, seed=seed, spread=0.6), bpe, SampleConfig(max_tokens=80, seed=seed))
        assert without[-1].window_start > 0


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("most", [1, 2, 7, 15])
def test_many_models_seeds_and_temperatures(bpe: Tokenizer, most: int) -> None:
    held = 0
    for seed, temperature in enumerate([0.0, 0.1, 0.3, 0.6, 1.0, 1.5] * 3):
        model = make_model(bpe, 40, seed=seed, spread=0.2 + 0.1 * (seed % 4))
        config = SampleConfig(max_tokens=60, seed=seed, temperature=temperature, top=3)
        without = list(generate(model, bpe, PROMPT, config))
        guessed = list(generate(model, bpe, PROMPT, config, lookahead=Lookahead(most)))
        assert list(map(plain, guessed)) == list(map(plain, without))
        held += end(guessed).guesses_held
    assert held > 100


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_threads(bpe: Tokenizer, count: int) -> None:
    use_threads(count)
    both(make_model(bpe, 64), bpe, SampleConfig(max_tokens=90, temperature=0.2))


@pytest.mark.parametrize("how", [{"dtype": "bfloat16"}, {"quantize": "int8"}])
@pytest.mark.usefixtures("always")
def test_smaller_weights(bpe: Tokenizer, model: GPT, how: dict[str, str]) -> None:
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    both(NativeGPT(model.config, weights, **how), bpe, SampleConfig(max_tokens=40, temperature=0.2))


def test_a_model_of_torch_that_c_computes(bpe: Tokenizer, model: GPT) -> None:
    require_lookahead(model)
    both(model, bpe, SampleConfig(max_tokens=40))


def test_another_model_is_refused(make_baseline: Callable[..., Baseline]) -> None:
    with pytest.raises(ConfigError, match="needs a GPT that is computed in C"):
        require_lookahead(make_baseline("lstm", 20))


@pytest.mark.usefixtures("always")
def test_samples_are_decoded_one_after_the_other_each_as_alone(bpe: Tokenizer) -> None:
    model, config = make_model(bpe, 48), SampleConfig(max_tokens=30, seed=4)
    pieces = list(generate(model, bpe, PROMPT, config, sample=2, count=3, lookahead=Lookahead(15)))
    alone = [piece for n in (2, 3, 4) for piece in generate(model, bpe, PROMPT, config, sample=n)]
    assert list(map(plain, pieces)) == list(map(plain, alone))


@pytest.mark.usefixtures("always")
def test_a_watcher_sees_the_same_logits(bpe: Tokenizer) -> None:
    model, config, seen = make_model(bpe, 32), SampleConfig(max_tokens=50, temperature=0.1), list[list[Any]]()
    for lookahead in (None, Lookahead(15)):
        seen.append([])
        watch = lambda sample, ids, logits: seen[-1].append((sample, tuple(ids), logits.tobytes()))  # noqa: E731
        list(generate(model, bpe, PROMPT, config, watch=watch, lookahead=lookahead))
    assert seen[0] == seen[1]


@pytest.mark.usefixtures("always")
def test_the_check_of_the_cache_reads_guessed_steps(bpe: Tokenizer) -> None:
    model = make_model(bpe, 32)
    check = CacheCheck(model)
    list(generate(model, bpe, PROMPT, SampleConfig(max_tokens=50), watch=check.watch, lookahead=Lookahead(15)))
    report = check.report()
    assert report.steps == 50
    assert report.largest_difference < 1e-4


def test_recorded_ids_are_taken_before_any_is_drawn(bpe: Tokenizer) -> None:
    model, config, recorded = make_model(bpe, 40), SampleConfig(max_tokens=30), {0: [5, 6, 7] * 6}
    without = list(generate(model, bpe, PROMPT, config, recorded=recorded))
    guessed = list(generate(model, bpe, PROMPT, config, recorded=recorded, lookahead=Lookahead(15)))
    assert list(map(plain, guessed)) == list(map(plain, without))


# How much is guessed


def test_a_text_that_repeats_itself_takes_few_passes(bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    model, reads = make_model(bpe, 512), list[int]()
    read = NativeGPT.read

    def counted(self: NativeGPT, ids: Any, cache: Any, *, every: bool = False) -> np.ndarray:
        reads.append(len(ids[0]))
        return read(self, ids, cache, every=every)

    monkeypatch.setattr(NativeGPT, "read", counted)
    config, recorded = SampleConfig(max_tokens=300), {0: [*range(20, 45)] * 12}
    last = end(list(generate(model, bpe, PROMPT, config, recorded=recorded, lookahead=Lookahead(15))))
    assert last.tokens == 300
    assert last.guesses == sum(reads[1:]) - len(reads[1:])
    assert last.guesses_held == 300 - len(reads)
    assert len(reads) < 75


def test_where_guesses_do_not_hold_hardly_any_is_read(bpe: Tokenizer) -> None:
    model = make_model(bpe, 512)
    config = SampleConfig(max_tokens=300, temperature=30.0, top_p=1.0)
    last = end(list(generate(model, bpe, PROMPT, config, lookahead=Lookahead(15))))
    assert last.guesses - last.guesses_held < 15


def test_no_guess_is_read_beyond_the_last_token(bpe: Tokenizer) -> None:
    last = end(list(generate(make_model(bpe, 64), bpe, "a" * 40, SampleConfig(max_tokens=1), lookahead=Lookahead(15))))
    assert (last.tokens, last.guesses) == (1, 0)


def test_a_guess_follows_the_longest_match_and_of_these_the_last() -> None:
    places = TextPlaces()
    for token in [1, 2, 3, 9, 2, 3, 7, 5, 3, 8, 1, 2, 3]:
        places.add(token)
    assert places.following(2) == (2, [7, 5])
    for token in [7, 4, 4]:
        places.add(token)
    assert places.following(5) == (1, [4, 4, 4, 4, 4])


def test_a_repeated_end_is_guessed_to_go_on() -> None:
    places = TextPlaces()
    for token in [6, 1, 2, 3, 1, 2, 3]:
        places.add(token)
    assert places.following(7)[1] == [1, 2, 3, 1, 2, 3, 1]


# From a corpus


def test_a_corpus_gives_the_guesses_that_the_text_does_not(bpe: Tokenizer) -> None:
    """The corpus is what the model says; so nearly all guesses hold."""
    model, config = make_model(bpe, 256), SampleConfig(max_tokens=120, temperature=1.0, seed=8)
    said = [piece.record.token.id for piece in list(generate(model, bpe, PROMPT, config))[:-1]]  # type: ignore[union-attr]
    corpus = LastPlaces(np.array([3, 1, 4, *bpe.encode(PROMPT), *said, 1, 5], np.uint16), bpe.vocab_size)
    _, guessed = both(model, bpe, config, corpus=corpus)
    assert end(guessed).guesses_held > 60


@pytest.mark.parametrize("size", [0, 1, 2, 9, 500, 300_000])
def test_places_in_a_corpus_of_any_size(size: int) -> None:
    """What is found was searched for. Not every place is, because n-grams whose hashes collide replace each other."""
    corpus = np.random.default_rng(size).integers(50, size=size).astype(np.uint16)
    places, ids, longest = LastPlaces(corpus, 50), corpus.tolist(), list[bool]()
    for at in range(0, size - 8, 1 + size // 100):
        length, following = places.following([77, *ids[at : at + 8]], 5)
        longest.append(length == 8)
        asked = ids[at + 8 - length : at + 8]
        found = [n for n in range(length, size + 1) if ids[n - length : n] == asked]
        assert following in [ids[n : n + 5] for n in found]
    assert sum(longest) >= 0.5 * len(longest)
    assert places.following([60, 61, 62], 5) == (0, [])


@pytest.mark.usefixtures("always")
def test_a_corpus_is_looked_up_where_it_matches_more() -> None:
    corpus = LastPlaces(np.array([1, 2, 3, 4, 5, 6, 7], np.uint16), 8)
    guesses = Guesses([9, 9, 3, 4], Lookahead(3, corpus))
    for token in (5, 6):
        guesses.add(token)
    assert guesses.take(3) == [7]


def test_ids_beyond_the_vocabulary_are_no_guesses() -> None:
    assert LastPlaces(np.array([1, 2, 3, 4, 70_000, 5], np.uint32), 70_000).following([2, 3], 3) == (2, [4])


def test_an_end_says_how_many_guesses_held(bpe: Tokenizer) -> None:
    without, guessed = both(make_model(bpe, 64), bpe, SampleConfig(max_tokens=20))
    assert type(without[-1].record) is SampleEnd
    assert 0 <= end(guessed).guesses_held <= end(guessed).guesses
