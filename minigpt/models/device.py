"""The device to compute on, by name, and the precision that is fastest on it."""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.errors import ConfigError, brief, named
from minigpt.models.train_library import train_library
from minigpt.settings import DEVICES, PRECISIONS, one_of, require, require_choice

if TYPE_CHECKING:
    import torch


def is_surely_cpu(name: str) -> bool:
    """Whether `resolve_device` would choose the CPU, as far as can be told without loading torch."""
    return name == "cpu" or (name == "auto" and not may_have_gpu())


def may_have_gpu() -> bool:
    """Whether torch might find a GPU: there is a driver's library or a device."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32"
        return any(path for name in ("nvcuda.dll", "amdhip64*.dll") for path in system.glob(name))
    return Path("/dev/kfd").exists() or _is_library("libcuda.so.1")  # AMD's driver; NVIDIA's, also in WSL


def _is_library(name: str) -> bool:
    """Whether the system finds a library of this name."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def resolve_device(name: str) -> "torch.device":
    """`auto` is CUDA, else MPS, else the CPU. Raises ConfigError for a device that this machine lacks."""
    import torch

    if name == "auto":
        name = "cuda" if _has_usable_cuda() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"{named('device', brief(repr(name)))} is not a device. Use {one_of((*DEVICES, 'cuda:1'))}."
        ) from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    require(
        available.get(device.type, False),
        f"{named('device', brief(name))}: this machine has none. Use {named('device', 'auto')} or cpu.",
    )
    return device


def _has_usable_cuda() -> bool:
    """Whether there is a GPU that this build of torch has kernels for; it also lists older ones."""
    import torch

    try:
        return torch.cuda.is_available() and bool(torch.ones(1, device="cuda").add(1).item())
    except RuntimeError:
        return False


def resolve_precision(name: str, device: "torch.device", width: int) -> str:
    """`auto` is bfloat16 if that is faster, float32 if the device lacks it, and otherwise mixed.

    bfloat16 is faster on CUDA, on a CPU for which train.c multiplies in it, and with torch from a width of 96 on: a
    training step takes 0.82 of the time of mixed at 3 layers x 96, 0.80 at 4 x 128 and 0.70 at 4 x 192, but 0.93 at
    2 x 64.
    """
    require_choice("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if not has_bfloat16(device):
        return "float32"
    on_cpu = device.type == "cpu" and (width >= 96 or multiplies_in_bfloat16())
    return "bfloat16" if on_cpu or device.type == "cuda" else "mixed"


def autocast(device: "torch.device", precision: str) -> "torch.autocast":
    """bfloat16 for products, float32 for sums and weights; nothing of it where the precision is float32 or mixed."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def has_bfloat16(device: "torch.device") -> bool:
    """Whether the device computes products of bfloat16 in hardware rather than emulating them."""
    if device.type == "cuda":
        import torch

        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    capabilities = cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def multiplies_in_bfloat16() -> bool:
    """Whether train.c multiplies in bfloat16 on this CPU, in half the time of float32.

    With AMX, torch's products are faster still, and so are preferred.
    """
    library = train_library()
    return library is not None and bool(library.train_has_bfloat16()) and not cpu_capabilities().get("amx_bf16")


def cpu_capabilities() -> Mapping[str, object]:
    """The processor's name and instruction sets, by torch's names; empty if this torch is too old to tell."""
    import torch

    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities
