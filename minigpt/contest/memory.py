"""Measures the peak memory of training a model on a CPU, in a process of its own.

`python -m minigpt.contest.memory` is that process: it reads what to train as JSON, and writes a number of bytes.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from minigpt.settings import ModelConfig, TrainConfig
from minigpt.training.speed import measure_rate


def peak_bytes(config: ModelConfig, settings: TrainConfig, device: torch.device) -> int:
    """The additional memory that some training steps take: weights, gradients, moments and activations.

    0 if it cannot be measured, for example because Python lacks the module `resource`.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        measure_rate(config, device, settings, settings.batch_size)
        return torch.cuda.max_memory_allocated(device) - before
    request = {"model": asdict(config), "train": asdict(settings), "threads": torch.get_num_threads()}
    result = subprocess.run(
        [sys.executable, "-m", "minigpt.contest.memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for the comparison
    )
    return int(result.stdout) if result.returncode == 0 else 0


def _main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    tiny = ModelConfig(vocab_size=8, context=4, layers=1, heads=1, width=8)
    settings = TrainConfig(**request["train"])
    measure_rate(tiny, torch.device("cpu"), replace(settings, batch_size=1), 1)  # what is loaded at the first step
    before = _most_resident()
    measure_rate(ModelConfig(**request["model"]), torch.device("cpu"), settings, settings.batch_size)
    print(_most_resident() - before)


def _most_resident() -> int:
    """The peak memory of this process. Linux resets it for every program, whereas `getrusage` inherits the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    _main()
