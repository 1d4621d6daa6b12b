"""Whether a machine has no GPU, told without torch."""

import platform
import sys
from pathlib import Path

import pytest
import safetensors._safetensors_rust

from minigpt.models import device
from minigpt.models.device import is_surely_cpu, may_have_gpu


@pytest.mark.parametrize("there", [True, False])
def test_only_the_cpu_and_auto_can_be_the_cpu(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "may_have_gpu", lambda: there)
    assert is_surely_cpu("cpu")
    assert is_surely_cpu("auto") != there
    assert not any(map(is_surely_cpu, ("cuda", "cuda:1", "mps", "CPU", "no such device", "")))


@pytest.mark.parametrize(("processor", "expected"), [("arm64", True), ("x86_64", False)])
def test_macs(processor: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: processor)
    assert may_have_gpu() == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [(None, False), ("nvcuda.dll", True), ("amdhip64_7.dll", True), ("amdhip64.dll", True), ("nvapi64.dll", False)],
)
def test_windows(file: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "System32").mkdir()
    if file:
        (tmp_path / "System32" / file).touch()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    assert may_have_gpu() == expected


@pytest.mark.parametrize(("driver", "amd"), [(False, False), (True, False), (False, True), (True, True)])
def test_linux(driver: bool, amd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's driver is a library, whose device files may be made when it is first used; AMD's is a device."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(device, "_is_library", lambda name: driver)
    monkeypatch.setattr(Path, "exists", lambda path: amd and str(path) == "/dev/kfd")
    assert may_have_gpu() == (driver or amd)


def test_a_library_is_there_if_the_system_loads_it() -> None:
    assert device._is_library(safetensors._safetensors_rust.__file__)
    assert not device._is_library("libno_such_driver.so.1")
