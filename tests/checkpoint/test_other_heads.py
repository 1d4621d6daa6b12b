"""GPT-2s that were saved for other tasks: what predicts text in them is read, and the other head is left aside.

Each architecture that transformers 5.23 has for GPT-2 is saved by transformers itself; the logits are its backbone's
with the tied table. TRL's AutoModelForCausalLMWithValueHead saves a GPT2LMHeadModel's names and v_head.summary.*.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.folder import load
from minigpt.errors import CheckpointError
from minigpt.text.tokenizer import Tokenizer

SHAPE: dict[str, Any] = {"n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
IDS = torch.tensor([[5, 40, 41, 42, 7, 99]])
ARCHITECTURES = {  # and what is left aside
    "GPT2Model": "",
    "GPT2LMHeadModel": "",
    "GPT2DoubleHeadsModel": "multiple_choice_head",
    "GPT2ForSequenceClassification": "score",
    "GPT2ForTokenClassification": "classifier",
    "GPT2ForQuestionAnswering": "qa_outputs",
}


@pytest.fixture
def save(bpe: Tokenizer, tmp_path: Path) -> Callable[[str], tuple[Path, Any]]:
    """Saves an architecture of transformers' with random weights, and gives its folder and the backbone."""

    def saved(architecture: str) -> tuple[Path, Any]:
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=bpe.vocab_size, num_labels=3, **SHAPE)
        model = getattr(transformers, architecture)(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path / "theirs"
        model.save_pretrained(folder)
        (folder / "tokenizer.json").write_text(bpe.to_json(), "utf-8")
        return folder, getattr(model, "transformer", model)

    return saved


def logits(backbone: Any) -> torch.Tensor:
    with torch.no_grad():
        return backbone(IDS).last_hidden_state @ backbone.wte.weight.T


def ours(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return load(folder).model(IDS)


@pytest.mark.parametrize("prefix", ["transformer.", ""])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_of_transformers(
    architecture: str, prefix: str, save: Callable[[str], tuple[Path, Any]]
) -> None:
    folder, backbone = save(architecture)
    rewrite(folder, lambda name: prefix + name if is_bare(name) else name.replace("transformer.", prefix, 1))
    torch.testing.assert_close(ours(folder), logits(backbone), atol=1e-4, rtol=1e-4)
    aside = ARCHITECTURES[architecture]
    expected = (f"{folder} also holds a head for another task ({aside}), which is left aside.",) if aside else ()
    assert load(folder).notes == expected


def is_bare(name: str) -> bool:
    return name.split(".")[0] in ("wte", "wpe", "h", "ln_f")


def rewrite(folder: Path, named: Callable[[str], str], **more: torch.Tensor) -> None:
    """The weights under other names, with others beside them."""
    path = folder / "model.safetensors"
    tensors = {named(name): tensor.clone() for name, tensor in load_file(path).items()}
    save_file({**tensors, **more}, path, {"format": "pt"})


@pytest.mark.parametrize("prefix", ["transformer.", ""])
@pytest.mark.parametrize("part", ["summary", "0"])
def test_value_heads(part: str, prefix: str, save: Callable[[str], tuple[Path, Any]]) -> None:
    folder, backbone = save("GPT2LMHeadModel")
    values = {f"v_head.{part}.weight": torch.ones(1, 32), f"v_head.{part}.bias": torch.ones(1)}
    table = {"lm_head.weight": backbone.wte.weight.detach().clone()}
    rewrite(folder, lambda name: name.replace("transformer.", prefix, 1), **table, **values)
    torch.testing.assert_close(ours(folder), logits(backbone), atol=1e-4, rtol=1e-4)
    assert "(v_head)" in load(folder).notes[0]


def test_the_buffers_of_older_files(save: Callable[[str], tuple[Path, Any]]) -> None:
    folder, backbone = save("GPT2ForSequenceClassification")
    masks: dict[str, torch.Tensor] = {}
    for layer in range(2):
        masks[f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 16, 16, dtype=torch.uint8).tril()
        masks[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    rewrite(folder, lambda name: name, **masks)
    torch.testing.assert_close(ours(folder), logits(backbone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["reward.weight", "transformer.score.weight", "lm_head.bias", "scores.weight"])
def test_what_is_not_known_is_refused_by_name(name: str, save: Callable[[str], tuple[Path, Any]]) -> None:
    folder, _ = save("GPT2LMHeadModel")
    rewrite(folder, lambda name: name, **{name: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=f"holds '{name.removeprefix('transformer.')}', which a GPT-2 does not"):
        load(folder)


def test_a_head_without_a_model_is_refused(save: Callable[[str], tuple[Path, Any]]) -> None:
    folder, _ = save("GPT2ForSequenceClassification")
    save_file({"score.weight": torch.zeros(3, 32)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"has 0 layers, but config\.json says n_layer 2"):
        load(folder)


def test_commands_say_so_in_one_line(
    save: Callable[[str], tuple[Path, Any]], minigpt: Callable[..., Any], tmp_path: Path
) -> None:
    folder, _ = save("GPT2ForSequenceClassification")
    told = f"note: {folder} also holds a head for another task (score), which is left aside.\n"
    (tmp_path / "a.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200, "utf-8")
    text, out = str(tmp_path / "a.txt"), str(tmp_path / "out")
    for command in (
        ("sample", "The", "-c", str(folder), "--max-tokens", "2"),
        ("inspect-probs", "The", "-c", str(folder)),
        ("evaluate", text, "-c", str(folder)),
        ("export", str(folder), out),
        ("train", text, "--from", str(folder), "--steps", "1", "--out", str(tmp_path / "run")),
    ):
        ended = minigpt(*command)
        assert ended.exit_code == 0, ended.output
        assert ended.stderr.count(told) == 1, command
        assert "left aside" not in ended.stdout
    for clean in (out, str(tmp_path / "run")):
        assert "left aside" not in minigpt("inspect-probs", "The", "-c", clean).output
    against = minigpt("inspect-probs", "The", "-c", out, "--against", str(folder))
    assert told in against.stderr
    values = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert values["architectures"] == ["GPT2LMHeadModel"]
