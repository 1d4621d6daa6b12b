"""What is printed about a training before it begins, or in its place."""

from functools import partial
from typing import TYPE_CHECKING

from minigpt.cli.console import note, print_lines, stderr
from minigpt.render.machine import to_json
from minigpt.render.runs import best_of_each, plan_table, reasons
from minigpt.render.screen import Screen
from minigpt.render.style import byte_count, compact, quantity
from minigpt.settings import PAIR_MODELS, PLANNED, Choices
from minigpt.settings.model import NAMES

if TYPE_CHECKING:
    import torch
    from rich.text import Text

    from minigpt.app.again import Finished
    from minigpt.app.train_run import Prepared, TrainRequest
    from minigpt.training.distributed import Ranks
    from minigpt.training.plan import Plan


def show_plan(prepared: "Prepared", seconds: float | None, *, json: bool) -> None:
    """Print the plan of --dry-run; with a time budget for a GPT, the reasons, and at most ten alternatives."""
    plan, runs = prepared.plan, prepared.runs
    if plan is not None:
        if json:
            print(to_json(plan.model), to_json(plan.train), sep="\n")
        else:
            print_lines(partial(_size, plan, prepared.choices))
    elif json:
        for number, run in enumerate(best_of_each(runs)):
            print(to_json(run, chosen=number == 0))
    else:
        print_lines(partial(reasons, runs, seconds or 0.0))
        if len(runs) > 1:
            print_lines(partial(plan_table, runs))


def introduce(prepared: "Prepared", request: "TrainRequest", places: str) -> None:
    """Print three lines: the text, the model, and the folder; with a time budget, also what was chosen and why."""
    assert prepared.begun is not None
    (plan, folder, _), seconds, console = prepared.begun, request.length.seconds, stderr()
    screen = Screen.of(console)
    if not request.text.corpus:
        note(_without_text(prepared.choices.model))
    note(plan.corpus.skipped_note, *plan.notes)
    chosen = seconds is not None and plan.model.model in PLANNED
    for line in reasons(prepared.runs, seconds or 0.0, screen) if chosen else _size(plan, prepared.choices, screen):
        console.print(line)
    if plan.base is not None:
        console.print(_given(plan, screen))
    precision = plan.train.precision
    where = f"{places} in {precision}{' precision' if precision == 'mixed' else ''}"
    validation = f"validation on {plan.validation}" if plan.has_validation else "no validation"
    console.print(screen.caption(where, validation, f"saved in {folder.path}"))


def _without_text(model: str) -> str:
    if model in PAIR_MODELS:
        return "no pairs given, so this trains on English phrases with their French, which a small grammar makes."
    return "no text given, so this trains on Python's own language reference, which comes with every Python."


def finish(run: "Finished") -> str:
    """How a finished run ended, for a message about continuing it."""
    early, plan = run.info.get("stopped_early"), run.plan
    if early is None:
        return f"after {quantity(run.info.get('steps_taken') or plan.train.steps, 'step')}"
    return f"early, after {early:,} of {plan.train.steps:,} steps, as --patience {plan.train.patience} ran out"


def _given(plan: "Plan", screen: "Screen") -> "Text":
    """What is done with a given model."""
    train = plan.train
    frozen = f"the embeddings and {train.freeze} of {plan.model.layers} layers frozen" if train.freeze else ""
    return screen.caption(
        f"begins with {plan.base}",
        f"{train.optimizer} at {train.learning_rate:g}",
        frozen,
        "gradient checkpointing" if train.gradient_checkpointing else "",
    )


def _size(plan: "Plan", choices: Choices, screen: "Screen") -> "tuple[Text, Text]":
    """Two lines: the text, and the model."""
    text, model, tokens = plan.corpus, plan.model, int(plan.sizes.sum())
    batch = plan.train.batch_size * plan.train.accumulation
    step_tokens = round(batch * plan.sizes.mean()) if model.reads_pairs else batch * model.context
    epochs = plan.train.steps * step_tokens / tokens
    inside = quantity(model.heads, "head") if model.model == "gpt" else NAMES[model.model]
    each = " each" if model.reads_pairs else ""
    parts = quantity(text.documents // 2, "pair") if model.reads_pairs else quantity(text.documents, "document")
    shape = f"{quantity(model.layers, 'layer')} {screen.symbols.times} {model.width}{each}, {inside}"
    return (
        screen.caption(
            f"{text.name}: {byte_count(text.utf8_bytes)} in {parts}",
            f"{choices.tokenizer or 'given vocabulary'} {model.vocab_size:,}, {plan.bytes_per_token:.2f} bytes a token",
            f"{compact(tokens)} training tokens",
        ),
        screen.caption(
            f"{shape}, context {model.context}, {compact(model.parameter_count())} parameters",
            f"{quantity(plan.train.steps, 'step')} of {step_tokens:,} tokens, {epochs:.1f} epochs",
        ),
    )


def places(ranks: "Ranks", device: "torch.device") -> str:
    """The devices and processes that train."""
    if ranks.size == 1:
        return str(device)
    return f"{ranks.size} processes on {device.type}{', each with a part of the model,' if ranks.shard else ''}"
