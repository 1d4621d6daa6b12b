"""Trains a GPT by autograd as `Changes` say; without changes, bit for bit as minigpt's own AutogradStep does."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lever_batches import Setting, Step, Text, Windows, longest_context, planned_steps, with_noise
from levers import RATE_SHAPES, SHAPES, Changes
from torch import Tensor, nn

from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.training.optim import build_optimizers
from minigpt.training.pace import adamw_rate
from minigpt.training.schedule import learning_rate
from minigpt.training.speed import heads_of
from minigpt.training.step import mixed

MOST_DROPOUT = 0.9
FIRST_MOMENTUM = 0.85  # where it rises


@dataclass(frozen=True)
class Trained:
    """A model in eval mode, and the processor's seconds that its training took, with those of its teachers."""

    model: GPT
    steps: int
    seconds: float


def trained(text: Text, setting: Setting, changes: Changes) -> Trained:
    started = time.process_time()
    shorter = setting.of_tokens(setting.tokens * changes.teacher_share)
    teachers = [
        trained(text, replace(shorter, seed=setting.seed + 1000 * number), replace(changes, teachers=0)).model
        for number in range(1, changes.teachers + 1)
    ]
    model = new_model(text, setting, changes)
    steps = planned_steps(setting, changes)
    windows, optimizers = Windows(text, setting, changes), Optimizers(model, setting, changes, steps)
    average = Average(model, changes, len(steps))
    for step in steps:
        set_dropout(model, setting, changes, step)
        torch.manual_seed(mixed(setting.seed, step.number))
        ids = windows.of(step)
        x_BT = with_noise(ids[:, : step.context], text, setting.seed, step, changes)
        loss(model(x_BT), ids, taught(teachers, x_BT), step, changes).backward()
        nn.utils.clip_grad_norm_(model.parameters(), TrainConfig.clip_norm)
        optimizers.step(step)
        model.zero_grad(set_to_none=True)
        average.add(step)
    average.use()
    return Trained(model.eval(), len(steps), time.process_time() - started)


def new_model(text: Text, setting: Setting, changes: Changes) -> GPT:
    config = ModelConfig(
        vocab_size=len(text.byte_lengths),
        context=longest_context(setting, changes),
        layers=setting.layers,
        heads=heads_of(setting.width),
        width=setting.width,
    )
    model = GPT(config).initialise(torch.Generator().manual_seed(setting.seed))
    if changes.depth:
        for number, block in enumerate(model.blocks):
            for part in (block.attn, block.mlp):
                part.register_forward_hook(partial(_left_out, changes.depth * _higher(number, setting.layers)))
    return model.train()


def _higher(layer: int, layers: int) -> float:
    """A factor that grows from layer to layer, with a mean of 1."""
    return 2 * (layer + 1) / (layers + 1)


def _left_out(share: float, part: nn.Module, inputs: tuple[Tensor, ...], output_BTC: Tensor) -> Tensor:
    """Zero for a share of the windows; the others are scaled to keep the mean."""
    if not part.training:
        return output_BTC
    return output_BTC * (torch.rand(len(output_BTC), 1, 1) >= share) / (1 - share)


def set_dropout(model: GPT, setting: Setting, changes: Changes, step: Step) -> None:
    """The shares of this step, by place and layer."""
    share = setting.dropout * changes.strength("dropout", step.t)
    model.config = replace(model.config, dropout=min(MOST_DROPOUT, share * changes.dropout_embeddings))
    for number, block in enumerate(model.blocks):
        here = share * (_higher(number, setting.layers) if changes.dropout_higher else 1.0)
        block.attn.dropout = min(MOST_DROPOUT, here * changes.dropout_attention)
        block.mlp.dropout = min(MOST_DROPOUT, here * changes.dropout_mlp)


@torch.no_grad()
def taught(teachers: Sequence[GPT], x_BT: Tensor) -> Tensor | None:
    """The teachers' mean distribution [B T, V]."""
    if not teachers:
        return None
    return torch.stack([teacher(x_BT).softmax(-1) for teacher in teachers]).mean(0).flatten(0, 1)


def loss(logits_BTV: Tensor, ids: Tensor, taught_NV: Tensor | None, step: Step, changes: Changes) -> Tensor:
    """Cross-entropy with the next tokens, and what the levers add to it; `ids` are the windows."""

    def targets(after: int) -> Tensor:
        return ids[:, after : step.context + after].flatten()

    log_probs_NV = logits_BTV.flatten(0, 1).log_softmax(-1)
    nats = F.nll_loss(log_probs_NV, targets(1))
    if even := changes.strength("smoothing", step.t):
        nats = (1 - even) * nats - even * log_probs_NV.mean()
    if taught_NV is not None:
        mix = changes.teacher_mix * SHAPES[changes.teacher_shape](step.t)
        nats = (1 - mix) * nats - mix * (taught_NV * log_probs_NV).sum(-1).mean()
    factor = changes.future_factor * SHAPES[changes.future_shape](step.t)
    for after in range(1, changes.future + 1):
        if factor:
            nats = nats + factor**after * F.nll_loss(log_probs_NV, targets(1 + after))
    return nats


class Optimizers:
    """Those of `build_optimizers`, with the rates, the decay and the momentum of each step.

    What they do not know is done to their steps afterwards: cautious decay and NorMuon's scales.
    """

    def __init__(self, model: GPT, setting: Setting, changes: Changes, steps: Sequence[Step]) -> None:
        self._changes = changes
        self._config = TrainConfig(
            steps=len(steps),
            learning_rate=adamw_rate(setting.width) * changes.rate * changes.rate_adamw,
            muon_learning_rate=TrainConfig.muon_learning_rate * changes.rate * changes.rate_muon,
            warmup_steps=min(20, len(steps) // 10),
            weight_decay=setting.weight_decay * changes.decay,
            precision="float32",
        )
        self._each = build_optimizers(model, self._config)
        self._each[0].param_groups[0]["weight_decay"] *= changes.decay_embeddings
        self._groups = [group for optimizer in self._each for group in optimizer.param_groups]
        self._decays = [group["weight_decay"] for group in self._groups]
        warmup = self._config.warmup_steps
        done = steps[warmup - 1].done if warmup else -setting.step_tokens
        self._total, self._falling = setting.tokens, setting.tokens - done  # tokens: all, and while the rate falls
        self._second: dict[tuple[Tensor, int], Tensor] = {}

    @torch.no_grad()
    def step(self, step: Step) -> None:
        self._set(step)
        is_changed = bool(self._changes.decay_cautious or self._changes.normuon)
        decays = [group["weight_decay"] for group in self._groups]
        if is_changed:
            for group in self._groups:
                group["weight_decay"] = 0.0
            before = {p: p.detach().clone() for group in self._groups for p in group["params"]}
        for optimizer in self._each:
            optimizer.step()
        if is_changed:
            for group, decay in zip(self._groups, decays, strict=True):
                for parameter in group["params"]:
                    self._change(parameter, before[parameter], group, decay)

    def _set(self, step: Step) -> None:
        changes = self._changes
        left = RATE_SHAPES[changes.rate_shape](min(1.0, (self._total - step.done) / self._falling))
        rate = learning_rate(step.number, self._config, left)
        for group, decay in zip(self._groups, self._decays, strict=True):
            group["lr"] = group["initial_lr"] * rate / self._config.learning_rate
            group["weight_decay"] = decay * SHAPES[changes.decay_shape](step.t)
            if "momentum" in group:
                group["momentum"] = changes.momentum
                if step.t < changes.momentum_warmup:
                    rise = (changes.momentum - FIRST_MOMENTUM) * step.t / changes.momentum_warmup
                    group["momentum"] = FIRST_MOMENTUM + rise

    def _change(self, parameter: Tensor, before: Tensor, group: dict[str, Any], decay: float) -> None:
        """Replace a step that was taken without weight decay."""
        move = parameter - before
        if self._changes.normuon and "parts" in group:
            parts = move.div(group["lr"]).chunk(group["parts"], 1)
            move = group["lr"] * torch.cat([self._scaled(parameter, n, part) for n, part in enumerate(parts)], 1)
        decayed = group["lr"] * decay * before
        if self._changes.decay_cautious:
            decayed *= move * before < 0
        parameter.copy_(before + move - decayed)

    def _scaled(self, parameter: Tensor, number: int, move: Tensor) -> Tensor:
        """A move [in, out] of even size for each output neuron, with the norm that it had."""
        second = self._second.setdefault((parameter, number), torch.zeros(1, move.size(1)))
        second.lerp_(move.square().mean(0, keepdim=True), 1 - self._changes.normuon)
        even = move / second.sqrt().clamp(min=1e-12)
        return even.mul(move.norm() / even.norm().clamp(min=1e-12))


class Average:
    """An average of the weights, if the levers ask for one: `add` after each step, `use` at the end."""

    def __init__(self, model: GPT, changes: Changes, steps: int) -> None:
        self._changes, self._steps, self._count = changes, steps, 0
        self._parameters = list(model.parameters()) if changes.ema or changes.late_average else []
        self._averages = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def add(self, step: Step) -> None:
        if share := self._share(step.number):
            for average, parameter in zip(self._averages, self._parameters, strict=True):
                average.lerp_(parameter, share)

    def _share(self, number: int) -> float:
        """How much of the new average the weights after this step make up."""
        if self._changes.ema:
            return 1 - min(self._changes.ema, number / (number + 10))  # faster at first
        if not self._changes.late_average:
            return 0.0
        every = max(1, round(0.2 * self._steps / self._changes.late_average))
        if number <= 0.8 * self._steps or (self._steps - number) % every:
            return 0.0
        self._count += 1
        return 2 / (self._count + 1)  # the n-th snapshot weighs n

    @torch.no_grad()
    def use(self) -> None:
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            parameter.copy_(average)
