"""The device to compute on, by name, and the precision that is fastest on it."""

from collections.abc import Mapping

import torch

from minigpt.errors import ConfigError, brief, named
from minigpt.settings import DEVICES, PRECISIONS, one_of, require, require_choice


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU. Raises ConfigError for a device that this machine lacks."""
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
    try:
        return torch.cuda.is_available() and bool(torch.ones(1, device="cuda").add(1).item())
    except RuntimeError:
        return False


def resolve_precision(name: str, device: torch.device, width: int) -> str:
    """`auto` is bfloat16 if that is faster, float32 if the device lacks it, and otherwise mixed.

    bfloat16 is faster on CUDA, and on a CPU from a width of 96: a training step takes 0.82 of the time of mixed at 3
    layers x 96, 0.80 at 4 x 128 and 0.70 at 4 x 192, but 0.93 at 2 x 64.
    """
    require_choice("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if not has_bfloat16(device):
        return "float32"
    return "bfloat16" if device.type == "cuda" or (device.type == "cpu" and width >= 96) else "mixed"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 for products, float32 for sums and weights; nothing of it where the precision is float32 or mixed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes products of bfloat16 in hardware rather than emulating them."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    capabilities = cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def cpu_capabilities() -> Mapping[str, object]:
    """The processor's name and instruction sets, by torch's names; empty if this torch is too old to tell."""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities
