"""The explorer's help: what it shows, and what each key does."""

from rich.text import Text

from minigpt.explore.keys import SETTINGS
from minigpt.render.screen import Screen

_WORDS = (
    (
        "What is shown",
        "The text is a way through a tree of tokens. The token at which you stand is inverted; what comes after it on "
        "this branch is dim. The list is the distribution of the token after yours: raw is the model's own softmax "
        "over the whole vocabulary, then what each setting leaves of it; hollow bars were cut, and all tokens that "
        "are not listed are one row. The tree has a line for each branch, and a mark where you stand.",
    ),
    (
        "Tokens",
        "up, down, page up, page down: move the mark in the list, through the whole vocabulary · enter: append the "
        "marked token · space: let the model draw one, with your settings · /: search the vocabulary; \\n is a newline",
    ),
    (
        "Branches",
        "left, backspace: one token back · right: forward on this branch · with shift: ten · home, end: its first "
        "token, its tip · tab, shift+tab: the tip of the next branch, of the one before. Another token in the middle "
        "of a text makes a branch there; nothing is lost.",
    ),
    (
        "Settings",
        "The small letter is for less, the capital for more: "
        + " · ".join(f"{key} {key.upper()}: {spec.words}" for key, spec in SETTINGS.items())
        + ". The logits of every token are kept, so the list changes without running the model.",
    ),
    (
        "Colours",
        "h: colour the text by how probable each token was, by how open the question was before it (entropy), by its "
        "rank",
    ),
    (
        "Guessing",
        "g: guess the next token and bet on it, against the model. Where the branch goes on, its tokens are what you "
        "guess; at its tip the model draws them. The costs are explained there.",
    ),
    (
        "Files",
        "s: the whole tree as a trace, a record for every token · e: the text up to where you stand. Neither is "
        "written over a file. When you leave (q, ctrl+c), that text is printed.",
    ),
)


def help_picture(screen: Screen) -> Text:
    """The help, one paragraph per subject."""
    return Text("\n").join(
        [
            Text("\n").join([Text(f" {name}", "bold"), screen.caption(words.replace("·", screen.symbols.dot))])
            for name, words in _WORDS
        ]
    )
