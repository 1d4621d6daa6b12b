"""`compare --ablate`: trains GPTs that each lack one part, to measure what that part contributes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.contest import lengths
from minigpt.contest.contest import Contest, Measurement, Progress, Stopped, contender_run
from minigpt.contest.measures import LOSS_WINDOWS, loss_by_position, training_rates, windows
from minigpt.contest.records import Comparison, Contender
from minigpt.models.gpt import GPT
from minigpt.models.kinds import give_positions
from minigpt.settings import ModelConfig
from minigpt.training.plan import Plan

PARTS = ("gpt", "no-positions", "one-head", "no-attention", "no-mlp")  # the whole one first


class _Nothing(nn.Module):
    """Replaces attention or an MLP, and adds nothing to the residual stream."""

    def forward(self, x_BTC: Tensor, *_: object) -> Tensor:
        return torch.zeros_like(x_BTC)


def ablated(config: ModelConfig, part: str, seed: int) -> GPT:
    """An initialised GPT without one part.

    The weights of the missing part are not replaced. A single head is as wide as all heads together, so only their
    number changes.
    """
    assert part in PARTS
    if part == "one-head":
        config = replace(config, heads=1)
    model = GPT(config).initialise(torch.Generator().manual_seed(seed))
    if part == "no-positions":
        return give_positions(model, "none")
    for block in model.blocks:
        if part == "no-attention":
            block.attn = _Nothing()  # type: ignore[assignment]
        elif part == "no-mlp":
            block.mlp = _Nothing()  # type: ignore[assignment]
    return model


def learned_parameters(model: GPT) -> int:
    """The number of parameters that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def ablation_of(comparison: Comparison, plan: Plan) -> Comparison:
    """`comparison` with the parts of its GPT in place of the earlier architectures."""
    gpt = comparison.contenders[-1]
    parts = ((part, ablated(plan.model, part, comparison.seed)) for part in PARTS)
    contenders = tuple(replace(gpt, model=part, parameters=learned_parameters(model)) for part, model in parts)
    return replace(comparison, ablation=True, quick=True, contenders=contenders)


class Ablation(Contest):
    """Trains one model for each part, with equal tokens. Only the whole one is saved: the others are not GPT-2s."""

    def measurements(self) -> Iterator[Measurement]:
        """One training for each part."""
        if self.comparison.tokens is None:
            ((_, rate),) = training_rates(self.plan.model, self.plan.train, self._device, (self.plan.model.context,))
            self._set(lengths.equally_shared(self.comparison, rate, self.again))
        for contender in self.comparison.contenders:
            if contender.equal_tokens is None:
                yield Measurement(contender.model, "equal_tokens", partial(self._train_part, contender))

    def _train_part(self, contender: Contender, stopped: Stopped, progress: Progress) -> dict[str, Any] | None:
        assert self.comparison.tokens is not None
        settings = self._settings(contender, self.comparison.tokens)
        model = ablated(self.plan.model, contender.model, settings.seed).to(self._device)
        records = self._train(model, settings, stopped, progress)
        if records is None:
            return None
        held_out = windows(self.plan.data.validation, self.plan.model.context, LOSS_WINDOWS)
        run = contender_run(records)
        return {
            "equal_tokens": replace(run, bits_per_byte=run.by_tokens[-1][1]),  # of the last model, which is measured
            "loss_nats_by_position": loss_by_position(model.eval(), held_out),
        }
