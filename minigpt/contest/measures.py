"""Measures a model: its speed in training and in generating, its memory, and its loss and gradients by position.

`python -m minigpt.contest.measures` measures the peak memory of training on a CPU, which takes a separate process: it
reads what to train as JSON, and writes a number of bytes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.contest.records import Points
from minigpt.models.decoder import decoder_for, decoding_threads
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import Model, new_model
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import Ids
from minigpt.training.speed import measure_rate, pair_rate

CONTEXTS = (32, 64, 128, 256, 512)
TOKENS = (1, 64, 128, 256, 512, 1024)
SIDES = (8, 16, 32, 64)  # tokens of a source, and of a target
PAIR_TOKENS = (1, 16, 64, 256)
LOSS_WINDOWS, GRADIENT_WINDOWS = 256, 32
_AROUND = 16  # steps whose median is taken: those after this one
_AT_ONCE = 16  # windows


def training_rates(
    config: ModelConfig, settings: TrainConfig, device: torch.device, contexts: Sequence[int] = CONTEXTS
) -> Points:
    """(context, tokens per second), always with the tokens of a step of `config`: as the context doubles, the batch
    halves.
    """
    tokens = settings.batch_size * config.context
    return tuple(
        (length, measure_rate(replace(config, context=length), device, settings, max(1, tokens // length)))
        for length in contexts
    )


def rate_at(rates: Points, context: float) -> float:
    """The rate of the measured length nearest to `context`."""
    return min(rates, key=lambda point: abs(point[0] - context))[1]


def step_costs(config: ModelConfig, device: torch.device, tokens: Sequence[int] = TOKENS) -> Points:
    """(number of the generated token, milliseconds) for a random model whose context holds all of them."""
    model = new_model(replace(config, context=tokens[-1] + _AROUND + 1))
    model = model.initialise(torch.Generator().manual_seed(0)).to(device).eval()
    with decoding_threads(model):
        decoder = decoder_for(model)
        decoder.prefill([0])
        times = [_timed(decoder.step) for _ in range(tokens[-1] + _AROUND)]
    return tuple((number, 1000 * median(times[number - 1 : number - 1 + _AROUND])) for number in tokens)


def pair_rates(
    config: ModelConfig, settings: TrainConfig, device: torch.device, sides: Sequence[int] = SIDES
) -> Points:
    """(tokens a side, tokens per second) on random pairs, always with as many tokens in a step."""
    tokens = settings.batch_size * sides[0]  # a side, of all pairs of a step
    return tuple((side, pair_rate(config, device, settings, max(1, tokens // side), side)) for side in sides)


@torch.inference_mode()
def pair_step_costs(config: ModelConfig, device: torch.device, tokens: Sequence[int] = PAIR_TOKENS) -> Points:
    """(number of the generated token, milliseconds) for a random model, after a source of as many tokens, which is
    encoded already.
    """
    model = new_model(replace(config, context=tokens[-1] + _AROUND))
    assert isinstance(model, EncoderDecoder)
    model = model.initialise(torch.Generator().manual_seed(0)).to(device).eval()

    def timed(number: int) -> float:
        read = torch.zeros(1, number, dtype=torch.long, device=device)
        state, times = model.encode(read), []
        if number > 1:
            _, state = model.decode(read[:, 1:], state)
        for _ in range(_AROUND):
            started = time.perf_counter()
            y_BTC, state = model.decode(read[:, :1], state)
            float(model.head(y_BTC)[0, 0, 0])  # a GPU is waited for
            times.append(time.perf_counter() - started)
        return 1000 * median(times)

    with decoding_threads(model):
        timed(1)  # torch's first steps are slow
        return tuple((number, timed(number)) for number in tokens)


def _timed(step: Callable[[Sequence[int]], np.ndarray]) -> float:
    started = time.perf_counter()
    float(step([0])[0, 0])  # a GPU is waited for
    return time.perf_counter() - started


def windows(ids: Ids, context: int, most: int) -> Tensor:
    """At most this many windows [N, T + 1], int64, evenly spaced over `ids` (two or more).

    Each has a token to predict and the length of a context, or of `ids` if that is less; they overlap if there are too
    few ids.
    """
    length = min(context, len(ids) - 1)
    starts = np.unique(np.linspace(0, len(ids) - length - 1, most).astype(int))
    return torch.from_numpy(np.stack([ids[start : start + length + 1].astype(np.int64) for start in starts]))


@torch.inference_mode()
def loss_by_position(model: Model, windows_NT: Tensor) -> Points:
    """(number of tokens seen, mean loss in nats of the token after them)."""
    total_T = torch.zeros(windows_NT.size(1) - 1, dtype=torch.float64)
    for batch in torch.split(windows_NT.to(model.device), _AT_ONCE):
        logits = model(batch[:, :-1]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        total_T += losses.view(len(batch), -1).sum(0).cpu().double()
    return tuple(enumerate((total_T / len(windows_NT)).tolist(), start=1))


def gradient_by_distance(model: Model, windows_NT: Tensor) -> Points:
    """(distance to the predicted token, gradient norm), the nearest first, averaged over the windows.

    It is the gradient of a window's last loss with respect to the vector [C] of an input token.
    """
    total_T = torch.zeros(windows_NT.size(1) - 1, dtype=torch.float64)
    for batch in torch.split(windows_NT.to(model.device), _AT_ONCE):
        stream: list[Tensor] = []
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has gradients of an RNN only where it is in training
            logits = model(batch[:, :-1], last_only=True, stream=stream)[:, 0].float()
        loss = F.cross_entropy(logits, batch[:, -1], reduction="sum")
        (gradient_BTC,) = torch.autograd.grad(loss, stream[0])
        total_T += gradient_BTC.cpu().double().norm(dim=-1).sum(0)  # the square of a small float32 is 0
    return tuple(enumerate((total_T / len(windows_NT)).flip(0).tolist(), start=1))


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
        [sys.executable, "-m", "minigpt.contest.measures"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for the comparison
    )
    return int(result.stdout) if result.returncode == 0 else 0


def _print_peak_bytes() -> None:
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
    _print_peak_bytes()
