"""The live page of a model: its weights, its tokenizer, and the scripts that compute with them."""

from collections.abc import Iterable, Mapping
from typing import Any

from minigpt.render.html import Section, page
from minigpt.render.text_page import token_row
from minigpt.text.records import Token

_ENGINE = ("weights", "gpt", "tokenizer", "philox", "sampling", "page")
# The parts of the page, each a file of scripts and a template; to add one, add it here and in model.html.
_PARTS = ("prompt", "list")


def model_page(data: Mapping[str, Any], tokens: Iterable[Token], *, title: str, caption: str) -> str:
    """The whole page. `data` is what app/export_page.py collects; `tokens`: the vocabulary, by id."""
    scripts = tuple(f"model/{name}.js" for name in (*_ENGINE, *_PARTS))
    rows = [token_row(token) for token in tokens]
    section = Section("model", "Type a text, and see what the model makes of it", {**data, "tokens": rows}, scripts)
    return page(title, [section], caption=caption, styles=("model/model.css",))
