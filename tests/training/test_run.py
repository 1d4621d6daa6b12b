"""A plan made of a text and choices; a run that leaves the best model behind, whatever ends it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.checkpoint.runs import FINISHED
from minigpt.errors import ConfigError, CorpusError, TrainingError
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Corpus, corpus_of, read_corpus
from minigpt.training.evaluate import evaluate
from minigpt.training.plan import Choices, Plan, as_tokenized, make_plan
from minigpt.training.run import build_model, model_card, run, run_info
from minigpt.training.search import Search, TextSize
from minigpt.training.speed import Speed

CPU = torch.device("cpu")
FakeLosses = Callable[[dict[int, float]], None]
TINY = Choices(layers=1, heads=1, width=16, context=16, batch_size=2, vocab_size=300, learning_rate=1e-2)
SETTINGS = TrainConfig(steps=12, eval_every=4, warmup_steps=2)


def start(plan: Plan, name: str = "run") -> tuple[GPT, RunFolder]:
    model = build_model(plan, CPU)
    folder = RunFolder(claim("", Path(name), overwrite=False), plan.tokenizer, run_info(plan, TINY, CPU))
    folder.start(model, model_card(plan), plan.data)
    return model, folder


def info(folder: RunFolder) -> dict[str, Any]:
    return json.loads((folder.path / "run.json").read_text())


# run


def test_the_best_model_is_at_the_root_and_not_the_last(text: Corpus, fake_losses: FakeLosses) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    model, folder = start(plan)
    fake_losses({0: 1.0, 4: 5.0, 8: 4.0, 12: 4.5})
    weights = {}
    saved = []
    for record, was_saved in run(plan, model, folder, lambda: False):
        weights[record.step] = model.wte.weight.detach().clone()
        saved += [record.step] if was_saved else []
    assert saved == [4, 8]  # never step 0, whatever its loss
    found = load(folder.path).model.wte.weight
    assert torch.equal(found, weights[8])
    assert not torch.equal(found, weights[12])
    assert info(folder)["saved"]["step"] == 8
    assert info(folder)["saved"]["validation_bits_per_byte"] == 2.0
    assert info(folder)["status"] == "finished"


def test_the_loss_that_was_written_is_the_loss_of_the_saved_model(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, replace(SETTINGS, precision="float32"))
    model, folder = start(plan)
    list(run(plan, model, folder, lambda: False))
    measured = evaluate(load(folder.path).model, plan.data.validation, plan.tokenizer.byte_lengths())
    assert measured is not None
    assert measured.loss_nats == pytest.approx(info(folder)["saved"]["validation_loss_nats"], abs=1e-6)
    assert measured.bits_per_byte == pytest.approx(info(folder)["saved"]["validation_bits_per_byte"], abs=1e-6)


def test_stopped_before_the_first_evaluation_it_leaves_what_was_learned(text: Corpus, fake_losses: FakeLosses) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    model, folder = start(plan)
    untrained = model.wte.weight.detach().clone()
    fake_losses({0: 6.0})
    steps: list[int] = []
    for record, _ in run(plan, model, folder, lambda: len(steps) > 3):
        steps.append(record.step)
    assert steps == [0, 1, 2, 3]
    found = load(folder.path).model.wte.weight
    assert torch.equal(found, model.wte.weight)
    assert not torch.equal(found, untrained)
    assert (info(folder)["status"], info(folder)["saved"]["step"]) == ("stopped", 3)


def test_closed_by_its_reader_it_saves_just_so(text: Corpus, fake_losses: FakeLosses) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    model, folder = start(plan)
    fake_losses({})
    records = run(plan, model, folder, lambda: False)
    for record, _ in records:
        if record.step == 2:
            records.close()
    assert torch.equal(load(folder.path).model.wte.weight, model.wte.weight)
    assert (info(folder)["status"], info(folder)["saved"]["step"]) == ("stopped", 2)


def test_stopped_at_once_it_leaves_the_untrained_model(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    model, folder = start(plan)
    assert list(run(plan, model, folder, lambda: True)) == []
    assert info(folder)["status"] == "stopped"
    load(folder.path)


def test_out_of_patience_a_run_is_finished_early_with_the_best_model(text: Corpus, fake_losses: FakeLosses) -> None:
    plan = make_plan(text, None, TINY, replace(SETTINGS, steps=40, patience=2, snapshots=0))
    model, folder = start(plan)
    fake_losses({0: 6.0, 4: 5.0, 8: 5.5, 12: 4.0, 16: 4.5, 20: 4.0, 24: 3.0})
    weights = {record.step: model.wte.weight.detach().clone() for record, _ in run(plan, model, folder, lambda: False)}
    assert max(weights) == 20
    assert (info(folder)["status"], info(folder)["stopped_early"], info(folder)["saved"]["step"]) == (
        "finished",
        20,
        12,
    )
    assert torch.equal(load(folder.path).model.wte.weight, weights[12])
    assert not (folder.path / "snapshots").exists()


def test_patience_that_ends_at_the_last_step_stops_nothing_early(text: Corpus, fake_losses: FakeLosses) -> None:
    plan = make_plan(text, None, TINY, replace(SETTINGS, patience=2))
    model, folder = start(plan)
    fake_losses({0: 6.0, 1: 6.0, 4: 5.0, 8: 5.5, 12: 5.5})
    assert len(list(run(plan, model, folder, lambda: False))) == 13
    assert info(folder)["status"] in FINISHED
    assert "stopped_early" not in info(folder)


def test_patience_without_a_validation_text_is_refused(text: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"patience= needs a validation text: give a higher val_fraction="):
        make_plan(text, None, replace(TINY, val_fraction=0.0), replace(SETTINGS, patience=2))


@pytest.mark.parametrize(("count", "names"), [(0, []), (1, [12]), (2, [0, 12]), (4, [0, 1, 3, 12])])
def test_as_many_snapshots_are_kept_as_asked_for(text: Corpus, count: int, names: list[int]) -> None:
    plan = make_plan(text, None, TINY, replace(SETTINGS, snapshots=count))
    model, folder = start(plan)
    list(run(plan, model, folder, lambda: False))
    assert sorted(path.name for path in folder.path.glob("snapshots/*")) == [f"step-{step:06}" for step in names]


def test_without_validation_the_latest_model_is_kept(text: Corpus) -> None:
    plan = make_plan(text, None, replace(TINY, val_fraction=0.0), SETTINGS)
    model, folder = start(plan)
    list(run(plan, model, folder, lambda: False))
    assert torch.equal(load(folder.path).model.wte.weight, model.wte.weight)
    assert info(folder)["saved"]["step"] == 12
    assert info(folder)["saved"]["validation_loss_nats"] is None


@pytest.mark.parametrize("rate", [1e6, 1e15])
def test_a_run_that_diverges_says_so_and_keeps_the_last_good_model(text: Corpus, rate: float) -> None:
    plan = make_plan(text, None, replace(TINY, learning_rate=rate), replace(SETTINGS, clip_norm=0.0))
    model, folder = start(plan)
    with pytest.raises(TrainingError, match=r"no longer a number: learning_rate=.* too high"):
        list(run(plan, model, folder, lambda: False))
    assert info(folder)["status"] == "diverged"
    assert all(torch.isfinite(p).all() for p in load(folder.path).model.parameters())

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    for line in (folder.path / "train.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=no_constant)


def test_the_log_and_the_snapshots_tell_the_story(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    model, folder = start(plan)
    list(run(plan, model, folder, lambda: False))
    log = [json.loads(line) for line in (folder.path / "train.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == list(range(13))
    snapshots = sorted((folder.path / "snapshots").iterdir())
    assert snapshots[0].name == "step-000000"
    assert snapshots[-1].name == "step-000012"
    assert all(load(snapshot).model.config == replace(plan.model, dropout=0.0) for snapshot in snapshots)


def test_run_json_says_what_it_takes_to_do_it_again(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, replace(SETTINGS, seed=42))
    _, folder = start(plan)
    found = info(folder)
    data = Path("notes.txt").read_bytes()
    assert found["corpus"]["sources"] == [
        {"name": "notes.txt", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "documents": 1}
    ]
    assert found["seed"] == found["train"]["seed"] == 42
    assert found["train"]["learning_rate"] == 1e-2
    shape = {"vocab_size": 300, "context": 16, "layers": 1, "heads": 1, "width": 16, "dropout": 0.0}
    assert found["model"] == asdict(ModelConfig(**shape))
    assert found["corpus"]["train_tokens"] == len(plan.data.train)
    assert found["versions"]["torch"] == torch.__version__
    assert set(found["versions"]) == {"python", "minigpt", "torch", "tokenizers", "safetensors", "numpy"}
    assert found["parameters"] == sum(p.numel() for p in build_model(plan, CPU).parameters())


def test_the_same_seed_gives_the_same_weights(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    weights = []
    for name in ("one", "two"):
        model, folder = start(plan, name)
        list(run(plan, model, folder, lambda: False))
        weights.append(model.wte.weight)
    assert torch.equal(*weights)


def test_the_model_card_is_one_that_the_hub_reads(text: Corpus) -> None:
    card = model_card(make_plan(text, None, TINY, SETTINGS))
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "- notes.txt (" in card
    assert "parameters (1 layer x 16,\n1 head, context 16" in card
    assert "the last 10 % of the text" in card
    sources = text.sources * 30
    assert "- and 10 more" in model_card(make_plan(replace(text, sources=sources), None, TINY, SETTINGS))


# plan


def test_choices_override_the_preset_and_the_rest_is_the_presets(text: Corpus) -> None:
    plan = make_plan(text, None, Choices(preset="nano", layers=2, context=16, batch_size=3), TrainConfig())
    assert (plan.model.layers, plan.model.heads, plan.model.width, plan.model.context) == (2, 4, 128, 16)
    assert (plan.train.batch_size, plan.train.learning_rate) == (3, 6e-3)
    assert (
        make_plan(text, None, replace(TINY, learning_rate=None, preset="micro"), SETTINGS).train.learning_rate == 4e-3
    )


def test_a_short_text_shrinks_the_context_and_says_so(text: Corpus) -> None:
    short = corpus_of("short", ["".join(block.text for block in text.blocks())[:300]])
    plan = make_plan(short, None, replace(TINY, context=512), SETTINGS)
    assert plan.model.context < 512
    assert 2 * plan.model.context <= len(plan.data.train)
    assert any(f"context {plan.model.context} instead of 512" in note for note in plan.notes)


def test_a_text_that_is_too_short_says_how_many_tokens_are_needed(text: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"short is too .* \d+ training tokens?, and at least \d+ are needed"):
        make_plan(corpus_of("short", ["abcdef"]), None, TINY, SETTINGS)


def test_a_vocabulary_that_the_text_cannot_fill_is_noted(text: Corpus) -> None:
    plan = make_plan(text, None, replace(TINY, vocab_size=30_000), SETTINGS)
    assert plan.model.vocab_size == plan.tokenizer.vocab_size < 30_000
    told = f"The text gives a vocabulary of only {plan.tokenizer.vocab_size:,} tokens, not 30,000."
    assert told in plan.notes  # which names no flag: the number may be the plan's


def test_a_planned_run_is_told_with_the_vocabulary_that_the_text_gave(text: Corpus) -> None:
    plan = make_plan(text, None, replace(TINY, vocab_size=30_000), SETTINGS)
    size = TextSize(text.utf8_bytes, text.characters, {30_000: 4.0})
    run = Search(replace(TINY, vocab_size=30_000), size, Speed(((16, 1e9),)), 60.0).runs()[0]
    told = as_tokenized(run, plan)
    assert told.vocab_size == plan.model.vocab_size < 30_000
    assert told.bytes_per_token == plan.bytes_per_token
    assert told.epochs * run.bytes_per_token == pytest.approx(run.epochs * told.bytes_per_token)
    assert told.steps == run.steps


def test_a_planned_run_is_told_with_the_context_that_the_text_gave(text: Corpus) -> None:
    choices = replace(TINY, tokenizer="char", vocab_size=None, context=4096)
    plan = make_plan(text, None, choices, SETTINGS)
    size = TextSize(text.utf8_bytes, text.characters, {512: 4.0})
    run = Search(choices, size, Speed(((16, 1e9),)), 60.0).runs()[0]
    for share, fewer in ((0.5, plan.model.context / 4096), (1.0, 1.0)):  # a whole time budget gives more of the steps
        told = as_tokenized(replace(run, share=share), plan)
        assert told.context == plan.model.context < run.context == 4096
        assert told.epochs / told.bytes_per_token == pytest.approx(fewer * run.epochs / run.bytes_per_token)


@pytest.mark.parametrize(("held_out", "name"), [(None, "the last 10 % of the text"), ("held.txt", "held.txt")])
def test_the_validation_text_is_named(text: Corpus, held_out: str | None, name: str) -> None:
    Path("held.txt").write_text("some other words about a fox and a dog", "utf-8")
    plan = make_plan(text, read_corpus([held_out]) if held_out else None, TINY, SETTINGS)
    assert plan.validation == name
    assert len(plan.data.validation) > 1


def test_no_validation_is_noted(text: Corpus) -> None:
    plan = make_plan(text, None, replace(TINY, val_fraction=0.0), SETTINGS)
    assert plan.validation == "nothing"
    assert any("no validation text" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "huge"}, "preset= must be nano"),
        ({"tokenizer": "words"}, "tokenizer= must be bpe or char"),
        ({"tokenizer": "char"}, "vocab_size= goes with tokenizer=bpe"),
        ({"vocab_size": 256}, "vocab_size= must be 257 .* or more"),
        ({"vocab_size": 10**9}, "vocab_size= must be 1,048,576 or fewer"),
        ({"heads": 3}, "width=16 cannot be divided among heads=3"),
        ({"layers": 0}, "layers= must be 1 or more"),
        ({"context": 0}, "context="),
        ({"width": -1}, "width= must be 1 or more"),
        ({"dropout": 1.0}, "dropout="),
        ({"dropout": float("nan")}, "dropout="),
        ({"batch_size": 0}, "batch_size= must be 1 or more"),
        ({"learning_rate": float("nan")}, "learning_rate= must be above 0"),
        ({"val_fraction": 1.0}, "val_fraction="),
        ({"val_fraction": float("nan")}, "val_fraction="),
    ],
)
def test_contradictions_are_refused_by_the_name_of_the_setting(
    text: Corpus, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(text, None, replace(TINY, **changes), SETTINGS)


def test_bytes_per_token_is_that_of_the_training_text(text: Corpus) -> None:
    plan = make_plan(text, None, TINY, SETTINGS)
    assert plan.bytes_per_token == len(plan.tokenizer.decode_bytes(plan.data.train.tolist())) / len(plan.data.train)
    assert plan.data.train.dtype == np.uint16
