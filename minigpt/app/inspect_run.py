"""What the inspect commands do: they open a checkpoint and ask a view about a text or about some tokens."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from minigpt.app.opening import about, open_checkpoint, text_to_look_at
from minigpt.models.kv_cache import window_start
from minigpt.settings import Machine, Settings, Source, check_ranges, settings_of
from minigpt.text.arguments import single_token
from minigpt.text.formats import check_argument
from minigpt.views.view import Answer, Question, View

Note = Callable[[str], None]


def question(
    view: View,
    flags: Settings,
    source: Source,
    machine: Machine,
    note: Note,
    *,
    tokens: Sequence[str] = (),
    top: int | None = None,
    explicit: bool = False,
) -> Question:
    """The question for a view: about a text, or about `tokens`, each given by its text or as #ID.

    `top`: how many tokens are listed, by default the view's usual number. `explicit`: whether the checkpoint was named
    on the command line or in a file of settings, rather than by the environment.
    """
    check_ranges({"top": top})
    _check_texts(flags)
    text = " ".join(tokens)
    if not view.of_tokens:
        advice = f'Give it as an argument (minigpt {view.command} "Once upon a"), with --file, or on standard input.'
        text = text_to_look_at(source.text, source.file, advice=advice)
    path = view.checkpoint(flags, source.checkpoint, explicit)
    loaded = open_checkpoint(path, machine.device, machine.threads)
    ids: Sequence[int] = ()
    if view.of_tokens:
        ids = [single_token(loaded.tokenizer, check_argument(token)) for token in tokens]
    elif view.runs_model:
        ids = loaded.tokenizer.encode(text)
    top = view.usual_top if top is None else top
    return Question(checkpoint=loaded, text=text, ids=ids, flags=flags, top=top, note=note)


def window_note(view: View, question: Question) -> str | None:
    """A note if the model reads more tokens than its context holds."""
    if view.tokens_ahead is None:
        return None
    config, tokens, ahead = question.checkpoint.model.config, len(question.ids), view.tokens_ahead(question)
    if not window_start(tokens + ahead, config.limit):
        return None
    longest = f", with the longest choice {tokens + ahead:,}" if ahead > 0 else ""
    return (
        f"the text has {tokens:,} tokens{longest}, the model's context {config.context}; it is read in windows that "
        "overlap, as sampling reads it."
    )


def page_answer(view: View, question: Question, answer: Answer) -> Answer:
    """The answer with the records that the view's page shows."""
    records = answer.records if view.page is None else view.page(question, answer)
    return replace(answer, records=records)


def json_about(view: View, question: Question) -> dict[str, Any]:
    """What JSON says beside the numbers: the text and the model."""
    return about(question.checkpoint, **({} if view.of_tokens else {"prompt": question.text}))


def _check_texts(flags: Settings) -> None:
    """Raise ConfigError for a text that is not valid Unicode."""
    for name in settings_of(flags):
        value = getattr(flags, name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                check_argument(text)
