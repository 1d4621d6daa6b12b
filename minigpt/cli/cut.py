"""`inspect-probs --tokens`: a checkpoint's tokenizer and a text in; how the text is cut, out."""

from typing import TYPE_CHECKING

from minigpt.cli.page import ViewPage
from minigpt.render.cut import cut_table

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer


def show_tokens(tokenizer: "Tokenizer", text: str, *, json: bool, page: ViewPage) -> None:
    """Each token of `text`, and the merges that built it; no model runs."""
    from minigpt.views.cut import cut

    tokens = cut(tokenizer, text)
    sizes = tokenizer.vocab_size, len(tokenizer.merges())
    page.show("How the text is cut", lambda screen: cut_table(tokens, *sizes, screen), {"tokens": tokens}, json=json)
