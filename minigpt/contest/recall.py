"""A synthetic task that measures over how many tokens a model can still recall a key.

A sequence is noise, somewhere a key, more noise, and a question; the answer is the key. Nothing else in it helps, so
that what is recalled was carried all the way. Hochreiter and Schmidhuber, 1997, tried their LSTM on such tasks.
"""

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models.kinds import Model, new_model
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.training.optim import build_optimizers
from minigpt.training.schedule import learning_rate

DISTANCES = (4, 8, 16, 32, 64, 128, 256)
KEYS, NOISE = 16, 16
QUESTION = KEYS + NOISE
VOCABULARY = QUESTION + 1
CONTEXT = DISTANCES[-1] + 1
SHAPE = ModelConfig(vocab_size=VOCABULARY, context=CONTEXT, layers=2, heads=2, width=64)  # of the GPT

_BATCH = 32
_TRIED = 256  # sequences for each distance
_TIMED_STEPS, _MIDDLING = 3, 64
_GROWS = 0.7  # of the training: without short distances to begin with, only the GPT learned anything


def sequences(
    distance: int, count: int, generator: torch.Generator, before: int | None = None
) -> tuple[Tensor, Tensor]:
    """`count` sequences [B, T] and their answers [B]; each key is `distance` tokens before its question.

    `before`: the amount of noise before the key; by default random, at most as much as after it.
    """
    if before is None:
        before = int(torch.randint(0, min(distance, CONTEXT - 1 - distance) + 1, (), generator=generator))
    ids_BT = torch.randint(KEYS, QUESTION, (count, before + distance + 1), generator=generator)
    ids_BT[:, before] = keys_B = torch.randint(KEYS, (count,), generator=generator)
    ids_BT[:, -1] = QUESTION
    return ids_BT, keys_B


def learn_recall(
    config: ModelConfig,
    steps: int,
    rate: float,
    seed: int,
    device: torch.device,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Model | None:
    """A model trained on `_BATCH` questions per step, at log-uniform distances; None if `stopped`.

    `progress` receives the step and its loss in nats.
    """
    generator = torch.Generator().manual_seed(seed)
    model = new_model(config).initialise(generator).to(device).train()
    settings = TrainConfig(steps=steps, learning_rate=rate, optimizer="adamw", warmup_steps=max(1, steps // 20))
    (optimizer,) = build_optimizers(model, settings)
    for step in range(1, steps + 1):
        if stopped():
            return None
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        loss = _loss(model, *sequences(_drawn_distance(step / steps, generator), _BATCH, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        model.zero_grad()
        progress(step, loss.item())
    return model.eval()


def _loss(model: Model, ids_BT: Tensor, keys_B: Tensor) -> Tensor:
    return F.cross_entropy(model(ids_BT.to(model.device), last_only=True)[:, 0], keys_B.to(model.device))


def _drawn_distance(share: float, generator: torch.Generator) -> int:
    """A log-uniform distance, up to a maximum that grows until `share` of the training is _GROWS."""
    low, high = DISTANCES[0], DISTANCES[0] * (DISTANCES[-1] / DISTANCES[0]) ** min(1.0, share / _GROWS)
    distance: float = low * (high / low) ** float(torch.rand((), generator=generator))
    return round(distance)


@torch.inference_mode()
def recalled(
    model: Model, seed: int, distances: Sequence[int] = DISTANCES, count: int = _TRIED
) -> tuple[tuple[int, float], ...]:
    """(distance, share of keys that are the model's first choice); one in KEYS is chance level."""
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for distance in distances:
        ids_BT, keys_B = sequences(distance, count, generator, before=0)
        logits_BV = model(ids_BT.to(model.device), last_only=True)[:, 0]
        shares.append((distance, float((logits_BV.argmax(-1).cpu() == keys_B).float().mean())))
    return tuple(shares)


def seconds_a_step(config: ModelConfig, device: torch.device) -> float:
    """The fastest time of a step of `learn_recall` at a medium distance."""
    generator = torch.Generator().manual_seed(0)
    model = new_model(config).initialise(generator).to(device).train()
    times = []
    for _ in range(_TIMED_STEPS):
        started = time.perf_counter()
        loss = _loss(model, *sequences(_MIDDLING, _BATCH, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())  # a GPU is waited for
        times.append(time.perf_counter() - started)
    return min(times)
