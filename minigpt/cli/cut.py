"""`inspect-probs --tokens`: a checkpoint's tokenizer and a text in; how the text is cut, out."""

from typing import TYPE_CHECKING

from minigpt.cli.guard import stdout
from minigpt.cli.page import ViewPage
from minigpt.render.cut import cut_table
from minigpt.render.machine import to_json
from minigpt.render.screen import Screen

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer


def show_tokens(tokenizer: "Tokenizer", text: str, *, json: bool, page: ViewPage) -> None:
    """Each token of `text`, and the merges that built it; no model runs."""
    from minigpt.inspection.cut import cut

    tokens = cut(tokenizer, text)
    merges = len(tokenizer.merges())
    page.printed("How the text is cut", lambda screen: cut_table(tokens, tokenizer.vocab_size, merges, screen))
    if json:
        print(to_json({"tokens": tokens}))
        return
    console = stdout()
    for line in cut_table(tokens, tokenizer.vocab_size, merges, Screen.of(console)):
        console.print(line, soft_wrap=True)
