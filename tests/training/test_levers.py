"""The levers of scripts/fit levers: each changes the training, and without any it is minigpt's own."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
MODULES = ("levers", "lever_batches", "lever_training", "lever_runs")
SMALL = {"layers": 2, "width": 16, "vocab_size": 300, "context": 16, "batch_size": 2, "tokens": 10 * 32}
SEEDLESS = "bpe-dropout"  # the library draws its random numbers


@dataclass(frozen=True)
class Levers:
    """The modules, and a text of some kB."""

    path: Path
    levers: ModuleType
    batches: ModuleType
    training: ModuleType
    runs: ModuleType

    def setting(self, **changes: Any) -> Any:
        return self.batches.Setting(**(SMALL | changes))

    def text(self) -> Any:
        return self.batches.read_text(str(self.path), SMALL["vocab_size"], 0.4)

    @cached_property
    def base(self) -> bytes:
        return self.weights("base")

    def weights(self, written: str, **changes: Any) -> bytes:
        """All weights after a training, for comparisons to the bit."""
        result = self.training.trained(self.text(), self.setting(**changes), self.levers.changes_of(written))
        return b"".join(parameter.detach().numpy().tobytes() for parameter in result.model.parameters())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Levers]:
    path = tmp_path_factory.mktemp("levers") / "text.txt"
    path.write_text("".join(f"{n} and {n * n} make {n + n * n}, said the {n % 7}th fox.\n" for n in range(120)))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield Levers(path, *map(import_module, MODULES))
    for name in ("fit_law", "fit_check", "fit_measure", *MODULES):
        sys.modules.pop(name, None)


@pytest.mark.torch
def test_without_a_lever_the_steps_are_minigpts_own(lab: Levers) -> None:
    from minigpt.settings import TrainConfig
    from minigpt.training.optim import build_optimizers
    from minigpt.training.pace import adamw_rate
    from minigpt.training.ranks import ALONE
    from minigpt.training.schedule import learning_rate
    from minigpt.training.step import AutogradStep, Batches, loss_function, mixed

    text, setting, base = lab.text(), lab.setting(dropout=0.1), lab.levers.Changes()
    config = TrainConfig(
        steps=10, batch_size=2, learning_rate=adamw_rate(16), warmup_steps=1, weight_decay=setting.weight_decay
    )
    model = lab.training.new_model(text, setting, base)
    model.config = replace(model.config, dropout=0.1)
    for block in model.blocks:
        block.attn.dropout = block.mlp.dropout = 0.1
    optimizers = build_optimizers(model, config)
    take, batches = (
        AutogradStep(model, config, optimizers, ALONE, loss_function),
        Batches(text.train, config, 16, model.device, ALONE),
    )
    for step in range(1, 11):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * learning_rate(step, config) / config.learning_rate
        take(batches.of(step), mixed(config.seed, step))
    own = b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
    assert lab.base == own
    assert lab.weights("base", seed=2) != own


@pytest.mark.torch
def test_every_lever_changes_the_training_and_is_deterministic(lab: Levers) -> None:
    found = {name: lab.weights(name) for name in lab.levers.LEVERS}
    assert len({lab.base, *found.values()}) == 1 + len(found)  # each differs from the base and all others
    for name in found.keys() - {SEEDLESS}:
        assert lab.weights(name) == found[name], name


@pytest.mark.torch
@pytest.mark.parametrize(
    "written",
    [
        *(
            "replacement=0",
            "merges-undone=0",
            "short-windows=0",
            "small-batches=0",
            "context=1",
            "bpe-dropout=0",
            "noise=0",
            "mask=0",
        ),
        *("noise-fading=0", "smoothing=0", "smoothing-fading=0", "future=0", "future+future_factor=0", "dropout=1"),
        *("dropout-embeddings=1", "dropout-attention=1", "dropout-mlp=1", "dropout-higher=0", "depth=0", "ema=0"),
        *("late-average=0", "decay=1", "decay-embeddings=1", "decay-cautious=0", "rate=1", "rate-muon=1"),
        *("rate-adamw=1", "momentum=0.9", "normuon=0", "ensemble=0", "self-distillation+teacher_mix=0"),
        "rate-floor=linear",
    ],
)
def test_a_lever_of_no_strength_changes_nothing(lab: Levers, written: str) -> None:
    assert lab.weights(written) == lab.base


@pytest.mark.torch
def test_a_step_taken_apart_is_put_together_again(lab: Levers) -> None:
    import numpy as np

    parts, whole = (np.frombuffer(lab.weights(name), np.float32) for name in ("decay-cautious+decay=0", "decay=0"))
    np.testing.assert_allclose(parts, whole, atol=1e-4)  # but for rounding


@pytest.mark.torch
def test_cautious_decay_spares_weights_that_move_away_from_zero(lab: Levers) -> None:
    import torch

    optimizers = optimizers_of(lab, "decay-cautious")
    before, move = torch.tensor([[1.0, -1.0, 1.0, -1.0]]), torch.tensor([[-0.1, -0.1, 0.1, 0.1]])
    weights = before + move
    optimizers._change(weights, before, {"lr": 0.5}, 0.2)
    torch.testing.assert_close(weights, torch.tensor([[0.8, -1.1, 1.1, -0.8]]))


@pytest.mark.torch
def test_normuon_makes_moves_even_and_keeps_their_norm(lab: Levers) -> None:
    import torch

    move = torch.tensor([[3.0, 0.1, 1.0], [-4.0, 0.0, 2.0]])  # [in, out]
    even = optimizers_of(lab, "normuon")._scaled(move, 0, move)
    torch.testing.assert_close(even.norm(), move.norm())
    torch.testing.assert_close(even.norm(dim=0), move.norm().div(3**0.5).expand(3))
    torch.testing.assert_close(even.sign(), move.sign())


def optimizers_of(lab: Levers, written: str) -> Any:
    setting, changes = lab.setting(), lab.levers.changes_of(written)
    model = lab.training.new_model(lab.text(), setting, changes)
    return lab.training.Optimizers(model, setting, changes, lab.batches.planned_steps(setting, changes))


@pytest.mark.torch
def test_windows_read_each_token_once_an_epoch(lab: Levers) -> None:
    text, changes = lab.text(), lab.levers.Changes()
    a_window = len(text.train) // 16 - 1  # of an epoch, at least
    setting = lab.setting(tokens=2 * 16 * (a_window // 2))
    windows = lab.batches.Windows(text, setting, changes)
    starts = [start for step in lab.batches.planned_steps(setting, changes) for start in windows._next(step)]
    assert len(set(starts)) == len(starts)
    assert len({start % 16 for start in starts}) == 1


@pytest.mark.torch
def test_the_steps_of_short_windows_and_small_batches_read_as_many_tokens(lab: Levers) -> None:
    setting = lab.setting(tokens=40 * 32)
    for name, sizes in (("short-windows", {(8, 4), (4, 8), (2, 16)}), ("small-batches", {(1, 16), (2, 16), (4, 16)})):
        steps = lab.batches.planned_steps(setting, lab.levers.changes_of(name))
        assert {(step.rows, step.context) for step in steps} == sizes
        assert steps[-1].done + steps[-1].rows * steps[-1].context == pytest.approx(setting.tokens, abs=32)


@pytest.mark.torch
def test_levers_are_joined_unless_they_set_the_same_field(lab: Levers) -> None:
    changes = lab.levers.changes_of("replacement+ema=0.5+ensemble+teacher_mix=0.7")
    assert (changes.replacement, changes.ema, changes.teachers, changes.teacher_mix) == (1, 0.5, 3, 0.7)
    for wrong in ("noise+mask", "ema=much", "unknown", "teacher_mix", "noise+noise_shape=round", "ema+late-average"):
        with pytest.raises(ValueError, match=r"sets|number|no lever|must be one of|both"):
            lab.levers.changes_of(wrong)


@pytest.mark.torch
def test_shapes_keep_the_mean_unless_they_fade(lab: Levers) -> None:
    shares = [(n + 0.5) / 1000 for n in range(1000)]
    means = {name: sum(map(shape, shares)) / 1000 for name, shape in lab.levers.SHAPES.items()}
    for name in ("constant", "rising", "falling", "ends"):
        assert means[name] == pytest.approx(1, abs=1e-3), name
    assert means["fading"] == pytest.approx(0.5, abs=1e-3)


def line(text: str, lever: str, bits: float, *, seed: int = 1, seconds: float = 1.0, tokens: int = 100) -> Any:
    values = {"text": text, "sha256": text, "lever": lever, "bits_per_byte": bits}
    return values | {"seed": seed, "seconds": seconds, "tokens": tokens}


@pytest.mark.torch
def test_the_table_adds_up(lab: Levers) -> None:
    lines = [line("a", "base", 1.9), line("a", "base", 2.1, seed=2, seconds=2.0)]
    lines += [line("b", "base", 4.0), line("b", "base", 4.0, seed=2)]
    lines += [line("a", "x", 1.8, seed=2, seconds=3.0), line("b", "x", 3.2, tokens=50), line("a", "y", 2.2)]
    unit = (2 * 0.05**2 / 2) ** 0.5  # two deviations of 5 %, one degree of freedom of each text
    assert lab.runs.spread(lines) == pytest.approx(unit)
    best, worst = lab.runs.effects(lines)
    assert (best.lever, best.runs, worst.lever) == ("x", 2, "y")
    assert best.change == pytest.approx((-0.1 - 0.2) / 2)
    assert best.relative_time == pytest.approx((3 / 2 + 2) / 2)
    assert worst.change == pytest.approx(0.1)
    *_, row, _ = lab.runs.table(lines)
    assert row.split() == ["x", "-15.00%", "-3.0", "1.75", "2"]
    assert lab.runs.spread(lines[2:3]) is None


@pytest.mark.torch
def test_equal_time_scales_the_tokens(lab: Levers) -> None:
    runs = [lab.runs.Run("a", "a", lever, lab.setting(tokens=3200)) for lever in ("base", "x")]
    lines = [line("a", "base", 2.0), line("a", "x", 2.0, seconds=2.0)]
    assert [run.setting.tokens for run in lab.runs.of_equal_time(runs, lines)] == [3200, 1600]


@pytest.mark.torch
def test_what_is_measured_is_not_measured_again(
    lab: Levers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab.runs, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    fit_law = import_module("fit_law")
    out = tmp_path / "levers.jsonl"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = ["fit", "levers", str(lab.path), "--lever", "ema", "--seeds", "2", "--out", str(out), *flags]
    monkeypatch.setattr(sys, "argv", command)
    fit_law.main()
    first, lines = capsys.readouterr(), out.read_text()
    assert [json.loads(line)["lever"] for line in lines.splitlines()] == ["base", "base", "ema", "ema"]
    assert first.err.count("bits per byte") == 4
    assert first.out.splitlines()[-1].startswith("ema ")
    fit_law.main()
    assert capsys.readouterr() == (first.out, "")
    assert out.read_text() == lines
