"""What a time budget does with a text that takes long to tokenize."""

import pytest
import torch

from minigpt.config import Choices, TrainConfig
from minigpt.errors import ConfigError
from minigpt.text import split as split_module
from minigpt.text.corpus import Corpus, corpus_of
from minigpt.training import plan as plan_module
from minigpt.training.plan import Chosen, choose
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
    assert plans.settings.seconds == pytest.approx(plans.runs[0].share * (600 - 0.19 * 1050), rel=0.02)
    assert plans.runs[0].epochs > 1  # of that part


def test_a_text_that_fits_is_used_whole_and_its_time_is_counted(corpus: Corpus) -> None:
    plans = chosen(corpus, 4000.0)
    assert (plans.choices.part, plans.note) == (1.0, "")
    assert plans.unused + (plans.settings.seconds or 0) == pytest.approx(4000 - 1050, rel=0.02)


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
