"""Builds one self-contained HTML page from its sections.

To add a section: write templates/NAME.html, and NAME.js, which registers what it does with `views`; and a function that
makes a Section of records. Nothing changes here.

What comes from records enters a page in two ways: through Jinja2, which escapes it everywhere, or as JSON in a block
that is no script, from which the scripts take it as text. Nothing is ever parsed as HTML. The page's policy lets only
our own style and scripts run, by their hashes, and loads nothing.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.text import Text

from minigpt.render.style import safe_text, token_label
from minigpt.text.records import Token

if TYPE_CHECKING:
    from jinja2 import Environment

_MOST_BEFORE = 2000  # characters
_CLASSES = {"bold", "dim", "cyan", "green", "yellow", "magenta", "red", "reverse"}  # those that page.css knows


@dataclass(frozen=True)
class Section:
    """A part of a page: templates/NAME.html under a title, its scripts, and their data."""

    name: str
    title: str
    data: Mapping[str, Any]
    scripts: tuple[str, ...]


def page(title: str, sections: Sequence[Section], *, caption: str = "", styles: Sequence[str] = ()) -> str:
    """The whole page, as the text of a file. `styles`: what it needs beside page.css."""
    scripts = dict.fromkeys(name for section in sections for name in section.scripts)
    style = "\n".join(map(_source, ["page.css", *styles]))
    script = "\n".join(map(_source, ["page.js", *scripts]))
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            caption=caption,
            sections=sections,
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )


def fragment(template: str, **values: Any) -> str:
    """HTML for another page, such as a notebook: a template filled in with `values`, all escaped."""
    return _environment().get_template(template).render(**values)


def running_text(token: Token) -> str:
    """A token as it appears in a text: spaces and newlines are themselves."""
    return token_label(token) if token.text is None else safe_text(token.text)


def text_before(text: str) -> str:
    """The end of the text that precedes what a page is about."""
    return safe_text(text[-_MOST_BEFORE:])


def printed_parts(lines: Iterable[Text]) -> Iterator[tuple[str, str]]:
    """The lines as runs of one style each, with the names of their classes."""
    for line in lines:
        ends = sorted({0, len(line), *(end for span in line.spans for end in (span.start, span.end))})
        for start, end in pairwise(ends):
            styles = [line.style, *(span.style for span in line.spans if span.start <= start and end <= span.end)]
            yield line.plain[start:end], " ".join(sorted(style_classes(" ".join(map(str, styles)))))
        yield "\n", ""


def style_classes(styles: str) -> set[str]:
    """The classes of page.css for the words of a style."""
    classes: set[str] = set()
    words = iter(styles.split())
    for word in words:
        if word == "not":
            classes.discard(next(words, ""))
        else:
            classes.add(word)
    return classes & _CLASSES


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # only for those who want a page

    environment = Environment(
        loader=PackageLoader("minigpt.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["safe_text"] = safe_text
    # For {{ data | tojson }}, which escapes <, >, & and ' so that nothing in it can end the block.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _source(name: str) -> str:
    return (files("minigpt.render") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """The hash by which a Content-Security-Policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
