"""The live page of a model: its weights, its tokenizer, and the scripts that compute with them."""

from collections.abc import Iterable, Mapping
from typing import Any

from minigpt.render.compare_page import SHAPES
from minigpt.render.html import Section, page
from minigpt.render.text_page import scales, token_row
from minigpt.settings import FILTERS, FilterSpec, SampleConfig
from minigpt.text.records import Token

_ENGINE = (
    "weights",
    "gpt",
    "tokenizer",
    "philox",
    "sampling",
    "state",
    "branches",
    "scores",
    "page",
    "keys",
    "boundary",
)
# The parts of the page, each a file of scripts and a template; to add one, add it here and in model.html.
_INSIDE = ("numbers", "vector", "choosers", "inside", "inside_input", "inside_head", "inside_block", "inside_output")
_ATTENTION = ("attention_grid", "attention")
_COMPARED = ("pair", "attribution", "worth", "beside")
_PARTS = (
    "walk",
    "prompt",
    "play",
    "settings",
    "list",
    *_INSIDE,
    *_ATTENTION,
    "lens",
    *_COMPARED,
    "game",
    "track",
    "history",
)


def model_page(data: Mapping[str, Any], tokens: Iterable[Token], *, title: str, caption: str) -> str:
    """The whole page. `data` is what app/export_page.py collects; `tokens`: the vocabulary, by id."""
    scripts = ("arcs.js", *(f"model/{name}.js" for name in (*_ENGINE, *_PARTS)))
    rows = [token_row(token) for token in tokens]
    known = {
        "filters": [_filter(spec, len(rows)) for spec in FILTERS.values()],
        "scales": scales(),
        "tokens": rows,
        "shapes": SHAPES,
    }
    section = Section("model", "Type a text, and see what the model makes of it", {**data, **known}, scripts)
    return page(title, [section], caption=caption, styles=("model/model.css", "model/inside.css", "model/walk.css"))


def _filter(spec: FilterSpec, vocabulary: int) -> dict[str, Any]:
    """A filter with its words, the values of its slider (none for biases), and the range of what a link may set."""
    assert spec.range is not None
    default = getattr(SampleConfig(), spec.setting)
    values = {*(spec.slider or spec.steps), *(spec.steps if spec.counts_tokens else ())}
    return {
        "name": spec.name,
        "heading": spec.heading,
        "words": spec.words,
        "help": spec.help,
        "unit": spec.unit,
        "key": spec.key,
        "shows": spec.usual,
        "neutral": spec.neutral,
        "usual": default,
        "values": sorted(value for value in values if not spec.counts_tokens or value <= vocabulary),
        "steps": spec.steps,
        "counts": spec.counts_tokens,
        "least": spec.range.least,
        "most": spec.range.most,
        "above": spec.range.above,
    }
