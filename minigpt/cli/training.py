"""A plan and a run's folder in; a training that is watched, what it comes to, and what stopped it out."""

import math
import shlex
import signal
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.cli.guard import StopSignals, note, say, stderr, stdout
from minigpt.cli.untrained import untrained
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    import torch

    from minigpt.checkpoint.records import TrainRecord
    from minigpt.checkpoint.run import RunFolder
    from minigpt.models.kinds import Model
    from minigpt.training.distributed import Ranks
    from minigpt.training.plan import Plan
    from minigpt.training.share import Begun

_OPENING = 256  # tokens of the text, in which some words are sought to begin with


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to go about it this time; by the flags' names."""

    tensorboard: bool
    json: bool
    quiet: bool


def watched(
    begin: "Callable[[], Begun | None]", device: "torch.device", ranks: "Ranks", manner: Manner, *, resume: bool
) -> int | None:
    """Begin on rank 0, and train on all; the signal that stopped the run, if any."""
    from minigpt.training.share import share_run

    begun = share_run(ranks, begin)
    if begun is None:
        return None
    plan, folder, model = begun
    return _run(plan, ranks.place(model, device), folder, ranks, manner, resume=resume)


def _run(
    plan: "Plan", model: "Model", folder: "RunFolder", ranks: "Ranks", manner: Manner, *, resume: bool
) -> int | None:
    """Train with a display, and end with what to type next; the signal that stopped the run, if any."""
    from minigpt.checkpoint.run import TENSORBOARD
    from minigpt.render.machine import to_json
    from minigpt.render.progress import TrainDisplay, stopped_early
    from minigpt.training.evaluate import is_overfitting
    from minigpt.training.run import run
    from minigpt.training.tensorboard import EventFiles, is_installed

    history: list[TrainRecord] = []
    console = stderr()
    console.quiet = manner.quiet or not ranks.is_main
    events_before = resume and is_installed() and (folder.path / TENSORBOARD).is_dir()
    writes_events = (manner.tensorboard or events_before) and ranks.is_main
    save_every = folder.info.get("save_every")
    samples = ranks.is_main and not ranks.shard and not manner.quiet  # a model in parts is too slow to sample from
    with (
        StopSignals() as stopped,
        TrainDisplay(console, plan.train.steps, None if plan.train.steps_suffice else plan.train.seconds) as display,
        EventFiles(folder.path / TENSORBOARD, folder.info) if writes_events else nullcontext() as events,
        closing(run(plan, model, folder, stopped, save_every=save_every, resume=resume, ranks=ranks)) as records,
    ):
        for record, _ in records:
            if resume and not history:
                history = folder.logged()  # what came before, and this record
                for earlier in history[:-1]:
                    display.remember(earlier)
            else:
                history.append(record)
            display.update(record)
            if events:
                events.write(record)
            if manner.json:
                print(to_json(record), flush=True)
            if record.step % plan.train.eval_every == 0 and not manner.quiet and not stopped():
                if samples:
                    display.show_sample(_short_sample(plan, model))
                if ranks.is_main and is_overfitting(history, every=plan.train.eval_every):
                    display.warn_overfitting(record, _best(history))
        signal_number = int(ranks.farewell(stopped.received or 0)) or None
        if signal_number is None and "stopped_early" not in folder.info:
            display.finish()
    if ranks.is_main and "stopped_early" in folder.info and history:
        told = stopped_early(history[-1], _best(history), plan.train.steps, plan.train.patience)
        note(told, quiet=manner.quiet)
    if ranks.is_main and folder.info["status"] == "untrained":
        note(untrained(folder.info, folder.path), quiet=manner.quiet)
    if ranks.is_main and not manner.json:
        _conclude(folder, signal_number, _prompt(plan), quiet=manner.quiet)
    return signal_number


def _best(history: "list[TrainRecord]") -> "TrainRecord":
    """The record with the lowest validation loss."""
    return min(history, key=lambda r: math.inf if r.validation_loss_nats is None else r.validation_loss_nats)


def _short_sample(plan: "Plan", model: "Model") -> str:
    """Some forty tokens of the model as it is, and the model back in training."""
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.engine import generate

    settings = SampleConfig(max_tokens=40, top=1, seed=plan.train.seed, ignore_end_of_text=True)
    model.eval()
    with decoding_threads(model):
        text = "".join(piece.text for piece in generate(model, plan.tokenizer, "\n", settings))
    model.train()
    return text.strip()


def _prompt(plan: "Plan") -> str:
    """Words of the text that the model was trained on."""
    from minigpt.text.prompt import opening_words

    return opening_words(plan.tokenizer.decode(plan.data.train[:_OPENING].tolist()))


def _conclude(folder: "RunFolder", signal_number: int | None, prompt: str, *, quiet: bool) -> None:
    """Where the model is, how good it is, and the next two commands."""
    from minigpt.checkpoint.run_info import FINISHED

    saved, where = folder.info.get("saved") or {"step": 0}, str(folder.path)
    if signal_number is not None and folder.info["status"] not in FINISHED:
        name = signal.Signals(signal_number).name
        note(
            f"stopped by {name}; the run is saved. Go on with: minigpt train --resume {shlex.quote(where)}", quiet=quiet
        )
    bits = saved.get("validation_bits_per_byte")
    quality = f", {bits:.3f} bits per byte on {folder.info['corpus']['validation']}" if bits is not None else ""
    base = folder.info["choices"].get("base")
    if base is not None and not saved["step"] and not signal_number:
        note(f"no step made it better on that text: the model is {base} as it was.", quiet=quiet)
    console = stdout()
    best = "the best model, that of step" if bits is not None else "the model of step"
    best = "untrained, the model of step" if folder.info["status"] == "untrained" else best
    say(console, f"{where}: {best} {saved['step']:,}{quality}")
    for command in ("sample", f"inspect-probs {shlex.quote(prompt)}")[: 2 if prompt else 1]:
        say(console, f"  minigpt {command} -c {shlex.quote(where)}")
