"""The file of a page: whole in itself, small, and with nothing in it that a token could turn into markup."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from minigpt.render.html import page, running_text
from minigpt.render.text_page import text_section
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.page_steps import step_logits
from minigpt.sampling.records import StepLogits

BAD = """</script><script>alert(1)</script> " ' < > & {{ 7 * 7 }} <!-- \x00 \u202e \u2028"""


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and the text in each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style") and data.strip():
            self.inside.append((*self.found[-1], data))

    def data(self) -> list[Any]:
        return [json.loads(text) for _, attributes, text in self.inside if attributes.get("type") == "application/json"]


def spelled(token: int) -> bytes:
    return BAD.encode() if token == 0 else f" w{token}".encode()


def step(logits: np.ndarray, token: int) -> StepLogits:
    record = step_record(distribution(logits), spelled, position=1, top=1, token=token)
    return step_logits(logits, (), [0], spelled, step=record, best=50)


def a_page(*steps: Any) -> Elements:
    return Elements(page("A page", [text_section("A text", steps)]))


def test_a_page_needs_nothing_but_itself() -> None:
    elements = a_page(step(np.arange(9.0), 3))
    assert not {name for name, _ in elements.found} & {"link", "img", "iframe", "object", "embed", "base", "a"}
    for _, attributes in elements.found:
        assert not {"src", "href", "style", "srcset", "action"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]


def test_the_policy_allows_our_style_and_script_by_their_hashes() -> None:
    elements = a_page(step(np.arange(9.0), 3))
    (policy,) = [a["content"] for name, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for name in ("style", "script"):
        (text,) = [text for tag, attributes, text in elements.inside if tag == name and not attributes]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def test_hostile_texts_add_no_elements() -> None:
    good = Elements(page("A page", [text_section("A text", [step(np.arange(9.0), 3)], before="x")], caption="y"))
    bad = Elements(page(BAD, [text_section(BAD, [step(-np.arange(9.0), 0)], before=BAD)], caption=BAD))
    assert [name for name, _ in bad.found] == [name for name, _ in good.found]
    (data,) = bad.data()
    assert data["tokens"][0][1].startswith("</script><script>alert(1)</script>")
    assert "<NUL>" in data["before"]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b" the\n", " the\n"), (b"\x00\x1b[31m", "<NUL><ESC>[31m"), ("\u202eabc".encode(), "<U+202E>abc"),
        (b"\xe2\x80", "<E2 80>"), (b"a\tb", "a\tb"), ("é".encode(), "é"),
    ],
)  # fmt: skip
def test_a_token_in_a_text_keeps_its_spaces_and_shows_its_controls(data: bytes, shown: str) -> None:
    record = step_record(distribution(np.zeros(2)), lambda token: data, position=1, top=1, token=0)
    assert record.token is not None
    assert running_text(record.token) == shown
