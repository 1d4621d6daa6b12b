"""A model that is given is trained further: what it brings is kept, what is frozen stays, and none becomes worse."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.folder import Checkpoint, load, save_description, save_weights
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.settings import Choices, ModelConfig, TrainConfig
from minigpt.text.corpus import Corpus
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.finetune import (
    OWN,
    Base,
    activation_bytes,
    begun_with,
    finetune_rate,
    finetune_settings,
    freeze,
    misfit,
)
from minigpt.training.optim import build_optimizers
from minigpt.training.plan import Plan, make_plan
from minigpt.training.resume import open_run
from minigpt.training.run import build_model, model_card, run, run_info
from minigpt.training.search import MOST_EPOCHS, choose

CPU = torch.device("cpu")
FakeLosses = Callable[[dict[int, float]], None]
SETTINGS = TrainConfig(steps=12, eval_every=4, warmup_steps=2)


@pytest.fixture
def base(bpe: Tokenizer, tmp_path: Path) -> Base:
    """Three layers, untrained, a vocabulary larger than the tokenizer's, an output head of its own, relu."""
    config = ModelConfig(
        vocab_size=bpe.vocab_size + 7, context=16, layers=3, heads=2, width=16, activation="relu", tied=False
    )
    model = GPT(config).initialise(torch.Generator().manual_seed(0))
    folder = tmp_path / "given"
    folder.mkdir()
    save_description(folder, config, bpe, torch.float32)
    save_weights(folder, model)
    return Base("given", load(folder))


def plan_for(base: Base, text: Corpus, settings: TrainConfig = SETTINGS, **said: Any) -> tuple[Plan, Choices]:
    given = {name: value for name, value in said.items() if name in Choices.__dataclass_fields__}
    settings = replace(settings, **{name: value for name, value in said.items() if name not in given})
    choices, settings = finetune_settings(
        base, Choices(base=base.name, **given), settings, [*said, "warmup_steps"], CPU
    )
    return make_plan(text, None, choices, settings, base=base), choices


def start(base: Base, plan: Plan, choices: Choices, name: str = "run") -> tuple[GPT, RunFolder]:
    model = begun_with(base, plan.model, plan.train.freeze)
    folder = RunFolder(claim("", Path(name), overwrite=False), plan.tokenizer, run_info(plan, choices, CPU))
    folder.start(model, model_card(plan), plan.data)
    return model, folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# What a model brings with it


def test_shape_and_tokenizer_are_the_model_s_own(base: Base, text: Corpus) -> None:
    plan, _ = plan_for(base, text)
    assert plan.model == base.config
    assert plan.tokenizer is base.checkpoint.tokenizer
    assert int(plan.data.train[:].max()) < base.checkpoint.tokenizer.vocab_size
    assert plan.base == "given"


def test_it_begins_with_the_model_s_weights(base: Base, text: Corpus) -> None:
    plan, _ = plan_for(base, text)
    before = {name: tensor.clone() for name, tensor in base.checkpoint.model.state_dict().items()}
    model = begun_with(base, plan.model, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_shorter_context_keeps_the_first_positions(base: Base, text: Corpus) -> None:
    plan, _ = plan_for(base, text, context=5)
    model = begun_with(base, plan.model, 0)
    assert model.config.context == 5
    assert torch.equal(model.wpe.weight, base.checkpoint.model.wpe.weight[:5])
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        assert torch.equal(model(ids), base.checkpoint.model(ids))


@pytest.mark.parametrize("name", OWN)
def test_what_is_the_model_s_own_cannot_be_said(base: Base, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}= does not go with base=, which keeps"):
        finetune_settings(base, Choices(base="given"), SETTINGS, [name, "steps"], CPU)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"context": 17}, "context=17 is more than the 16 of given"),
        ({"freeze": 4}, "freeze=4 is more than its 3 layers"),
        ({"freeze": -1}, "freeze= must be 0 or more"),
        ({"dropout": 1.5}, "dropout= must be at least 0"),
    ],
)
def test_what_does_not_fit_the_model(base: Base, text: Corpus, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_for(base, text, **said)


# What suits it


def test_it_is_moved_gently(base: Base, text: Corpus) -> None:
    plan, _ = plan_for(base, text)
    train = plan.train
    assert (train.optimizer, train.learning_rate, train.gradient_checkpointing) == ("adamw", finetune_rate(16), False)
    assert train.batch_size == 1024 // 16
    assert (plan.model.dropout, train.snapshots) == (0.0, 12)


def test_what_is_said_stays(base: Base, text: Corpus) -> None:
    said = {
        "optimizer": "muon",
        "learning_rate": 0.5,
        "batch_size": 3,
        "snapshots": 1,
        "eval_tokens": 9,
        "dropout": 0.3,
    }
    plan, _ = plan_for(base, text, gradient_checkpointing=True, **said)
    found = {**vars(plan.train), **vars(plan.model)}
    assert {name: found[name] for name in said} == said
    assert found["gradient_checkpointing"]
    assert found["muon_learning_rate"] == TrainConfig.muon_learning_rate / 10


@pytest.mark.parametrize(("width", "rate"), [(128, 7.3e-4), (768, 5e-5), (1600, 1.7e-5)])
def test_wider_models_have_lower_rates(width: int, rate: float) -> None:
    assert finetune_rate(width) == rate


def test_large_models_keep_few_snapshots_and_little_for_the_way_back(base: Base) -> None:
    shape = ModelConfig(vocab_size=50_257, context=1024, layers=12, heads=12, width=768, dropout=0.1)
    with torch.device("meta"):
        large = Base("gpt2", Checkpoint(Path("gpt2"), GPT(shape), base.checkpoint.tokenizer))
    choices, settings = finetune_settings(large, Choices(base="gpt2"), TrainConfig(), (), CPU)
    assert (choices.batch_size, choices.dropout, choices.learning_rate) == (1, 0.1, 5e-5)
    assert (settings.snapshots, settings.gradient_checkpointing) == (2, False)
    _, settings = finetune_settings(large, Choices(base="gpt2", batch_size=4), TrainConfig(), (), CPU)
    assert settings.gradient_checkpointing
    assert activation_bytes(shape, 1024) < 1 << 30 < activation_bytes(shape, 4096)
    choices, _ = finetune_settings(large, Choices(base="gpt2"), TrainConfig(), (), torch.device("cuda"), 2)
    assert choices.batch_size == 16


# Frozen


def test_frozen_layers_and_the_embeddings_stay_to_the_bit(base: Base, text: Corpus) -> None:
    plan, choices = plan_for(base, text, freeze=2, weight_decay=1.0, learning_rate=0.01)
    before = {
        f"transformer.{n}": t.clone() for n, t in base.checkpoint.model.state_dict().items() if "lm_head" not in n
    }
    model, folder = start(base, plan, choices)
    list(run(plan, model, folder, lambda: False))
    after = weights(folder.path)
    same = {name for name, tensor in before.items() if torch.equal(after[name], tensor)}
    frozen = {n for n in before if ".h.0." in n or ".h.1." in n or ".wte." in n or ".wpe." in n}
    assert same == frozen
    state = load_file(folder.path / "resume" / "state.safetensors")
    assert not [name for name in state if name.startswith("optimizer") and ("h.0." in name or "wte" in name)]


def test_nothing_below_the_frozen_layers_has_a_gradient(base: Base) -> None:
    model = freeze(begun_with(base, base.config, 0), 3)
    F.cross_entropy(model(torch.tensor([[1, 2, 3]]))[0], torch.tensor([2, 3, 4])).backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        "ln_f.weight", "ln_f.bias", "lm_head.weight",
    }  # fmt: skip
    build_optimizers(model, TrainConfig(optimizer="adamw"))


def test_with_nothing_to_freeze_all_is_trained(base: Base) -> None:
    assert all(p.requires_grad for p in freeze(begun_with(base, base.config, 0), 0).parameters())


# Memory


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("frozen", [0, 1])
def test_gradients_are_the_same_where_blocks_run_twice(base: Base, dropout: float, frozen: int) -> None:
    ids = torch.from_numpy(np.random.default_rng(0).integers(300, size=(4, 17)))
    gradients = []
    for twice in (False, True):
        model = begun_with(base, replace(base.config, dropout=dropout), frozen).train()
        model.gradient_checkpointing = twice
        model.zero_grad()
        torch.manual_seed(5)
        F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    once, twice_ = gradients
    assert once.keys() == twice_.keys()
    assert all(torch.equal(once[name], twice_[name]) for name in once)


def test_in_use_blocks_run_once(base: Base) -> None:
    model = base.checkpoint.model.eval()
    calls: list[object] = []
    hook = model.blocks[0].register_forward_hook(lambda *call: calls.append(call))
    model.gradient_checkpointing = True
    with torch.no_grad():
        model(torch.tensor([[1, 2]]))
    hook.remove()
    assert len(calls) == 1


# The best model may be the one that was given


@pytest.mark.parametrize(("losses", "best"), [({0: 1.0, 4: 2.0, 8: 3.0, 12: 4.0}, 0), ({0: 3.0, 4: 2.0, 8: 4.0}, 4)])
def test_training_that_makes_it_worse_leaves_it_as_it_was(
    base: Base, text: Corpus, fake_losses: FakeLosses, losses: dict[int, float], best: int
) -> None:
    plan, choices = plan_for(base, text, learning_rate=0.1)
    before = base.checkpoint.model.wte.weight.clone()
    model, folder = start(base, plan, choices)
    fake_losses(losses)
    list(run(plan, model, folder, lambda: False))
    info = json.loads((folder.path / "run.json").read_text())
    assert info["saved"]["step"] == best
    assert torch.equal(load(folder.path).model.wte.weight, before) == (best == 0)


# Going on


def stop_after(questions: int) -> Callable[[], bool]:
    """A stop signal that comes when it has been asked for so many times."""
    return chain(repeat(False, questions), repeat(True)).__next__


@pytest.mark.parametrize("questions", [0, 2, 7, 13])
def test_a_stopped_run_goes_on_to_the_bit_without_the_model_that_it_began_with(
    base: Base, text: Corpus, questions: int
) -> None:
    paths = []
    kept = {name: tensor.clone() for name, tensor in base.checkpoint.model.state_dict().items()}
    for name, stopped in (("whole", stop_after(1000)), ("parts", stop_after(questions))):
        base.checkpoint.model.load_state_dict(kept)
        plan, choices = plan_for(base, text, freeze=1, dropout=0.2)
        model, folder = start(base, plan, choices, name)
        list(run(plan, model, folder, stopped))
        paths.append(folder.path)
    whole, parts = paths
    plan, folder = open_run(parts, {})
    assert (plan.base, plan.model.activation, plan.model.tied) == ("given", "relu", False)
    list(run(plan, build_model(plan), folder, lambda: False, resume=True))
    assert weights(whole).keys() == weights(parts).keys()
    assert all(torch.equal(tensor, weights(parts)[name]) for name, tensor in weights(whole).items())


# Minutes


@pytest.mark.parametrize(("seconds", "all_of_it"), [(2.0, True), (600.0, False)])
def test_a_budget_chooses_steps_alone(
    base: Base, text: Corpus, seconds: float, all_of_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigpt.training.speed import Speed

    monkeypatch.setattr("minigpt.training.search.measure_speed", lambda *_: Speed(((16, 2e8),)))
    choices, settings = finetune_settings(base, Choices(base="given"), TrainConfig(), ("minutes",), CPU)
    found = choose(text, None, choices, settings, seconds, CPU, ("minutes",), base=base)
    (only,) = found.runs
    assert (only.layers, only.width, only.context, only.expected_bits_per_byte) == (3, 16, 16, None)
    assert found.choices == choices
    assert found.settings.context_warmup == 0  # its positions are learned
    assert (only.share == 1) == all_of_it
    if not all_of_it:
        assert only.epochs == pytest.approx(MOST_EPOCHS, rel=0.05) or only.steps == pytest.approx(30, abs=1)
    plan = make_plan(text, None, found.choices, found.settings, base=base)
    assert plan.train.steps == only.steps
    assert plan.train.optimizer == "adamw"


@pytest.mark.parametrize(
    ("kind", "bytes_per_token", "characters_per_token", "fits"),
    [
        ("bpe", 2.2, 2.2, True),
        ("bpe", 1.2, 1.2, False),  # DNA, or tables of numbers
        ("bpe", 2.0, 0.7, False),  # half of each character of Japanese
        ("char", 1.0, 1.0, True),
        ("char", 1.8, 1.0, True),
        ("char", 1.0, 0.5, False),  # characters that it has never seen
    ],
)
def test_a_tokenizer_fits_that_does_not_cut_into_bytes(
    request: pytest.FixtureRequest, kind: str, bytes_per_token: float, characters_per_token: float, fits: bool
) -> None:
    base = Base("gpt2", SimpleNamespace(tokenizer=request.getfixturevalue(kind)))  # type: ignore[arg-type]
    warnings = list(misfit(base, bytes_per_token, characters_per_token))
    assert (warnings == []) is fits
    for warning in warnings:
        assert f"the tokenizer of gpt2 does not fit this text: it cuts it into tokens of {bytes_per_token} b" in warning
