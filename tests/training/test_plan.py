"""What a time budget does with a text that takes long to tokenize, and with a model that is no GPT."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from minigpt.errors import ConfigError, CorpusError, spelled
from minigpt.settings import Choices, TrainConfig
from minigpt.text.corpus import Corpus, Split, corpus_of
from minigpt.text.tokenizer import Tokenizer
from minigpt.training import pace as pace_module
from minigpt.training import search as search_module
from minigpt.training import speed as speed_module
from minigpt.training.plan import BASELINE_RATES, Plan, fitting_context, make_plan
from minigpt.training.search import Chosen, choose
from minigpt.training.speed import Speed, TextSpeed, measure_text

SAID = Choices(layers=1, heads=1, width=16, context=16, batch_size=2, vocab_size=300)
CPU = torch.device("cpu")


@pytest.fixture
def long_corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """100,000 characters, which are tokenized at 100 a second and learned from at 50."""
    speed = TextSpeed({300: 1.5}, learned=50.0, encoded=100.0)
    monkeypatch.setattr(pace_module, "measure_text", lambda *arguments: speed)
    monkeypatch.setattr(search_module, "measure_speed", lambda *arguments: Speed(((16, 1e9),)))
    return corpus_of("many", ["all work and no play " * 5000])


def chosen(corpus: Corpus, seconds: float, choices: Choices = SAID, *kept: str) -> Chosen:
    return choose(corpus, None, choices, TrainConfig(), seconds, CPU, kept)


def test_a_text_that_takes_too_long_is_used_in_part_and_that_is_said(long_corpus: Corpus) -> None:
    plans = chosen(long_corpus, 600.0)  # 1,050 seconds are needed, and 200 are to be had
    assert plans.choices.part == 0.19
    assert plans.most_learned == 16_384  # the fewest; 3,750 could be had in an eighth of the time
    assert "would take about 17.5 minutes here" in spelled(plans.note)
    assert "19% of it is used, in pieces from all over it (part=0.19)" in spelled(plans.note)
    assert plans.settings.seconds == pytest.approx(150)  # a quarter of it, at least
    assert plans.settings.steps_suffice == (plans.runs[0].share < 1)
    assert plans.runs[0].epochs > 1  # of that part


def test_shorter_windows_come_first_unless_they_cost_too_much_or_end_the_run(
    long_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = chosen(long_corpus, 4000.0)
    assert found.settings.context_warmup == found.runs[0].context_warmup == pace_module.CONTEXT_WARMUP
    assert found.runs[0].windows == [4, 8, 16]
    compiled = choose(long_corpus, None, SAID, TrainConfig(compile=True), 4000.0, CPU)
    patient = choose(long_corpus, None, SAID, TrainConfig(patience=3), 4000.0, CPU)
    kept = chosen(long_corpus, 4000.0, SAID, "context_warmup")
    for other in (compiled, patient, kept):
        assert other.settings.context_warmup == other.runs[0].context_warmup == 0
        assert other.runs[0].windows == [16]
    monkeypatch.setattr(search_module, "measure_rate", lambda *arguments: 1000.0)
    assert chosen(long_corpus, 4000.0, replace(SAID, model="rnn", heads=None)).settings.context_warmup == 0


def test_less_than_a_second_of_tokenizing_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of("little", ["all work and no play " * 50])
    split = Split(corpus, None, 0.1, 1.0)
    speed = TextSpeed({300: 1.5}, learned=50.0, encoded=split.characters / 0.44)
    _, _, note = pace_module.tokenizable(split, speed, 1.0, cuts=True)
    assert "would take about 0.4 seconds here, more than a third of the time" in note


def test_a_text_that_fits_is_used_whole_and_its_time_is_counted(long_corpus: Corpus) -> None:
    plans = chosen(long_corpus, 4000.0)
    assert (plans.choices.part, plans.note) == (1.0, "")
    assert plans.settings.seconds == pytest.approx(4000 - 1050 - 25_000 / 50, rel=0.02)
    assert plans.most_learned == 25_000


def test_a_part_that_was_given_stays(long_corpus: Corpus) -> None:
    given = Choices(**{**vars(SAID), "part": 0.9})
    plans = chosen(long_corpus, 600.0, given, "part")
    assert (plans.choices.part, plans.note) == (0.9, "")
    assert plans.settings.seconds is not None


@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0])
def test_however_short_the_time_a_run_that_can_train_trains(long_corpus: Corpus, seconds: float) -> None:
    plans = chosen(long_corpus, seconds)
    assert plans.settings.seconds == pytest.approx(seconds / 4)
    assert 0 < plans.choices.part < 1
    assert plans.settings.steps >= 1


def test_a_vocabulary_that_is_given_is_planned_with_even_where_a_sample_cannot_fill_it(long_corpus: Corpus) -> None:
    plans = chosen(long_corpus, 30.0, Choices(**{**vars(SAID), "vocab_size": 5000}))
    assert [run.vocab_size for run in plans.runs[:1]] == [5000]
    assert plans.choices.vocab_size == 5000


def test_a_tokenizer_learns_from_no_more_than_there_is_time_for() -> None:
    text = corpus_of("many", [f"{number:05} is a number. " * 5 for number in range(3000)])
    whole, bounded = (
        make_plan(text, None, Choices(vocab_size=300), TrainConfig(), most_learned=most) for most in (None, 70_000)
    )
    assert whole.notes == ()
    (note,) = bounded.notes
    assert note.startswith("The tokenizer is learned from about 70,000 of the 2")


class TestMeasuringAText:
    TEXT = ("some text to go through, and some more of it; " * 50,) * 40

    def test_lengths_are_those_of_the_vocabularies_that_it_can_fill(self) -> None:
        varied = " ".join(f"{number * 7919 % 99_991}" for number in range(20_000))
        found = measure_text([varied], (300, 400, 100_000), 60.0)
        assert list(found.lengths) == [300, 400]
        assert 1 < found.lengths[300] < found.lengths[400]
        assert found.learned > 0
        assert found.encoded > 0

    def test_of_a_text_that_can_fill_none_it_is_what_there_is(self) -> None:
        (size,) = measure_text(["ab ab"], (512, 1024), 60.0).lengths
        assert 257 <= size < 300

    def test_without_time_it_tries_a_little_of_the_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        learned = list[int]()

        def learn(parts: Sequence[str], count: int) -> list[tuple[str, str]]:
            learned.append(sum(map(len, parts)))
            return []

        monkeypatch.setattr(speed_module, "learned_merges", learn)
        measure_text(self.TEXT, (512,), 0.0)
        assert learned == [1000]
        measure_text(self.TEXT, (512,), 1e9)
        assert learned[1:] == sorted(learned[1:])
        assert learned[-1] == pytest.approx(sum(map(len, self.TEXT)) / 2, rel=0.1)

    def test_a_given_tokenizer_is_the_one_that_is_tried(self, bpe: Tokenizer) -> None:
        found = measure_text(self.TEXT, (512,), 60.0, bpe)
        assert list(found.lengths) == [bpe.vocab_size]

    def test_an_empty_text_is_no_trouble(self) -> None:
        assert measure_text([""], (512,), 60.0).encoded > 0


# Other kinds of model

TEXT = corpus_of("some", ["all work and no play makes Jack a dull boy. " * 200])


def planned(choices: Choices, **settings: str) -> Plan:
    return make_plan(TEXT, None, choices, TrainConfig(**settings))  # type: ignore[arg-type]


def test_without_a_shape_of_its_own_it_has_the_weights_of_the_presets_gpt(kind: str) -> None:
    gpt, other = planned(Choices()), planned(Choices(model=kind))
    assert other.model.parameter_count() == pytest.approx(gpt.model.parameter_count(), rel=0.05)
    assert (other.model.context, other.model.vocab_size) == (gpt.model.context, gpt.model.vocab_size)
    assert (other.train.optimizer, other.train.learning_rate) == ("adamw", BASELINE_RATES[kind])


def test_a_shape_that_is_given_stays(kind: str) -> None:
    model = planned(Choices(model=kind, layers=1, width=24, context=16)).model
    assert (model.layers, model.width, model.context) == (1, 24, 16)


@pytest.mark.parametrize(
    ("said", "settings", "message"),
    [
        (
            {"model": "gru"},
            {},
            "model= must be gpt, lstm, rnn, window, transformer, seq2seq or seq2seq-attention, not gru.",
        ),
        ({"model": "lstm", "heads": 2}, {}, "heads=2 does not go with model=lstm"),
        ({"window": 4}, {}, "window= goes with model=window, not with model=gpt."),
        ({"model": "rnn"}, {"positions": "none"}, "positions=none is for a GPT: model=rnn has no table"),
    ],
)
def test_what_only_another_kind_has_is_refused(said: dict[str, Any], settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(Choices(**said), **settings)


def test_with_minutes_it_gets_the_weights_and_the_text_of_the_gpt_that_fits_and_its_own_steps(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(search_module, "measure_speed", lambda *arguments: Speed(((64, 5e8),)))
    # Both plans have the same time left, however busy the machine is.
    reading = pace_module.measure_reading(Split(TEXT, None), Choices(), None, 1.0)
    monkeypatch.setattr(search_module, "measure_reading", lambda *arguments: reading)
    monkeypatch.setattr(search_module, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    gpt = choose(TEXT, None, Choices(), TrainConfig(), 60.0, CPU)
    assert gpt.runs[0].share == 1  # as always for another kind: what share of the time is best was measured of GPTs
    rate = 2 * gpt.runs[0].tokens_per_second
    monkeypatch.setattr(search_module, "measure_rate", lambda *arguments: rate)
    other = choose(TEXT, None, Choices(model=kind), TrainConfig(), 60.0, CPU)
    assert other.settings.seconds == gpt.settings.seconds
    assert other.settings.steps == pytest.approx(2 * gpt.settings.steps, rel=0.05)
    kept = (
        "vocab_size",
        "context",
        "batch_size",
        "tokenizer",
    )  # but not the dropout: of another kind, no decay is known
    assert [getattr(other.choices, name) for name in kept] == [getattr(gpt.choices, name) for name in kept]
    count = make_plan(TEXT, None, gpt.choices, gpt.settings).model.parameter_count()
    found = make_plan(TEXT, None, other.choices, other.settings).model.parameter_count()
    assert found == pytest.approx(count, rel=0.08)  # the text has fewer tokens than were asked for


def test_bpe_dropout_needs_merges() -> None:
    assert planned(SAID, bpe_dropout=0.1).train.bpe_dropout == 0.1  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="goes with tokenizer=bpe"):
        planned(Choices(tokenizer="char"), bpe_dropout=0.1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"bpe_dropout= must be at least 0 \(off\) and below 1, not 1"):
        TrainConfig(bpe_dropout=1.0)


# The context of a short text


@pytest.mark.parametrize(
    ("tokens", "context", "fitting"),
    [
        (1000, 128, 128), (129, 128, 128), (128, 128, 64), (127, 128, 32), (64, 128, 32), (63, 128, 16), (33, 100, 16),
        (31, 32, 8), (16, 128, 8), (16, 16, 8), (17, 16, 16), (10, 4, 4), (100, 100, 32),
    ],
)  # fmt: skip
def test_fitting_context(tokens: int, context: int, fitting: int) -> None:
    assert fitting_context(tokens, context) == fitting


@pytest.mark.parametrize("tokens", range(16, 300))
def test_a_context_made_smaller_leaves_two_windows(tokens: int) -> None:
    context = fitting_context(tokens, 1024)
    assert 2 * context <= tokens < 4 * context


@pytest.mark.parametrize(
    ("tokens", "said"), [(0, "0 training tokens,"), (1, "1 training token,"), (15, "15 training tokens,")]
)
def test_a_text_too_short_for_any_context_is_refused(tokens: int, said: str) -> None:
    with pytest.raises(CorpusError, match=f"too short to learn from: {said} and at least 16"):
        fitting_context(tokens, 128)
