"""A comparison of a GPT with itself, a part taken out, in; part after part trained with equal tokens out."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from minigpt.checkpoint.records import TrainRecord
from minigpt.contest import budget
from minigpt.contest.ablated import PARTS, ablated, learned_parameters
from minigpt.contest.contest import Contest, Piece, Progress, Stopped
from minigpt.contest.positions import LOSS_WINDOWS, loss_by_position, windows
from minigpt.contest.records import Comparison, Contender, ContenderRun
from minigpt.contest.speed import training_rates
from minigpt.models.gpt import GPT
from minigpt.training.loop import train
from minigpt.training.plan import Plan


def ablation_of(comparison: Comparison, plan: Plan) -> Comparison:
    """`comparison` with the parts of its GPT in place of what came before it."""
    gpt = comparison.contenders[-1]
    parts = ((part, ablated(plan.model, part, comparison.seed)) for part in PARTS)
    contenders = tuple(replace(gpt, model=part, parameters=learned_parameters(model)) for part, model in parts)
    return replace(comparison, ablation=True, quick=True, contenders=contenders)


class Ablation(Contest):
    """None of its models is kept: but for the whole one, none is a GPT-2."""

    def pieces(self) -> Iterator[Piece]:
        """A training for each part."""
        if self.comparison.tokens is None:
            tokens = self._plan.train.batch_size * self.comparison.context
            ((_, rate),) = training_rates(
                self._plan.model, self._plan.train, self._device, tokens, (self.comparison.context,)
            )
            self._set(budget.equally_shared(self.comparison, rate, self.again))
        for contender in self.comparison.contenders:
            if contender.equal_tokens is None:
                yield Piece(contender.model, "equal_tokens", partial(self._without, contender))

    def total(self) -> int:
        """As many as parts."""
        return len(self.comparison.contenders)

    def done(self) -> int:
        """Those that are trained."""
        return sum(contender.equal_tokens is not None for contender in self.comparison.contenders)

    def _without(self, contender: Contender, stopped: Stopped, progress: Progress) -> dict[str, Any] | None:
        assert self.comparison.tokens is not None
        settings = self._settings(contender, self.comparison.tokens)
        model = ablated(self._plan.model, contender.model, settings.seed).to(self._device)
        records = []
        for record in train(model, self._plan.data, settings, self._plan.tokenizer.byte_lengths(), stopped):
            records.append(record)
            progress(record.step, settings.steps, record.loss_nats)
        return None if stopped() else self._found(model, records)

    def _found(self, model: GPT, records: list[TrainRecord]) -> dict[str, Any]:
        bits = [(r, r.validation_bits_per_byte) for r in records if r.validation_bits_per_byte is not None]
        result = ContenderRun(
            folder="",
            tokens=records[-1].tokens,
            seconds=records[-1].seconds,
            bits_per_byte=bits[-1][1],
            by_tokens=tuple((float(record.tokens), value) for record, value in bits),
            by_seconds=tuple((record.seconds, value) for record, value in bits),
        )
        held_out = windows(self._plan.data.validation, self._plan.model.context, LOSS_WINDOWS)
        return {"equal_tokens": result, "loss_nats_by_position": loss_by_position(model.eval(), held_out)}
