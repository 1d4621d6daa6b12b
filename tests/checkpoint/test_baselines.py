"""A model that is no GPT-2 comes back from its folder as it was, and a folder that does not fit is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.errors import CheckpointError
from minigpt.models.baselines import Baseline
from minigpt.text.tokenizer import Tokenizer


@pytest.fixture
def folder(tmp_path: Path, make_baseline: Callable[..., Baseline], bpe: Tokenizer, kind: str) -> Path:
    model = make_baseline(kind, bpe.vocab_size)
    save_description(tmp_path, model.config, bpe, torch.float32)
    save_weights(tmp_path, model)
    return tmp_path


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def test_a_folder_gives_the_same_model_back(folder: Path, make_baseline: Callable[..., Baseline], kind: str) -> None:
    loaded, ids = load(folder).model, torch.arange(20)[None]
    model = make_baseline(kind, loaded.config.vocab_size)
    assert loaded.config == model.config
    torch.testing.assert_close(loaded(ids), model(ids), atol=0, rtol=0)


def test_no_gpt_2_is_claimed(folder: Path, kind: str) -> None:
    values = json.loads((folder / "config.json").read_text("utf-8"))
    assert values["model_type"] == f"minigpt-{kind}"
    assert "architectures" not in values


def test_transformers_refuses_it_rather_than_take_it_for_a_gpt(folder: Path) -> None:
    from transformers import AutoConfig

    with pytest.raises(ValueError, match="model type `minigpt-"):
        AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": None}, "width is None; it must be a whole number"),
        ({"layers": 0}, "layers is 0; it must be a whole number"),
        ({"width": 17}, "numbers, but config.json asks for"),
        ({"model_type": "minigpt-gru"}, "model_type is 'minigpt-gru'; a GPT-2 with 'gpt2'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_weights_that_do_not_fit_are_refused_by_name(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["other.weight"] = weights.pop("wte.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks the tensor wte\.weight"):
        load(folder)


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["wte.weight"] = weights["wte.weight"].to(torch.int32)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"wte\.weight holds int32"):
        load(folder)
