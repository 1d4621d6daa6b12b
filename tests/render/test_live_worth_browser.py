"""What a part is worth, and two prompts side by side, on a live page: the numbers are those of Python's views."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser

from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.models.window import window_start
from minigpt.sampling.distribution import distribution, divergence_bits
from minigpt.sampling.score import distribution_after
from minigpt.sampling.vocabulary import best_ids
from minigpt.views.parts import parts_worth
from minigpt.views.without import next_without

DEMO = Path(__file__).parents[2] / "checkpoints/demo"
PAGE = "document.querySelector('section.view').page"
TEXT = "The value of the expression"
NEAR = pytest.approx

pytestmark = pytest.mark.torch  # which the page is exported with, and the views are computed with


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    return load(DEMO)


@pytest.fixture(scope="module")
def demo_page(tmp_path_factory: pytest.TempPathFactory, minigpt: Callable[..., Any]) -> Path:
    path = tmp_path_factory.mktemp("page") / "demo.html"
    assert minigpt("export", str(DEMO), str(path), "--dtype", "float32").exit_code == 0
    return path


@pytest.fixture
def page(browser: Browser, demo_page: Path) -> "Part":
    browser.open(demo_page)
    return Part(browser)


class Part:
    """A part of the page, opened, and what it shows."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.name = browser, ""

    def open(self, name: str) -> "Part":
        self.name = name
        self.browser[f"document.querySelector('details[data-part={name}]').open = true; 0"]
        self.wait(f"getComputedStyle({self.at('.compared')}).display !== 'none'")
        return self

    def at(self, selector: str) -> str:
        return f"document.querySelector('details[data-part={self.name}] {selector}')"

    def change(self, fields: str) -> None:
        self.browser[f"{PAGE}.change({fields}); 0"]

    def click(self, selector: str) -> None:
        self.browser[f"{self.at(selector)}.click(); 0"]

    def text(self, selector: str) -> str:
        return self.browser[f"{self.at(selector)}.textContent"]

    def data(self, selector: str, name: str) -> float:
        return float(self.browser[f"{self.at(selector)}.dataset.{name}"])

    def rows(self) -> dict[int, list[float]]:
        """Of each token in the list: both probabilities, and the change in bits."""
        rows = f"[...{self.at('.compared')}.querySelectorAll('tr[data-id]')]"
        cells = "[...row.querySelectorAll('[data-share], [data-bits]')]"
        numbers = f"{cells}.map((cell) => cell.dataset.share ?? cell.dataset.bits)"
        found = self.browser[f"{rows}.map((row) => [Number(row.dataset.id), {numbers}.map(Number)])"]
        return {int(token): numbers for token, numbers in found}

    def other(self) -> list[float]:
        cells = f"[...{self.at('.compared .other')}.querySelectorAll('[data-share]')]"
        return self.browser[f"{cells}.map((cell) => Number(cell.dataset.share))"]

    def wait(self, condition: str) -> None:
        for _ in range(2400):
            if self.browser[f"Boolean({condition})"]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{condition} does not come true")


def places(keys: Sequence[str], removed: Sequence[int]) -> list[str]:
    """The same in the words of `inspect-probs --without`."""
    parts = (key.split(".") for key in keys)
    named = [f"layer {layer} {'mlp' if which == 'mlp' else f'head {which}'}" for layer, which in parts]
    return [*named, *(f"position {place}" for place in removed)]


@pytest.mark.parametrize("to", ["zero", "mean"])
@pytest.mark.parametrize(
    ("keys", "removed"),
    [
        (["1.1"], []),
        (["2.4"], []),
        (["1.mlp"], []),
        (["2.mlp", "1.2", "2.1"], []),
        ([], [0]),
        (["2.2", "1.mlp"], [3, 1]),
        ([f"{layer}.{which}" for layer in (1, 2) for which in (1, 2, 3, 4, "mlp")], []),
    ],
)
def test_a_list_without_parts_is_that_of_python(
    page: Part, demo: Checkpoint, keys: list[str], removed: list[int], to: str
) -> None:
    ids = demo.tokenizer.encode(TEXT)
    page.change(f'{{ text: "{TEXT}", without: {keys}, removed: {removed}, to: "{to}" }}')
    page.open("worth")
    same = next_without(demo.model, demo.tokenizer, ids, places(keys, removed), ablation=to)
    rows = page.rows()
    best = max(same.candidates, key=lambda candidate: candidate.raw_prob)
    assert set(rows) == {candidate.id for candidate in same.candidates}
    for candidate in same.candidates:
        expected = [candidate.raw_prob, candidate.changed_raw_prob, candidate.change_bits]
        assert rows[candidate.id] == NEAR(expected, rel=1e-3, abs=1e-4)
    assert page.other() == NEAR([same.other.raw_prob, same.other.changed_raw_prob], abs=1e-4)
    assert [sum(row[i] for row in rows.values()) + page.other()[i] for i in (0, 1)] == NEAR([1, 1], abs=1e-9)
    assert page.data(".verdict", "bits") == NEAR(best.change_bits, abs=1e-3)
    apart = [page.data(".apart", name) for name in ("entropy", "otherEntropy", "divergence", "back")]
    expected = [
        same.entropy_bits, same.changed_entropy_bits, same.divergence_bits, same.changed_divergence_bits,
    ]  # fmt: skip
    assert apart == NEAR(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_the_ranking_of_all_parts_is_that_of_python(page: Part, demo: Checkpoint, to: str) -> None:
    ids = demo.tokenizer.encode(TEXT)
    chosen = best_ids(distribution_after(demo.model, ids).raw_V, 3)[2]
    page.change(f'{{ text: "{TEXT}", to: "{to}", chosen: {chosen} }}')
    page.open("worth").click(".rank")
    page.wait("document.querySelector('details[data-part=worth]').dataset.ranked === 'true'")
    same = parts_worth(demo.model, demo.tokenizer, ids, token=chosen, ablation=to)
    cells = "[...row.querySelectorAll('[data-adds], [data-bits]')]"
    numbers = f"{cells}.map((cell) => Number(cell.dataset.adds ?? cell.dataset.bits))"
    parts = f"[...{page.at('.worths')}.querySelectorAll('tr[data-name]')]"
    rows = page.browser[f"{parts}.map((row) => [row.dataset.name, ...{numbers}])"]
    found = {name: values for name, *values in rows}
    switched = [part for part in same.parts if part.change_bits is not None]
    assert [name for name, values in found.items() if len(values) == 2] == [part.part.name for part in switched]
    for part in switched:
        assert found[part.part.name] == NEAR([part.contribution, part.change_bits], rel=1e-3, abs=1e-3)
    assert sum(values[0] for values in found.values()) == NEAR(same.contribution_sum, abs=1e-3)
    assert page.data(".worths [data-sum]", "sum") == NEAR(same.token.logit, abs=1e-3)
    assert page.text(".adds-up").startswith("all parts add up to ")


def test_buttons_switch_off_leave_out_and_put_everything_on_again(page: Part) -> None:
    page.change(f'{{ text: "{TEXT}" }}')
    page.open("worth")
    before = page.rows()
    page.click('[data-part-key="2.3"]')
    page.click('[data-part-key="1.mlp"]')
    page.click('[data-place="2"]')
    assert page.browser[f"{PAGE}.state.without"] == ["2.3", "1.mlp"]
    assert page.browser[f"{PAGE}.state.removed"] == [2]
    pressed = f"[...{page.at('.switches')}.querySelectorAll('[aria-pressed=true]')].map((button) => button.ariaLabel)"
    assert page.browser[pressed] == ["switch off layer 1 mlp", "switch off layer 2 head 3"]
    assert page.browser["document.activeElement.dataset.place ?? null"] in (None, "2")
    assert page.rows() != before
    page.click('[data-part-key="2.3"]')
    assert page.browser[f"{PAGE}.state.without"] == ["1.mlp"]
    page.click(".all-on")
    assert page.rows() == before
    assert page.data(".verdict", "bits") == 0
    assert page.browser[f"{page.at('.all-on')}.disabled"]


def test_a_row_of_the_list_is_chosen_and_a_place_in_the_text_too(page: Part, demo: Checkpoint) -> None:
    ids = demo.tokenizer.encode(TEXT)
    page.change(f'{{ text: "{TEXT}", without: ["2.1"] }}')
    page.open("worth")
    third = list(page.rows())[2]
    page.click(".compared tbody tr:nth-child(3) button")
    assert page.browser[f"{PAGE}.state.chosen"] == third
    assert page.data(".verdict", "bits") == NEAR(page.rows()[third][2])
    page.change("{ chosen: null, at: 4 }")
    same = next_without(demo.model, demo.tokenizer, ids[:4], ["layer 2 head 1"], tracked=[ids[4]])
    expected = next(candidate for candidate in same.candidates if candidate.id == ids[4])
    assert page.data(".verdict", "bits") == NEAR(expected.change_bits, abs=1e-3)


def test_a_text_beyond_the_context_is_read_from_the_same_window(page: Part, demo: Checkpoint) -> None:
    text = "The value of the expression is a list of names and of the values in it. " * 4
    ids = demo.tokenizer.encode(text)
    start = window_start(len(ids), demo.model.config.context)
    assert start > 0
    page.change(f'{{ text: "{text}", without: ["2.1"], removed: [{start + 1}, {start + 5}] }}')
    page.open("worth")
    same = next_without(demo.model, demo.tokenizer, ids, places(["2.1"], [start + 1, start + 5]))
    for candidate in same.candidates:
        expected = [candidate.raw_prob, candidate.changed_raw_prob]
        assert page.rows()[candidate.id][:2] == NEAR(expected, abs=1e-4)
    assert page.browser[f"{page.at('.leave-out button')}.disabled"]


def test_the_ranking_can_be_stopped_and_begins_anew_with_another_text(page: Part) -> None:
    page.change(f'{{ text: "{TEXT}" }}')
    page.open("worth")
    page.browser[f"{page.at('.rank')}.click(); {page.at('.stop')}.click(); 0"]
    assert page.browser[f"{page.at('.stop')}.hidden && !{page.at('.rank')}.hidden"]
    page.click(".rank")
    page.change('{ text: "Another one" }')
    assert page.browser[f"{page.at('.stop')}.hidden"]
    assert page.browser[f"{page.at('.worths')}.querySelectorAll('[data-bits]').length"] == 0


def test_two_prompts_have_both_lists_and_both_surprisals(page: Part, demo: Checkpoint) -> None:
    one, other = "The value of", "Names are bound to"
    page.change(f'{{ text: "{one}", other: "{other}" }}')
    page.open("beside")
    page.wait("document.querySelector('details[data-part=beside]').dataset.scored === 'true'")
    both = [distribution_after(demo.model, demo.tokenizer.encode(text)) for text in (one, other)]
    rows = page.rows()
    union = best_ids(np.maximum(both[0].raw_V, both[1].raw_V), 10)
    assert list(rows) == union
    for token, (share, other_share, bits) in rows.items():
        assert [share, other_share] == NEAR([float(each.raw_V[token]) for each in both], abs=1e-5)
        assert 2**bits == NEAR(other_share / share, rel=1e-6)
    assert page.data(".apart", "divergence") == NEAR(divergence_bits(both[0].logits_V, both[1].logits_V), abs=1e-3)
    assert page.data(".apart", "otherEntropy") == NEAR(both[1].entropy_bits, abs=1e-3)
    for name, text in (("one", one), ("other", other)):
        ids = demo.tokenizer.encode(text)
        nodes = f"[...{page.at(f'.{name}-tokens')}.children]"
        tokens = page.browser[f"{nodes}.map((node) => [Number(node.dataset.id), Number(node.dataset.bits ?? -1)])"]
        assert [token for token, _ in tokens] == ids
        for place, (token, bits) in enumerate(tokens[1:], 1):
            exact = distribution(distribution_after(demo.model, ids[:place]).logits_V)
            assert 2**-bits == NEAR(float(exact.raw_V[token]), abs=1e-5)


def test_prompts_are_typed_swapped_and_shown_as_an_example(page: Part) -> None:
    page.open("beside")
    assert page.browser[f"{page.at('.result')}.hidden && {page.at('.swap')}.disabled"]
    page.click(".example")
    told = ["Server, can I have the check?", "Looks like I just crashed the server."]
    assert page.browser[f"[{PAGE}.state.text, {PAGE}.state.other]"] == told
    page.click(".swap")
    assert page.browser[f"[{PAGE}.state.text, {PAGE}.state.other]"] == told[::-1]
    page.browser[f"{page.at('.other-text')}.focus(); {page.at('.other-text')}.select(); 0"]
    page.browser("Input.insertText", text="<b>x</b>")
    assert page.browser[f"{PAGE}.state.other"] == "<b>x</b>"
    assert page.browser[f"{page.at('.other-tokens')}.textContent"] == "<b>x</b>"
    page.browser[f"{page.at('.other-text')}.focus(); {page.at('.other-text')}.select(); 0"]
    page.browser("Input.insertText", text="")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_narrow_screen(browser: Browser, demo_page: Path, dark: bool) -> None:
    browser.open(demo_page, 400, dark=dark)
    page = Part(browser)
    page.change(f'{{ text: "{TEXT} {TEXT}", without: ["2.1"], other: "{"x" * 90}" }}')
    for name in ("worth", "beside"):
        page.open(name)
        box = f"{page.at('.compared')}.parentElement"
        assert browser[f"{box}.scrollWidth <= {box}.clientWidth"]
    assert browser["document.documentElement.scrollWidth <= innerWidth"]
