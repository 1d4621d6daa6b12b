"""What a terminal shows, on a page: the same letters, with the styles as classes."""

from rich.text import Text

from minigpt.render.html import page, printed_parts
from minigpt.render.table_page import tables_section


def test_styles_become_classes() -> None:
    line = Text("a ", "dim").append("b", "not dim bold cyan").append(" <c>")
    assert list(printed_parts([line, Text("plain"), Text("odd", "italic #ff0000")])) == [
        ("a ", "dim"), ("b", "bold cyan"), (" <c>", "dim"), ("\n", ""), ("plain", ""), ("\n", ""),
        ("odd", ""), ("\n", ""),
    ]  # fmt: skip


def test_the_letters_are_the_same_and_escaped() -> None:
    lines = [Text("<script>", "bold"), Text(' & "x"')]
    text = page("A page", [tables_section("A view", lines)])
    assert (
        '<pre class="printed" tabindex="0"><span class="bold">&lt;script&gt;</span>\n &amp; &#34;x&#34;\n</pre>' in text
    )
    assert "application/json" not in text
