"""A model, ids and settings in; one TrainRecord a step out. It neither prints, nor saves, nor samples."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from minigpt.config import TrainConfig
from minigpt.models.gpt import GPT
from minigpt.records import TrainRecord
from minigpt.text.shards import TokenData, random_batch
from minigpt.training.evaluate import Evaluation, evaluate
from minigpt.training.optim import build_optimizer
from minigpt.training.schedule import evaluation_steps, learning_rate


def train(
    model: GPT,
    data: TokenData,
    config: TrainConfig,
    byte_lengths: np.ndarray,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[TrainRecord]:
    """Train `model` in place; record 0 is the untrained model, record n follows optimizer step n.

    `byte_lengths` [V]: bytes of each token. `stopped` is asked between steps; an evaluation that it cuts short is
    left out. What a step draws depends on (seed, step) alone, so that any step can be taken again. The model may be
    read between two records, and must not be changed.
    """
    trainer, evaluated = _Trainer(model, data, config), evaluation_steps(config)
    started = time.perf_counter()
    for step in range(config.steps + 1):
        if stopped():
            return
        record = trainer.take(step) if step else _Step(None, None, 0.0)
        result: Evaluation | None = None
        if step in evaluated and len(data.validation) > 1:
            result = evaluate(model, data.validation, byte_lengths, stopped=stopped, autocast=trainer.autocast)
        tokens = step * trainer.tokens_per_step
        yield TrainRecord(
            step=step,
            tokens=tokens,
            epoch=tokens / len(data.train),
            seconds=time.perf_counter() - started,
            tokens_per_second=trainer.tokens_per_step / record.seconds if step else 0.0,
            loss_nats=record.loss_nats,
            learning_rate=learning_rate(step, config) if step else 0.0,
            gradient_norm=record.gradient_norm,
            validation_loss_nats=result.loss_nats if result else None,
            validation_bits_per_byte=result.bits_per_byte if result else None,
        )


class _Step:
    def __init__(self, loss_nats: float | None, gradient_norm: float | None, seconds: float) -> None:
        self.loss_nats, self.gradient_norm, self.seconds = loss_nats, gradient_norm, seconds


class _Trainer:
    """The optimizer and what one step needs."""

    def __init__(self, model: GPT, data: TokenData, config: TrainConfig) -> None:
        self.model, self.data, self.config = model.train(), data, config
        self.optimizer = build_optimizer(model, config)
        self.generator = torch.Generator()
        self.tokens_per_step = config.batch_size * config.accumulation * model.config.context

    def autocast(self) -> torch.autocast:
        """bfloat16 for products, float32 for sums and weights; nothing where the precision is float32."""
        on = self.config.precision == "bfloat16"
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=on)

    def take(self, step: int) -> _Step:
        """One optimizer step."""
        started = time.perf_counter()
        self._seed(step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.config)
        loss = sum(self._backward() for _ in range(self.config.accumulation))
        limit = self.config.clip_norm or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return _Step(loss, norm, time.perf_counter() - started)

    def _seed(self, step: int) -> None:
        # Mixed, since torch's generator on the CPU takes no more than the lower 32 bits.
        seed = int(np.random.SeedSequence((self.config.seed, step)).generate_state(1)[0])
        self.generator.manual_seed(seed)
        if self.model.config.dropout:
            torch.manual_seed(seed)  # dropout draws from the global generator

    def _backward(self) -> float:
        """Forward and backward over one batch; its loss in nats per token, as its share of the step's."""
        x, y = random_batch(self.data.train, self.config.batch_size, self.model.config.context, self.generator)
        x, y = x.to(self.model.device), y.to(self.model.device)
        with self.autocast():
            logits = self.model(x)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten()) / self.config.accumulation
        loss.backward()
        return float(loss.detach())
