"""What the inspect commands do: they open a checkpoint and ask a view about a text or about some tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigpt.app.opening import open_checkpoint, text_to_look_at
from minigpt.errors import named
from minigpt.models.window import window_start
from minigpt.settings import Machine, ModelConfig, Settings, Source, check_ranges, require, settings_of
from minigpt.settings.model import NAMES
from minigpt.text.arguments import single_token
from minigpt.text.formats import check_argument
from minigpt.text.losses import prompt_notes
from minigpt.text.tokenizer import Encoded
from minigpt.views.view import Question, View


def question(
    view: View,
    flags: Settings,
    source: Source,
    machine: Machine,
    note: Callable[[str], None],
    given: Mapping[str, Any],
    tokens: Sequence[str] = (),
) -> Question:
    """The question for a view: about a text, or about `tokens`, each given by its text or as #ID.

    `given`: the settings given on the command line or in a file. `top` among them is the number of tokens listed, by
    default the view's usual one, and `checkpoint` is then not from the environment.
    """
    check_ranges(given)
    _check_texts(flags)
    require(bool(tokens) or not view.of_tokens, "Give a TOKEN to look at, such as ' the' with its space, or #262.")
    asked = " and ".join(map(named, view.asked_by))
    require(not (view.of_model and tokens), f"{asked} is about all of the model: leave out TOKEN.")
    text = " ".join(tokens)
    if not view.of_tokens and not view.of_model:
        advice = f'Give it as an argument (minigpt {view.command} "Once upon a"), with --file, or on standard input.'
        text = text_to_look_at(source.text, source.file, advice=advice)
    path = view.checkpoint(flags, source.checkpoint, "checkpoint" in given)
    loaded = open_checkpoint(path, machine, reading=source, needs_torch=view.needs_torch)
    read = Encoded([], [])
    if view.of_tokens:
        read = Encoded([single_token(loaded.tokenizer, check_argument(token)) for token in tokens], [])
    elif view.runs_model and not view.of_model:
        read = loaded.tokenizer.encode_prompt(text)
    for sentence in prompt_notes(loaded.tokenizer, text):
        note(sentence)
    top = given.get("top", view.usual_top)
    return Question(checkpoint=loaded, text=text, **read._asdict(), flags=flags, top=top, note=note)


def view_of_pairs(view: View, config: ModelConfig) -> View:
    """The view that answers for a model of pairs. Raises ConfigError if there is none."""
    found = view.for_pairs or view
    asked = " and ".join(map(named, view.asked_by)) or "That"
    are = "are" if len(view.asked_by) > 1 else "is"
    refusal = f"{asked} {are} not for {NAMES[config.model]}, which reads one text and writes another."
    require(found.of_pairs, f"{refusal} {found.advice_for_pairs}".rstrip())
    return found


def window_note(view: View, question: Question) -> str | None:
    """A note if the model reads more tokens than its context holds."""
    if view.tokens_ahead is None or question.model.config.reads_pairs:
        return None
    config, tokens, ahead = question.checkpoint.model.config, len(question.ids), view.tokens_ahead(question)
    if not window_start(tokens + ahead, config.limit):
        return None
    longest = f", with the longest choice {tokens + ahead:,}" if ahead > 0 else ""
    windows = "windows that overlap" if config.context > 1 else "windows of one token"
    return (
        f"the text has {tokens:,} tokens{longest}, the model's context {config.context}; it is read in {windows}, "
        "as sampling reads it."
    )


def json_about(view: View, question: Question) -> dict[str, Any]:
    """What JSON says beside the numbers: the text and the model."""
    return question.checkpoint.about(**({} if view.of_tokens or view.of_model else {"prompt": question.text}))


def _check_texts(flags: Settings) -> None:
    """Raise ConfigError for a text that is not valid Unicode."""
    for name in settings_of(flags):
        value = getattr(flags, name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                check_argument(text)
