"""The section of attention: every weight, rounded to what is shown."""

from minigpt.render.attention import attention_section
from minigpt.render.html import page
from minigpt.text.records import Token
from minigpt.views.attention import AttentionGrid


def grid(layer: int, head: int | None, *rows: tuple[float, ...]) -> AttentionGrid:
    tokens = tuple(Token(id=i, text=f" w{i}", bytes=f" w{i}".encode().hex()) for i in range(len(rows)))
    return AttentionGrid(layer=layer, head=head, tokens=tokens, weights=rows, scores=rows)


def test_weights_are_thousandths() -> None:
    grids = [grid(1, None, (1.0,), (0.25, 0.75)), grid(1, 1, (1.0,), (0.12345, 0.87655))]
    data = attention_section("Attention", grids).data
    assert data["tokens"] == ["␣w0", "␣w1"]
    assert [(grid["layer"], grid["head"], grid["weights"]) for grid in data["grids"]] == [
        (1, None, [[1000], [250, 750]]),
        (1, 1, [[1000], [123, 877]]),
    ]


def test_four_hundred_thousand_weights_are_about_a_megabyte() -> None:
    """The most that the command line puts on a page, here as even as they can be."""
    rows = [tuple(1 / (i + 1) for _ in range(i + 1)) for i in range(126)]
    grids = [grid(layer, head, *rows) for layer in range(1, 6) for head in (None, *range(1, 10))]
    assert sum(len(row) for grid in grids for row in grid.weights) == 400_050
    assert len(page("A page", [attention_section("Attention", grids)])) < 1_250_000
