"""What a time budget does with a text that takes long to tokenize, and with a model that is no GPT."""

from typing import Any

import pytest
import torch

from minigpt.config import Choices, TrainConfig
from minigpt.errors import ConfigError
from minigpt.text import split as split_module
from minigpt.text.corpus import Corpus, corpus_of
from minigpt.training import plan as plan_module
from minigpt.training.plan import BASELINE_RATES, Chosen, Plan, choose, make_plan
from minigpt.training.speed import Speed, tokenizing_speed

SAID = Choices(layers=1, heads=1, width=16, context=16, batch_size=2, vocab_size=300)
CPU = torch.device("cpu")


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """100,000 characters, which count as many, and are tokenized at 100 a second."""
    monkeypatch.setattr(split_module, "LARGE", 1000)
    monkeypatch.setattr(plan_module, "tokenizing_speed", lambda sample: 100.0)
    monkeypatch.setattr(plan_module, "measure_speed", lambda *arguments: Speed(((16, 1e9),)))
    return corpus_of("many", ["all work and no play " * 5000])


def chosen(corpus: Corpus, seconds: float, choices: Choices = SAID, *kept: str) -> Chosen:
    return choose(corpus, None, choices, TrainConfig(), seconds, CPU, kept)


def test_a_text_that_takes_too_long_is_used_in_part_and_that_is_said(corpus: Corpus) -> None:
    plans = chosen(corpus, 600.0)  # 1,050 seconds are needed, and 200 are to be had
    assert plans.choices.part == 0.19
    assert "would take about 17.5 minutes here" in plans.note
    assert "19% of it is used, in pieces from all over it (--part 0.19)" in plans.note
    assert plans.settings.seconds == pytest.approx(600 - 0.19 * 1050, rel=0.02)
    assert plans.settings.steps_suffice == (plans.runs[0].share < 1)
    assert plans.runs[0].epochs > 1  # of that part


def test_a_text_that_fits_is_used_whole_and_its_time_is_counted(corpus: Corpus) -> None:
    plans = chosen(corpus, 4000.0)
    assert (plans.choices.part, plans.note) == (1.0, "")
    assert plans.settings.seconds == pytest.approx(4000 - 1050, rel=0.02)


def test_a_part_that_was_given_stays(corpus: Corpus) -> None:
    given = Choices(**{**vars(SAID), "part": 0.9})
    plans = chosen(corpus, 600.0, given, "part")
    assert (plans.choices.part, plans.note) == (0.9, "")
    assert plans.settings.seconds is not None


def test_no_time_at_all_is_told(corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="Reading the text alone took all the --minutes"):
        chosen(corpus, -1.0)


def test_the_speed_of_tokenizing_is_measured() -> None:
    assert tokenizing_speed(["some text to go through " * 50] * 4) > 0
    assert tokenizing_speed(["a"]) > 0


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
        ({"model": "gru"}, {}, "--model must be gpt, lstm, rnn or window, not gru."),
        ({"model": "lstm", "heads": 2}, {}, "--heads 2 does not go with --model lstm"),
        ({"window": 4}, {}, "--window goes with --model window, not with --model gpt."),
        ({"model": "rnn"}, {"positions": "none"}, "--positions none is for a GPT: --model rnn has no table"),
    ],
)
def test_what_only_another_kind_has_is_refused(said: dict[str, Any], settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(Choices(**said), **settings)


def test_with_minutes_it_gets_the_weights_and_the_text_of_the_gpt_that_fits_and_its_own_steps(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(plan_module, "measure_speed", lambda *arguments: Speed(((64, 1e9),)))
    gpt = choose(TEXT, None, Choices(), TrainConfig(), 60.0, CPU)
    rate = 2 * gpt.runs[0].tokens_per_second
    monkeypatch.setattr(plan_module, "measure_rate", lambda *arguments: rate)
    other = choose(TEXT, None, Choices(model=kind), TrainConfig(), 60.0, CPU)
    assert other.settings.seconds == pytest.approx(gpt.settings.seconds, abs=1.0)
    assert other.settings.steps == pytest.approx(2 * gpt.settings.steps, rel=0.05)
    kept = ("vocab_size", "context", "batch_size", "tokenizer", "dropout")
    assert [getattr(other.choices, name) for name in kept] == [getattr(gpt.choices, name) for name in kept]
    count = make_plan(TEXT, None, gpt.choices, gpt.settings).model.parameter_count()
    found = make_plan(TEXT, None, other.choices, other.settings).model.parameter_count()
    assert found == pytest.approx(count, rel=0.08)  # the text has fewer tokens than were asked for
