"""What attention heads look at in; a section of a page, in which layers and heads can be flipped through, out."""

from collections.abc import Sequence

from minigpt.render.html import Section
from minigpt.render.style import token_label
from minigpt.views.attention import AttentionGrid


def attention_section(title: str, grids: Sequence[AttentionGrid]) -> Section:
    """`grids` (one or more): all of one text, by layer; in each layer the mean of the heads, and every head.

    Weights are rounded to a thousandth, which is what the page shows.
    """
    data = {
        "tokens": [token_label(token) for token in grids[0].tokens],
        "grids": [
            {
                "layer": grid.layer,
                "head": grid.head,
                "weights": [[round(1000 * weight) for weight in row] for row in grid.weights],
            }
            for grid in grids
        ],
    }
    return Section("attention", title, data, ("attention.js",))
