"""A plan and a folder in; the records of a run out, while the best model and the snapshots are saved."""

import math
import platform
from collections.abc import Callable, Generator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from minigpt.checkpoint.run import RunFolder
from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.records import TrainRecord
from minigpt.training.loop import train
from minigpt.training.plan import Plan
from minigpt.training.schedule import evaluation_steps, snapshot_steps


def build_model(plan: Plan, device: torch.device) -> GPT:
    """The untrained model; the same seed gives the same weights on every device."""
    return GPT(plan.model).initialise(torch.Generator().manual_seed(plan.train.seed)).to(device)


def run(
    plan: Plan, model: GPT, folder: RunFolder, stopped: Callable[[], bool]
) -> Generator[tuple[TrainRecord, bool], None, None]:
    """Train and save; yields each record and whether the model was saved at it.

    The model at the root is the one with the lowest validation loss, or the latest where there is no validation. A
    run stopped, or closed, before its first evaluation saves what it has. Raises ConfigError when the loss is no
    number any more.
    """
    evaluated, snapshots = evaluation_steps(plan.train), snapshot_steps(plan.train.steps)
    best, record, saved_step = float("inf"), None, 0
    try:
        for record in train(model, plan.data, plan.train, plan.tokenizer.byte_lengths(), stopped):
            folder.log(record)
            _check_converges(record, plan, folder, saved_step)
            loss = record.validation_loss_nats
            # Step 0 is on disk already, and anything learned since is better than it.
            better = record.step > 0 and (loss < best if loss is not None else plan.validation == "nothing")
            save = better and record.step in evaluated
            if save:
                best, saved_step = (loss if loss is not None else best), record.step
                folder.save(model, record)
            if record.step in snapshots:
                folder.snapshot(model, record)
            yield record, save
    except GeneratorExit:  # closed by who reads the records, such as a display whose pipe is closed
        pass
    if record is not None and record.step and not saved_step:
        folder.save(model, record)
    folder.update(status="stopped" if record is None or record.step < plan.train.steps else "finished")


def _check_converges(record: TrainRecord, plan: Plan, folder: RunFolder, saved_step: int) -> None:
    losses = (record.loss_nats, record.validation_loss_nats)
    if all(loss is None or math.isfinite(loss) for loss in losses):
        return
    folder.update(status="diverged")
    raise ConfigError(
        f"At step {record.step:,} the loss is no number any more: --learning-rate {plan.train.learning_rate:g} is too "
        f"high.\n{folder.path} keeps the model of step {saved_step:,}. Try a tenth of that rate."
    )


def run_info(plan: Plan, preset: str, device: torch.device) -> dict[str, Any]:
    """The contents of run.json at the start."""
    packages = ("minigpt", "torch", "tokenizers", "safetensors", "numpy")
    return {
        "date": datetime.now(UTC).isoformat(timespec="microseconds"),
        "status": "running",
        "name": plan.corpus.name,
        "preset": preset,
        "model": asdict(plan.model),
        "parameters": plan.model.parameter_count(),
        "train": asdict(plan.train),
        "device": str(device),
        "seed": plan.train.seed,
        "corpus": {
            "sources": [asdict(source) for source in plan.corpus.sources],
            "skipped": len(plan.corpus.skipped),
            "documents": len(plan.corpus.documents),
            "bytes": plan.corpus.utf8_bytes,
            "train_tokens": len(plan.data.train),
            "validation_tokens": len(plan.data.validation),
            "validation": plan.validation,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def model_card(plan: Plan) -> str:
    """The README.md of the run's folder."""
    sources = "\n".join(f"- {source.name} ({source.size:,} bytes)" for source in plan.corpus.sources[:20])
    more = len(plan.corpus.sources) - 20
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [minigpt, gpt2]
---

# {plan.corpus.name}

A GPT-2 of {plan.model.parameter_count():,} parameters ({plan.model.layers} layers x {plan.model.width}, \
{plan.model.heads} heads, context {plan.model.context}, vocabulary {plan.model.vocab_size:,}), trained by minigpt on:

{sources}{f"{chr(10)}- and {more:,} more" if more > 0 else ""}

The validation loss is measured on {plan.validation}; how the run went is in `train.jsonl`, its settings in `run.json`.

    minigpt sample --checkpoint FOLDER
    transformers.AutoModelForCausalLM.from_pretrained("FOLDER")
"""
