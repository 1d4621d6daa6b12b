"""A model has learned something once it predicts better than the frequencies of the tokens."""

from typing import Any

import pytest

from minigpt.checkpoint.runs import RunChoices, RunInfo, RunSaved, RunText, fitted_steps, is_untrained


def info(saved: Any = None, base: str | None = None, unigram: float | None = 5.0) -> RunInfo:
    text = RunText(unigram_loss_nats=unigram)
    return RunInfo(choices=RunChoices(base=base), corpus=text, saved=saved and RunSaved(**{"step": 0, **saved}))


@pytest.mark.parametrize(
    ("saved", "untrained"),
    [
        ({"validation_loss_nats": 4.9, "loss_nats": 6.0}, False),
        ({"validation_loss_nats": 5.0, "loss_nats": 1.0}, True),  # memorised, and of no use on another text
        ({"validation_loss_nats": None, "loss_nats": 4.9}, False),  # there is no validation text
        ({"validation_loss_nats": None, "loss_nats": 5.1}, True),
        (None, True),  # killed before anything was saved
    ],
)
def test_the_kept_model_is_measured_against_the_frequencies(saved: Any, untrained: bool) -> None:
    assert is_untrained(info(saved)) is untrained


def test_a_given_model_is_judged_once_it_was_trained() -> None:
    assert not is_untrained(info(base="gpt2"))
    assert not is_untrained(info({"step": 0, "validation_loss_nats": 3.0}, base="gpt2"))
    assert is_untrained(info({"step": 5, "validation_loss_nats": 14.0}, base="gpt2"))


def test_a_run_that_does_not_know_that_loss_is_not_judged() -> None:
    assert not is_untrained(info({"validation_loss_nats": 9.0}, unigram=None))
    assert not is_untrained(RunInfo())


def test_the_steps_are_those_taken_or_those_of_the_model() -> None:
    assert fitted_steps(RunInfo(steps_taken=7, saved=RunSaved(step=3))) == 7
    assert fitted_steps(RunInfo(saved=RunSaved(step=3))) == 3
    assert fitted_steps(RunInfo()) == 0
