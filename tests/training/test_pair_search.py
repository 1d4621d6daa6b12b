"""The plan of a model of pairs for a time budget: what is chosen at given speeds, and what stays as it was given."""

from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.errors import ConfigError
from minigpt.settings import Choices, ModelConfig, TextFormat, TrainConfig
from minigpt.text.pairs import read_pairs
from minigpt.text.translations import translations
from minigpt.training import pair_search
from minigpt.training.pair_search import choose_pairs
from minigpt.training.search import Chosen

CPU = torch.device("cpu")


def written(path: Path, pairs: int) -> str:
    path.write_text("".join(f"{each.source}\t{each.target}\n" for each in translations(pairs)), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("pairs") / "pairs.tsv", 3000)


def plan(
    table: str,
    monkeypatch: pytest.MonkeyPatch,
    rate: float,
    minutes: float = 1.0,
    given: tuple[str, ...] = (),
    **more: Any,
) -> Chosen:
    """The plan on a machine that trains a million weights at `rate` tokens a second, and others in proportion."""

    def measured(shape: ModelConfig, *rest: object) -> float:
        return rate * 1e6 / shape.parameter_count()

    monkeypatch.setattr(pair_search, "_measured_rate", measured)
    choices = Choices(**{"model": "transformer", **more})
    settings = TrainConfig()
    return choose_pairs(read_pairs([table], TextFormat()), None, choices, settings, 60, CPU, given)


def test_a_faster_machine_trains_a_larger_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = written(tmp_path / "many.tsv", 12_000)
    found = [plan(many, monkeypatch, rate).runs[0] for rate in (2_000, 40_000)]
    assert [(run.layers, run.width) for run in found] == [(1, 64), (2, 128)]
    assert found[0].steps < 1000 <= found[1].steps


def test_few_pairs_are_not_for_a_large_model_however_fast_it_is(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(table, monkeypatch, 10_000_000)
    run = found.runs[0]
    assert (run.layers, run.width) == (2, 64)
    assert run.epochs == pytest.approx(pair_search.MOST_EPOCHS)
    assert run.share < 1
    assert found.settings.steps_suffice


def test_what_is_seen_often_is_learned_with_dropout_and_weight_decay(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, often = (plan(table, monkeypatch, rate) for rate in (300, 40_000))
    assert once.runs[0].epochs < 8 < often.runs[0].epochs
    assert (once.choices.dropout, once.settings.weight_decay) == (0.0, 0.1)
    assert (often.choices.dropout, often.settings.weight_decay) == (0.1, 0.6)


def test_what_is_given_stays(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"layers": 1, "width": 96, "heads": 2, "batch_size": 16, "dropout": 0.2, "learning_rate": 1e-3}
    found = plan(table, monkeypatch, 40_000, given=("weight_decay",), **asked)
    assert {name: getattr(found.choices, name) for name in asked} == asked
    assert found.settings.weight_decay == TrainConfig().weight_decay


@pytest.mark.parametrize("kind", ["seq2seq", "seq2seq-attention"])
def test_an_lstm_is_as_large_as_the_transformer_would_be(
    kind: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = plan(table, monkeypatch, 40_000, model=kind).runs[0]
    of = {"vocab_size": run.vocab_size, "context": 64, "end": run.vocab_size - 1}
    size = ModelConfig(model=kind, layers=run.layers, heads=1, width=run.width, **of).parameter_count()
    shapes = [ModelConfig(model="transformer", layers=n, heads=2, width=c, **of) for n, c in pair_search.SHAPES]
    assert min(abs(size / shape.parameter_count() - 1) for shape in shapes) <= 0.05
    assert run.weight_decay == 0.1


def test_all_held_out_leaves_nothing_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.tsv").write_text("a\tb\n")
    with pytest.raises(ConfigError, match=r"no pair of .*one\.tsv left to train on"):
        plan(str(tmp_path / "one.tsv"), monkeypatch, 1000, val_fraction=0.99)


@pytest.mark.parametrize(("context", "most"), [(None, 256), (32, 32)])
def test_pairs_that_are_left_out_do_not_count_for_the_speed(
    context: int | None, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.tsv").write_text("".join(f"{number} {'one two ' * 500}\tyes\n" for number in range(20)))
    sides = set[int]()
    monkeypatch.setattr(pair_search, "_measured_rate", lambda *arguments: sides.add(arguments[-1]) or 1000.0)
    choices = Choices(model="transformer", tokenizer="char", context=context)
    pairs = read_pairs([str(tmp_path / "long.tsv")], TextFormat())
    choose_pairs(pairs, None, choices, TrainConfig(), 60, CPU)
    assert sides == {most}


@pytest.mark.parametrize("side", [5, 70])  # also of pairs longer than the context
def test_the_speed_of_a_real_model_is_measured(side: int) -> None:
    shape = ModelConfig(model="transformer", vocab_size=300, context=64, layers=1, heads=1, width=16, end=299)
    rate = pair_search._measured_rate(shape, TrainConfig(), CPU, Choices(model="transformer", batch_size=4), side)
    assert rate > 0
