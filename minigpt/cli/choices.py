"""`inspect-probs --choices`: a text and what may follow it in; how probable each is, out."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from minigpt.cli.guard import note
from minigpt.cli.page import ViewPage
from minigpt.cli.view import print_view
from minigpt.errors import brief
from minigpt.render.choices import choices_table, write_choices_csv
from minigpt.text.choices import joined_choices, running_together
from minigpt.text.wording import shown

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.views.choices import Choice


def show_choices(
    loaded: "Checkpoint",
    prompt: str,
    ids: list[int],
    texts: Sequence[str],
    *,
    json: bool,
    csv: bool,
    page: ViewPage,
    quiet: bool,
) -> None:
    from minigpt.models.decoder import decoding_threads
    from minigpt.views.choices import weigh

    with decoding_threads(loaded.model):
        choices = weigh(loaded.model, loaded.tokenizer, ids, texts)
    for sentence in (*_about_spaces(prompt, texts), *_about_beginnings(choices)):
        note(sentence, quiet=quiet)
    page.printed("How probable each choice is", lambda screen: [choices_table(choices, prompt, screen)])
    if csv:
        write_choices_csv(choices, sys.stdout)
    else:
        print_view(
            {"choices": choices}, lambda screen: [choices_table(choices, prompt, screen)], json=json, about=page.about
        )


def _about_spaces(prompt: str, texts: Sequence[str]) -> Iterator[str]:
    """Spaces are kept as given, so that both sides of the comma may need one, or neither."""
    together, spaced = running_together(prompt, texts), [text for text in texts if text[0] == " "]
    if together:
        asked = shlex.quote(joined_choices([" " + text if text in together else text for text in texts]))
        end = shown(prompt[-12:] + together[0])
        yield f'the text and "{brief(shown(together[0]))}" run together: "{end}". Spaces count: --choices {asked}'
    elif spaced and len(spaced) < len(texts):
        asked = shlex.quote(joined_choices([text.removeprefix(" ") for text in texts]))
        yield f"some choices begin with a space and others do not. Spaces count: --choices {asked}"


def _about_beginnings(choices: Sequence["Choice"]) -> Iterator[str]:
    """A text that goes on with the longer of two choices counts for both."""
    ids = {choice.text: [token.id for token in choice.tokens] for choice in choices}
    for short in ids:
        longer = next((text for text in ids if text != short and ids[text][: len(ids[short])] == ids[short]), None)
        if longer is not None:
            part, whole = brief(shown(short)), brief(shown(longer))
            yield f'"{part}" is the beginning of "{whole}", so its probability includes that one\'s.'
