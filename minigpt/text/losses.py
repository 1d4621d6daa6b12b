"""Notes about a text: the characters for which a tokenizer has no token, and the names of special tokens."""

from dataclasses import dataclass

from minigpt.errors import escaped, named, quoted
from minigpt.text.tokenizer import Tokenizer


@dataclass
class Losses:
    """How many characters of one text or several `tokenizer` has no token for, and the first of them."""

    tokenizer: Tokenizer
    characters: int = 0
    first: str = ""

    def add(self, text: str) -> None:
        """Count those of `text`."""
        lost = self.tokenizer.lost(text)
        self.characters += len(lost)
        self.first = self.first or lost[:1]

    @property
    def note(self) -> str:
        """A sentence about them; empty if there are none."""
        if not self.characters:
            return ""
        count, them = ("1 character", "it") if self.characters == 1 else (f"{self.characters:,} characters", "them")
        return (
            f'this model\'s tokenizer has no token for {count} of the text, such as "{escaped(self.first)}", so the '
            f"model does not see {them}."
        )


def loss_note(tokenizer: Tokenizer, *texts: str) -> str:
    """A sentence about the characters of `texts` for which there is no token; empty if there are none."""
    losses = Losses(tokenizer)
    for text in texts:
        losses.add(text)
    return losses.note


def prompt_notes(tokenizer: Tokenizer, text: str) -> list[str]:
    """Sentences about parts of a prompt that the model reads in another way than one might expect."""
    lost, spelled = loss_note(tokenizer, text), tokenizer.special_names(text)
    notes = [lost] if lost else []
    if spelled:
        notes.append(
            f"{quoted(spelled[0])} in the text is read as letters; {named('special')} reads it as the special token."
        )
    return notes
