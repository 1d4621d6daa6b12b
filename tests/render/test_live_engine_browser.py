"""The forward pass of a live page, in a real browser, beside the model's own in torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import Browser

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.models.gpt import GPT
from minigpt.settings import ACTIVATIONS, ModelConfig
from minigpt.text.tokenizer import Tokenizer

MODEL = 'document.querySelector("section.view").page.model'
# Widths that can be divided by four and that cannot, of the whole, of a head, and inside the MLP; a head of its own.
SHAPES: list[dict[str, Any]] = [
    {"width": 32, "heads": 4},
    {"width": 18, "heads": 3, "inner_width": 29},
    {"width": 7, "heads": 1, "inner_width": 1, "tied": False},
    *({"width": 20, "heads": 2, "activation": activation} for activation in ACTIVATIONS),
]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path, bpe: Tokenizer, minigpt: Callable[..., Any]) -> Callable[..., GPT]:
    """Exports a random model of a shape as a page in float32, and opens it; returns the model."""

    def open_page(dtype: str = "float32", **shape: Any) -> GPT:
        torch.manual_seed(0)
        model = GPT(ModelConfig(vocab_size=bpe.vocab_size, context=24, layers=2, **shape))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.4)
        folder = tmp_path / "model"
        folder.mkdir()
        save_description(folder, model.config, bpe, torch.float32)
        save_weights(folder, model)
        assert minigpt("export", str(folder), str(tmp_path / "page.html"), "--dtype", dtype).exit_code == 0
        browser.open(tmp_path / "page.html")
        return model.eval()

    return open_page


def expected(model: GPT, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids]))[0]


def logits(browser: Browser, reading: str, count: int) -> torch.Tensor:
    """Those after each of the `count` tokens of a pass."""
    return torch.tensor(browser[f"Array.from({{length: {count}}}, (_, t) => [...({reading}).logits(t)])"])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(map(str, shape.values())))
def test_logits_of_all_shapes(browser: Browser, open_page: Callable[..., GPT], shape: dict[str, Any]) -> None:
    model = open_page(**shape)
    for length in (1, 2, 3, 13, 24):
        ids = torch.randint(model.config.vocab_size, (length,)).tolist()
        found = logits(browser, f"{MODEL}.read({ids})", length)
        assert torch.allclose(found, expected(model, ids), rtol=0, atol=1e-4)


def test_a_pass_that_goes_on_from_another_gives_the_same_numbers(
    browser: Browser, open_page: Callable[..., GPT]
) -> None:
    model = open_page(width=18, heads=3)
    ids = torch.randint(model.config.vocab_size, (24,)).tolist()
    browser[f"var ids = {ids}, first = {MODEL}.read(ids.slice(0, 5)); 0"]
    alone = browser[f"[...{MODEL}.read(ids).logits()]"]
    assert (
        browser[
            f"[...ids.slice(5).reduce((pass, id) => {MODEL}.read([...pass.all, id], {{from: pass}}), first).logits()]"
        ]
        == alone
    )
    assert browser["first.reused"] == 0
    assert browser[f"{MODEL}.read(ids, {{from: first}}).reused"] == 5


def test_two_passes_that_go_on_from_the_same_one_do_not_disturb_each_other(
    browser: Browser, open_page: Callable[..., GPT]
) -> None:
    model = open_page(width=18, heads=3)
    begin, one, other = [3, 1, 4, 1, 5], [9, 2, 6], [5, 3, 5, 8, 9, 7]
    browser[
        f"""
        var start = {MODEL}.read({begin}), one = {MODEL}.read({begin + one}, {{from: start}});
        var other = {MODEL}.read({begin + other}, {{from: start}});
        var more = {MODEL}.read({begin + one + one}, {{from: one}});
        var shorter = {MODEL}.read({begin[:3] + one}, {{from: start}}); 0
    """
    ]
    passes = {
        "start": begin,
        "one": begin + one,
        "other": begin + other,
        "more": begin + one + one,
        "shorter": begin[:3] + one,
    }
    for name, ids in passes.items():
        assert torch.allclose(logits(browser, name, len(ids)), expected(model, ids), rtol=0, atol=1e-4), name


@pytest.mark.parametrize(("dtype", "most"), [("bfloat16", 0.05), ("int8", 0.05)])
def test_smaller_types_stay_near(browser: Browser, open_page: Callable[..., GPT], dtype: str, most: float) -> None:
    model = open_page(dtype, width=32, heads=4)
    ids = torch.randint(model.config.vocab_size, (24,)).tolist()
    far = (logits(browser, f"{MODEL}.read({ids})", 24) - expected(model, ids)).norm() / expected(model, ids).norm()
    assert 0 < far < most


def test_layers_before_the_first_part_that_is_off_are_taken_from_the_whole_model(
    browser: Browser, open_page: Callable[..., GPT]
) -> None:
    open_page(width=18, heads=3)
    browser[f"var ids = [3, 1, 4, 1, 5, 9], whole = {MODEL}.read(ids); 0"]
    for parts in ([], ["1.2"], ["2.3"], ["2.mlp"], ["2.1", "1.mlp"]):
        for to in ("zero", "mean"):
            off = f'{{parts: new Set({parts}), to: "{to}"}}'
            alone = browser[f"[...{MODEL}.read(ids, {{without: {off}}}).logits()]"]
            assert browser[f"[...{MODEL}.read(ids, {{without: {off}, beside: whole}}).logits()]"] == alone
            assert (alone == browser["[...whole.logits()]"]) == (parts == [])
