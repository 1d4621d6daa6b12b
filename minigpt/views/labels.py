"""How probable each label is that a model of pairs was trained to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import ConfigError, named
from minigpt.settings import Settings, require, setting
from minigpt.views.choices import Choice, weigh
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


def known_labels(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """The labels that the checkpoint's run was trained on, if it is one, and if its targets are labels."""
    from minigpt.checkpoint.runs import RUN, read_run_info, run_of

    run = run_of(checkpoint.path)
    return None if run is None else read_run_info(run / RUN).corpus.labels


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    labels: bool = setting(
        False, help="Show how probable each label is; for a model of pairs whose targets are a few labels."
    )


def _ask(question: Question) -> Answer:
    from minigpt.models.decoder import decoding_threads

    flag, choices = named("labels"), named("choices", "A,B,...")
    require(
        question.model.config.reads_pairs,
        f"{flag} goes with a model of pairs; a GPT continues one text: {choices} compares continuations.",
    )
    labels = known_labels(question.checkpoint)
    if not labels:
        raise ConfigError(
            f"{flag} needs a run whose training targets are labels, two or more that recur; this one records none. "
            f"{choices} compares any texts."
        )
    with decoding_threads(question.model):
        found = weigh(question.model, question.tokenizer, question.ids, labels, whole=True)
    return Answer(records=found, text=question.text.strip())


VIEW = View(
    record=Choice,
    key="labels",
    ask=_ask,
    title="How probable each label is",
    settings=_Flags,
    asked_by=("labels",),
    tokens_ahead=None,
    at_end=False,
    needs_torch=False,
    of_pairs=True,
)
