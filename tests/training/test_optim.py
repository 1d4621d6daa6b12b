"""Muon and AdamW against torch's own; which parameter goes to which optimizer; what a training does not import."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.settings import TrainConfig
from minigpt.training.optim import JORDAN, MINIMAX, AdamW, Muon, build_optimizers, orthogonalised


def with_gradients(model: GPT, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_each_parameter_has_one_optimizer(make_model: Callable[..., GPT]) -> None:
    model = make_model(50)
    adamw, muon = build_optimizers(model, TrainConfig())
    owned = [p for optimizer in (adamw, muon) for group in optimizer.param_groups for p in group["params"]]
    assert len(owned) == len(set(map(id, owned))) == len(list(model.parameters()))
    names = {id(p): name for name, p in model.named_parameters()}
    hidden = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert hidden == {n for n in names.values() if n.startswith("h.") and n.endswith(".weight") and "ln_" not in n}


def test_adamw_alone_takes_all(make_model: Callable[..., GPT]) -> None:
    model = make_model(50)
    (adamw,) = build_optimizers(model, TrainConfig(optimizer="adamw"))
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_frozen_parameter_has_no_optimizer(make_model: Callable[..., GPT], optimizer: str) -> None:
    model = make_model(50)
    model.wpe.weight.requires_grad_(False)
    optimizers = build_optimizers(model, TrainConfig(optimizer=optimizer))
    owned = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
    assert owned == {id(p) for p in model.parameters()} - {id(model.wpe.weight)}


def test_muon_equals_torchs_one_matrix_at_a_time_with_q_k_and_v_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = {"h.0.attn.c_attn.weight": (16, 48), "h.0.mlp.c_fc.weight": (16, 64), "h.0.mlp.c_proj.weight": (64, 16)}
    ours = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    parts = [(name, i) for name in ours for i in range(3 if "c_attn" in name else 1)]
    # torch's rule for the rate reads [out, in], so its matrices are ours transposed.
    theirs = [ours[name].chunk(3 if "c_attn" in name else 1, 1)[i].mT.clone() for name, i in parts]
    muon = Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.1, rounds=JORDAN, rounds_in=torch.bfloat16)
    reference = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(3):
        for parameter in ours.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for (name, i), parameter in zip(parts, theirs, strict=True):
            parameter.grad = ours[name].grad.chunk(3 if "c_attn" in name else 1, 1)[i].mT.clone()
        muon.step()
        reference.step()
    for (name, i), parameter in zip(parts, theirs, strict=True):
        mine = ours[name].chunk(3 if "c_attn" in name else 1, 1)[i].mT
        torch.testing.assert_close(mine, parameter, atol=3e-3, rtol=0)  # torch's rounds run in bfloat16 too


def test_adamw_equals_torchs() -> None:
    generator = torch.Generator().manual_seed(2)
    ours = [torch.randn(shape, generator=generator) for shape in ((30, 16), (16,), (5,))]
    theirs = [parameter.clone() for parameter in ours]
    sides = [
        kind([{"params": each[:1], "weight_decay": 0.1}, {"params": each[1:], "weight_decay": 0.0}], **settings)
        for kind, each, settings in (
            (AdamW, ours, {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8}),
            (torch.optim.AdamW, theirs, {"lr": 0.01, "betas": (0.9, 0.95), "fused": True}),
        )
    ]
    for _ in range(3):
        for mine, other in zip(ours[:2], theirs[:2], strict=True):  # the last one has no gradient
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in sides:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        assert {**sides[0].state[mine]}.keys() == {**sides[1].state[other]}.keys()


@pytest.mark.parametrize("flags", [["--layers", "1"], ["--model", "lstm"], ["--precision", "mixed"]])
def test_a_training_imports_neither_torchs_compiler_nor_its_sharding(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 40)
    script = (
        "import sys\n"
        "from minigpt.cli.app import main\n"
        "try: main()\n"
        "finally: print(*sorted({'torch._dynamo', 'torch.distributed.fsdp', 'sympy'} & set(sys.modules)))"
    )
    command = ["train", "text.txt", "--steps", "2", "--width", "16", "--context", "8", "--out", "run", "--json", *flags]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    *records, imported = done.stdout.splitlines()
    assert len(records) == 3
    assert imported == ""


@pytest.mark.parametrize("rounds_in", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rounds", "low", "high"), [(JORDAN, 0.5, 1.3), (MINIMAX, 0.1, 2.2)])
def test_orthogonalised_brings_singular_values_near_one(
    rounds: tuple[tuple[float, float, float], ...], low: float, high: float, rounds_in: torch.dtype
) -> None:
    matrices = (
        torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-4, 1, 1e4])[:, None, None]
    )
    values = torch.linalg.svdvals(orthogonalised(matrices, rounds, rounds_in).float())
    assert float(values.min()) > low
    assert float(values.max()) < high


@pytest.mark.parametrize("round_", [0, 1, 2])
def test_each_quintic_is_the_best_on_the_interval_that_the_last_one_leaves(round_: int) -> None:
    low, high = 0.001, 1.0
    for a, b, c in MINIMAX[:round_]:
        x = torch.linspace(low, high, 10_001, dtype=torch.float64)
        y = a * x + b * x**3 + c * x**5
        low, high = float(y.min()), float(y.max())
    a, b, c = MINIMAX[round_]
    x = torch.linspace(low, high, 100_001, dtype=torch.float64)
    error = a * x + b * x**3 + c * x**5 - 1
    # Chebyshev: three free coefficients, so the best one touches its largest error four times, with changing sign.
    turning = ((error[1:-1] - error[:-2]) * (error[2:] - error[1:-1]) < 0).nonzero().flatten() + 1
    touched = error[[0, *turning.tolist(), -1]]
    assert touched.sign().tolist() == [-1, 1, -1, 1]
    torch.testing.assert_close(touched.abs(), touched.abs().max().expand(4), rtol=5e-3, atol=0)


def test_no_gradient_at_all_changes_nothing_but_decay(make_model: Callable[..., GPT]) -> None:
    model = make_model(50)
    before = {name: p.clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in build_optimizers(model, TrainConfig(weight_decay=0.0)):
        optimizer.step()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_step_changes_every_parameter(make_model: Callable[..., GPT]) -> None:
    model = make_model(50)
    before = {name: p.clone() for name, p in model.named_parameters()}
    with_gradients(model, 0)
    for optimizer in build_optimizers(model, TrainConfig()):
        optimizer.step()
    assert [name for name, p in model.named_parameters() if torch.equal(p, before[name])] == []


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"optimizer": "sgd"}, "optimizer= must be muon or adamw"),
        ({"positions": "rotary"}, "positions= must be learned, sinusoidal or none, not rotary"),
        ({"muon_learning_rate": 0.0}, "muon_learning_rate="),
        ({"muon_learning_rate": float("nan")}, "muon_learning_rate="),
    ],
)
def test_settings_are_checked(changes: dict[str, object], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        TrainConfig(**changes)
