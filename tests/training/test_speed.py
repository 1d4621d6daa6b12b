"""How many shapes are measured in the time there is, that the first is not measured cold, and what a GPU tells."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from minigpt.models import device as device_module
from minigpt.models.device import resolve_precision
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.training import speed as speed_module
from minigpt.training.speed import (
    MEASURED,
    Speed,
    flops_per_token,
    measure_rate,
    measure_speed,
    muon_flops,
    training_flops_per_token,
)


@pytest.mark.parametrize(
    ("seconds", "costs", "measured"),
    [
        (2.0, (0.1, 0.4, 1.6, 6.4, 25.6), 2),  # with the first twice: 0.6 so far, and 1.6 more would be too much
        (6.0, (0.1, 0.4, 1.6, 6.4, 25.6), 3),
        (1e9, (0.1, 0.4, 1.6, 6.4, 25.6), 5),
        (0.1, (1.0, 4.0, 16.0, 64.0, 256.0), 1),
    ],
)
def test_shapes_are_measured_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, costs: tuple[float, ...], measured: int
) -> None:
    now, trained = [0.0], []

    def rate(model: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int) -> float:
        now[0] += costs[MEASURED.index((model.layers, model.width))]
        trained.append(model.width)
        return 1e9 * len(trained) / flops_per_token(model, batch_size * model.context)

    monkeypatch.setattr(speed_module, "measure_rate", rate)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    speed = measure_speed(torch.device("cpu"), TrainConfig(), seconds)
    widths = [width for _, width in MEASURED[:measured]]
    assert trained == [widths[0], *widths]
    assert [point[0] for point in speed.points] == widths
    assert [point[1] for point in speed.points] == pytest.approx([1e9 * (i + 2) for i in range(measured)])
    assert speed.seconds_a_layer == 0


def test_larger_steps_share_the_work_of_an_update() -> None:
    model = ModelConfig(vocab_size=1024, context=128, layers=5, heads=4, width=256)
    assert muon_flops(model) == 5 * 90 * 256**3  # 4 square matrices at 12 s^3, and 2 of s x 4s at 21
    speed, forward_and_backward = Speed(((256, 1e11),)), training_flops_per_token(model)
    assert speed.tokens_per_second(model) == pytest.approx(1e11 / forward_and_backward)
    seconds = [tokens / speed.tokens_per_second(model, tokens) for tokens in (1024, 2048)]
    assert seconds[1] - seconds[0] == pytest.approx(1024 * forward_and_backward / 1e11)
    assert 2 * seconds[0] > 1.15 * seconds[1]


def test_short_steps_are_measured_until_they_are_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = ModelConfig(vocab_size=8, context=4, layers=1, heads=1, width=4), TrainConfig(precision="float32")
    steps = list[int]()

    def records(*_: object) -> Iterator[SimpleNamespace]:
        for step in range(1000):
            steps.append(step)
            yield SimpleNamespace(step=step, tokens_per_second=float(step))

    monkeypatch.setattr(speed_module, "train", records)
    for seconds, count in ((1.0, 7), (0.019, 11)):
        monkeypatch.setattr(time, "perf_counter", lambda seconds=seconds: len(steps) * seconds)
        steps.clear()
        assert measure_rate(model, torch.device("cpu"), settings, 1) == steps[-1] == count - 1


class Gpu:
    """Computes at 1e14 flops a second, and takes 2 ms to launch the work of a layer."""

    def __init__(self, largest: int = 768) -> None:
        self.largest = largest

    def rate(self, model: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int) -> float:
        if model.width > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        tokens = batch_size * model.context
        return tokens / max(0.002 * model.layers, tokens * flops_per_token(model, tokens) / 1e14)


def measured(monkeypatch: pytest.MonkeyPatch, gpu: Gpu) -> Speed:
    monkeypatch.setattr(speed_module, "measure_rate", gpu.rate)
    return measure_speed(torch.device("cuda"), TrainConfig(precision="float32"), 1e9)


@pytest.mark.parametrize("tokens", [256, 1024, 4096, 16384])
def test_of_a_gpu_it_is_told_how_fast_small_steps_are(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    gpu = Gpu()
    speed = measured(monkeypatch, gpu)
    assert speed.seconds_a_layer == pytest.approx(0.002)
    for layers, width in MEASURED:
        model = ModelConfig(vocab_size=1024, context=256, layers=layers, heads=1, width=width)
        expected = gpu.rate(model, torch.device("cuda"), TrainConfig(), tokens // 256)
        assert speed.tokens_per_second(model, tokens) == pytest.approx(expected)


def test_a_gpu_is_measured_as_far_as_its_memory_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = measured(monkeypatch, Gpu(largest=300))
    assert [width for width, _ in speed.points] == [64, 128, 256]


def test_a_gpu_without_memory_for_anything_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        measured(monkeypatch, Gpu(largest=10))


def test_several_processes_share_a_steps_tokens() -> None:
    model = ModelConfig(vocab_size=1024, context=256, layers=4, heads=1, width=128)
    alone = Speed(((128, 1e14),), seconds_a_layer=0.002)
    two = Speed(((128, 1e14),), processes=2, seconds_a_layer=0.002)
    assert two.tokens_per_second(model, 2048) == pytest.approx(2 * alone.tokens_per_second(model, 1024))
    assert two.tokens_per_second(model) == pytest.approx(2 * alone.tokens_per_second(model))


@pytest.mark.parametrize(
    ("faster_from", "precisions"),
    [
        (256, ("float32", "bfloat16", "bfloat16")),
        (1 << 20, ("float32", "float32", "float32")),
    ],
)
def test_a_cpu_with_bfloat16_is_measured_in_float32_too_until_bfloat16_is_faster(
    monkeypatch: pytest.MonkeyPatch, faster_from: int, precisions: tuple[str, str, str]
) -> None:
    measured = list[tuple[int, str]]()

    def rate(model: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int) -> float:
        measured.append((model.width, settings.precision))
        is_fast = settings.precision == ("bfloat16" if model.width >= faster_from else "float32")
        return (2e9 if is_fast else 1e9) / flops_per_token(model, batch_size * model.context)

    monkeypatch.setattr(speed_module, "measure_rate", rate)
    monkeypatch.setattr(speed_module, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(device_module, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(speed_module, "has_wide_registers", lambda: True)
    for where in (speed_module, device_module):
        monkeypatch.setattr(where, "multiplies_in_bfloat16", lambda: False)
    speed = measure_speed(torch.device("cpu"), TrainConfig(), 1e9)
    assert tuple(map(speed.precision, (128, 256, 768))) == precisions
    assert [flops for _, flops in speed.points] == pytest.approx([2e9] * 5)
    assert [width for width, precision in measured[1:] if precision == "float32"] == [
        width for _, width in MEASURED if width <= faster_from
    ]


def test_where_train_c_multiplies_in_bfloat16_that_alone_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = set[str]()

    def rate(model: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int) -> float:
        measured.add(settings.precision)
        return 1.0

    monkeypatch.setattr(speed_module, "measure_rate", rate)
    for where in (speed_module, device_module):
        monkeypatch.setattr(where, "has_bfloat16", lambda device: True)
        monkeypatch.setattr(where, "multiplies_in_bfloat16", lambda: True)
    assert measure_speed(torch.device("cpu"), TrainConfig(), 1e9).precision(64) == "auto"
    assert measured == {"bfloat16"}
    assert resolve_precision("auto", torch.device("cpu"), 64) == "bfloat16"


def test_a_precision_that_is_given_or_a_cpu_without_bfloat16_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "measure_rate", lambda model, *_: 1.0)
    for has, precision in ((True, "float32"), (False, "auto")):
        monkeypatch.setattr(speed_module, "has_bfloat16", lambda device, has=has: has)
        speed = measure_speed(torch.device("cpu"), TrainConfig(precision=precision), 1e9)
        assert speed.precision(128) == "auto"
