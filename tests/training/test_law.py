"""The law: what each term must do, and that the numbers in law.json are those that its measurements give."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigpt.training.law import Training, fitted_law

RUN = Training(
    block_parameters=786_432, embedding_parameters=131_072, tokens=1_000_000, bytes_per_token=2.5, text_bytes=10_000_000
)


def bits(**changes: float) -> float:
    return fitted_law().bits_per_byte(replace(RUN, **changes))


def test_all_terms_are_positive() -> None:
    law = fitted_law()
    for name in ("floor", "model_scale", "model_power", "data_scale", "data_power", "repeats", "heart_scale"):
        assert getattr(law, name) > 0, name


def test_more_training_and_more_text_help() -> None:
    assert bits(tokens=2_000_000) < bits()
    assert bits(text_bytes=2_500_000) > bits()
    assert bits(text_bytes=250_000) > bits(text_bytes=2_500_000)


def test_longer_tokens_help_where_there_is_text_to_learn_them_from() -> None:
    assert bits(bytes_per_token=3.5, tokens=1_000_000) < bits(bytes_per_token=1.0, tokens=1_000_000)


def test_a_larger_model_helps_where_the_text_is_long_and_hurts_where_it_is_learned_by_heart() -> None:
    assert bits(block_parameters=4_000_000) < bits()
    short = {"text_bytes": 50_000}
    assert bits(block_parameters=40_000_000, **short) > bits(**short)


def test_dropout_helps_only_where_the_text_is_repeated() -> None:
    assert bits(dropout=0.1) > bits()
    assert bits(dropout=0.1, text_bytes=60_000) < bits(text_bytes=60_000)


def test_weight_decay_helps_only_where_the_text_is_repeated() -> None:
    assert bits(weight_decay=0.6) > bits()
    assert bits(weight_decay=0.6, text_bytes=60_000) < bits(text_bytes=60_000)


@pytest.mark.torch
def test_law_json_is_what_the_measurements_give() -> None:
    """By what it expects of each of them: the numbers themselves may trade places a little on another machine."""
    path = Path(__file__).parent.parent.parent / "scripts" / "fit_law.py"
    spec = importlib.util.spec_from_file_location("fit_law", path)
    assert spec is not None
    assert spec.loader is not None
    fit_law = importlib.util.module_from_spec(spec)
    sys.modules["fit_law"] = fit_law  # where its dataclasses look for themselves
    spec.loader.exec_module(fit_law)
    fitting = fit_law.Fit(fit_law.fitted_lines(fit_law.MEASUREMENTS))
    errors = fitting.errors(np.log([getattr(fitted_law(), name) for name in fitting.names]))
    again = fitting.errors(fitting.solve())
    np.testing.assert_allclose(errors, again, atol=0.01)
    assert np.sqrt(np.mean(again**2)) < 0.04
    assert np.sqrt(np.average(again**2, weights=fitting.weights**2)) < 0.025
