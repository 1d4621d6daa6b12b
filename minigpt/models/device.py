"""The name of a device in; the device, and the precision that is fastest on it, out."""

import torch

from minigpt.config import require
from minigpt.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU. Raises ConfigError for a device that this machine does not have."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r} is not a device. Use auto, cpu, cuda, cuda:1 or mps.") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    require(available.get(device.type, False), f"--device {name}: this machine has none. Use --device auto or cpu.")
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bfloat16 on a CUDA device with bfloat16 units, and float32 elsewhere."""
    if name != "auto":
        return name
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
