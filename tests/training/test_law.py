"""The law: what each term must do, and that the numbers in law.json are those that its measurements give."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from minigpt.training import law as law_module
from minigpt.training.law import Training, difficulty, fitted_law

RUN = Training(
    block_parameters=786_432, embedding_parameters=131_072, tokens=1_000_000, bytes_per_token=2.5, text_bytes=10_000_000
)


def bits(**changes: float) -> float:
    training = replace(RUN, **changes)  # type: ignore[arg-type]
    return fitted_law(training.text_bytes).bits_per_byte(training)


@pytest.mark.parametrize("text_bytes", [5_000, 1_000_000])
def test_all_terms_are_positive(text_bytes: int) -> None:
    law = fitted_law(text_bytes)
    for name in ("floor", "model_scale", "model_power", "data_scale", "data_power", "repeats", "overfit_scale"):
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


def test_bpe_dropout_helps_only_where_the_text_is_repeated() -> None:
    assert bits(bpe_dropout=0.1) > bits()
    assert bits(bpe_dropout=0.1, text_bytes=60_000) < bits(text_bytes=60_000)


def test_a_text_is_as_hard_as_simple_models_find_it_and_seems_harder_the_shorter_it_is() -> None:
    assert difficulty(3.0, 1_000_000) == pytest.approx(1.5 * difficulty(2.0, 1_000_000))
    assert difficulty(3.0, 1_000_000) == difficulty(3.0, 100_000)
    assert difficulty(3.0, 5_000) < difficulty(3.0, 18_000) < difficulty(3.0, 50_000)


def test_weight_decay_helps_only_where_the_text_is_repeated() -> None:
    assert bits(weight_decay=0.6) > bits()
    assert bits(weight_decay=0.6, text_bytes=60_000) < bits(text_bytes=60_000)


@pytest.mark.torch
@pytest.mark.parametrize("size", ["small", "large"])
def test_law_json_is_what_the_measurements_give(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it expects of each of them: the numbers themselves may trade places a little on another machine."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    fit_law = import_module("fit_law")
    fitting = fit_law.Fit(fit_law.fitted_lines(fit_law.MEASUREMENTS, size))
    law = fitted_law(law_module.SMALL_TEXT - (size == "small"))
    errors = fitting.errors(np.log([getattr(law, name) for name in fitting.names]))
    again = fitting.errors(fitting.solve())
    np.testing.assert_allclose(errors, again, atol=0.01)
    quality = json.loads(fit_law.LAW.read_text())[size]["fit"]
    assert np.sqrt(np.mean(again**2)) == pytest.approx(quality["root_mean_square_error"], abs=0.002)
    weighted = np.sqrt(np.average(again**2, weights=fitting.weights**2))
    assert weighted == pytest.approx(quality["weighted_root_mean_square_error"], abs=0.002)
    assert quality["root_mean_square_error"] < 0.035
    assert quality["weighted_root_mean_square_error"] < 0.03


def test_the_bounds_of_what_it_has_seen_are_those_of_its_measurements() -> None:
    path = Path(__file__).parent.parent.parent / "scripts" / "measurements.jsonl"
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    weights = [12 * run["layers"] * run["width"] ** 2 for run in runs]
    assert min(run["tokens"] for run in runs) == law_module.FEWEST_TOKENS
    assert max(run["tokens"] for run in runs) == law_module.MOST_TOKENS
    assert max(weights) == law_module.MOST_WEIGHTS
    assert min(run["train_bytes"] for run in runs) == law_module.SHORTEST_TEXT
    per_byte = max(w / run["train_bytes"] for w, run in zip(weights, runs, strict=True) if w > law_module.SMALL_MODEL)
    assert law_module.SMALL_MODEL in weights
    assert law_module.MOST_WEIGHTS_PER_BYTE - 2 < per_byte < law_module.MOST_WEIGHTS_PER_BYTE
    epochs = max(run["tokens"] / run["train_tokens"] for run in runs)
    assert law_module.MOST_EPOCHS - 0.1 < epochs < law_module.MOST_EPOCHS
    longest = max(run["train_bytes"] / run["train_tokens"] for run in runs)
    assert law_module.LONGEST_TOKENS - 0.02 < longest < law_module.LONGEST_TOKENS
    assert max(run["dropout"] for run in runs) == law_module.MOST_DROPOUT
    assert max(run["weight_decay"] for run in runs) == law_module.MOST_DECAY
    assert max(run.get("bpe_dropout", 0.0) for run in runs) == law_module.MOST_BPE_DROPOUT


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": 40_000},
        {"tokens": 2e8},
        {"tokens": 20_000_000, "text_bytes": 200_000},  # 250 times
        {"block_parameters": 2 * 10**8, "text_bytes": 10**8},
        {"text_bytes": 4_000},
        {"block_parameters": 5_000_000, "text_bytes": 100_000},
        {"bytes_per_token": 8.0},
        {"dropout": 0.5},
        {"weight_decay": 2.0},
        {"bpe_dropout": 0.5},
    ],
)
def test_it_knows_what_it_has_not_seen(changes: dict[str, float]) -> None:
    law = fitted_law(RUN.text_bytes)
    assert law.has_seen(RUN)
    assert law.has_seen(replace(RUN, block_parameters=30_000_000, tokens=50_000_000))  # what a law is for
    assert not law.has_seen(replace(RUN, **changes))  # type: ignore[arg-type]
