"""The live page in a real browser, driven by keys and clicks: its lists, draws and games against Python's."""

import base64
import json
import pickle
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from browser import KEYS, NAMES, Browser

from minigpt.app.export_page import page_data
from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.checkpoint.importing import read_characters
from minigpt.checkpoint.listing import snapshots
from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.render.model_page import model_page
from minigpt.render.style import token_label
from minigpt.render.tokenization import boundary_note
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.engine import generate
from minigpt.sampling.filters import build_stages
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.sampling.score import distribution_after
from minigpt.sampling.tree import TokenTree
from minigpt.sampling.vocabulary import best_ids
from minigpt.settings import FILTERS, SampleConfig
from minigpt.text.records import Token
from minigpt.views.tokenization import boundary

DEMO = Path(__file__).parents[2] / "checkpoints/demo"
PAGE = "document.querySelector('section.view').page"
RAW = SampleConfig(temperature=1.0, top_p=1.0, top=10)
LOGITS, SHARES = 1e-4, 1e-6  # how near the numbers of a float32 page must be


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    return load(DEMO)


@pytest.fixture(scope="module")
def demo_page(demo: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's page in float32, which holds its snapshots too."""
    path = tmp_path_factory.mktemp("page") / "demo.html"
    tokens = (Token.of(demo.tokenizer, token) for token in range(demo.model.config.vocab_size))
    path.write_text(model_page(page_data(demo, "float32"), tokens, title="demo", caption="demo"), "utf-8")
    return path


@pytest.fixture
def page(browser: Browser, demo_page: Path) -> "Page":
    browser.open(demo_page)
    return Page(browser)


class Page:
    """What a person does with the page, and what the page then shows."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.wait("true")

    def __getitem__(self, expression: str) -> Any:
        """The value of an expression of the page object `page`."""
        return self.browser[f"((page) => {expression})({PAGE})"]

    def wait(self, condition: str) -> None:
        """Wait until the page has shown all, and a condition holds."""
        shown = "document.querySelector('.tokens').dataset.coloured === 'true'"
        for _ in range(2400):
            if self.browser[f"((page) => Boolean(page && {shown} && {condition}))({PAGE})"]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{condition} does not come true")

    def type(self, text: str) -> None:
        """Type a text in place of the present one."""
        self.browser["document.querySelector('.prompt-text').focus(); document.activeElement.select()"]
        if text:
            self.browser("Input.insertText", text=text)
        else:
            self.press("Delete")
        self.wait("true")

    def press(self, key: str, *, shift: bool = False) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key) or {"Enter": 13, "Escape": 27, "Backspace": 8, "Delete": 46}.get(key) or ord(key.upper())
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.browser("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.browser("Input.dispatchKeyEvent", type="keyUp", **common)
        self.wait("true")

    def click(self, selector: str) -> None:
        self.browser.settle()  # or what an earlier click has opened might move what this one is meant for
        self.browser[f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})"]
        self.browser.click(selector)
        self.wait("true")

    def choose(self, selector: str, value: object) -> None:
        """Choose an option, or move a slider, as its events say."""
        node = f"document.querySelector({json.dumps(selector)})"
        self.browser[
            f"{node}.value = {json.dumps(value)}; "
            f"for (const kind of ['input', 'change']) {node}.dispatchEvent(new Event(kind, {{bubbles: true}}))"
        ]
        self.wait("true")

    def set(self, config: SampleConfig) -> None:
        """The settings of sampling, at once."""
        values = {spec.name: getattr(config, spec.setting) for spec in config.active}
        self[f"page.change({{settings: {json.dumps(values)}, seed: {config.seed}}})"]
        self.wait("true")

    def draw_many(self, count: int) -> list[int]:
        """Play as fast as it can until `count` tokens are there; the first ones."""
        self["page.change({pace: 0})"]
        self.click(".play")
        self.wait(f"page.state.added.length >= {count} || !page.part('play').isPlaying")
        self["page.part('play').stop()"]
        return list(self["page.state.added"][:count])

    def open_part(self, name: str) -> None:
        self.click(f'[data-part="{name}"] > summary')
        self.wait(f"document.querySelector('[data-part={name}]').open")
        self.browser.settle()

    def rows(self, table: str = ".next") -> list[dict[str, Any]]:
        """The rows of tokens: id, label, rank, shares (null where it is cut), logit, and whether it is marked."""
        return list(
            self.browser[
                f"""[...document.querySelectorAll('{table} tr[data-id]')].map((row) => ({{
                id: Number(row.dataset.id), label: row.querySelector("th").textContent,
                rank: Number(row.cells[0].textContent.replace(/[^0-9]/g, "")),
                shares: [...row.cells].slice(2).filter((cell) => !cell.matches(".bars"))
                  .map((cell) => (cell.dataset.share ? Number(cell.dataset.share) : null)),
                logit: Number(row.dataset.logit), chosen: row.matches(".chosen")}}))"""
            ]
        )

    def line(self, kind: str, key: str = "share") -> list[float]:
        """The numbers of the row of all others, or of one below them."""
        cells = self.browser[
            f"[...document.querySelectorAll('.next tr.{kind} td[data-{key}]')].map((c) => c.dataset.{key})"
        ]
        return [float(cell) for cell in cells]


def expected(
    checkpoint: Checkpoint, ids: Sequence[int], config: SampleConfig = RAW, token: int | None = None
) -> StepRecord:
    """The step after `ids`, as the command line has it."""
    logits = distribution_after(checkpoint.model, ids).logits_V
    dist = distribution(logits, build_stages(config), ids)
    name = checkpoint.tokenizer.token_bytes
    return step_record(dist, name, position=len(ids), top=config.top, token=token)


def assert_alike(page: Page, step: StepRecord) -> None:
    """The list of the page is the list of the record."""
    rows = page.rows()
    assert [row["id"] for row in rows] == [candidate.id for candidate in step.candidates]
    assert [row["rank"] for row in rows] == [candidate.rank for candidate in step.candidates]
    assert [row["label"] for row in rows] == [token_label(candidate) for candidate in step.candidates]
    assert [row["chosen"] for row in rows] == [candidate == step.chosen for candidate in step.candidates]
    for row, candidate in zip(rows, step.candidates, strict=True):
        assert row["logit"] == pytest.approx(candidate.logit, abs=LOGITS)
        cut = [stage.name for stage in step.stages].index(candidate.cut_by) if candidate.cut_by else len(step.stages)
        shares = [candidate.raw_prob, *(share if n < cut else None for n, share in enumerate(candidate.after))]
        assert row["shares"] == [share if share is None else pytest.approx(share, abs=SHARES) for share in shares]
    assert step.other is not None
    others = [step.other.raw_prob, *step.other.after] if step.other.count else []
    assert page.line("other") == pytest.approx(others, abs=SHARES)
    assert not others or f"other ({step.other.count} token" in page.browser.text(".next .other th")
    if step.stages:
        assert page.line("left", "kept")[1:] == [stage.kept for stage in step.stages]
        assert page.line("mass")[1:] == pytest.approx([stage.mass for stage in step.stages], abs=SHARES)
    for column, other in enumerate(page.line("other") or [0.0]):
        shown = sum(row["shares"][column] or 0 for row in rows)
        assert shown + other == pytest.approx(1, abs=1e-9)
    assert f"entropy {step.entropy_bits:.2f} bits" in page.browser.text(".part.panel .numbers")


# The text and its list


def test_every_keystroke_cuts_the_text_and_ranks_what_may_follow(page: Page, demo: Checkpoint) -> None:
    page.set(RAW)
    text = "The def fox(x): 1 2é"
    page.browser["document.querySelector('.prompt-text').focus()"]
    for count in range(1, len(text) + 1):
        page.browser("Input.insertText", text=text[count - 1])
        page.wait("true")
        ids = demo.tokenizer.encode_prompt(text[:count]).ids
        assert page["page.ids"] == ids
        shown = page.browser[
            "[...document.querySelectorAll('.tokens .token[data-id]')].map((t) => Number(t.dataset.id))"
        ]
        assert shown == ids
        assert_alike(page, expected(demo, ids))


def is_seen(page: Page, selector: str) -> bool:
    """Whether an element lies inside the box of the text, as far as that is scrolled."""
    return page.browser[
        f"""(() => {{ const [box, place] = ['.text.tokens', '{selector}']
            .map((each) => document.querySelector(each).getBoundingClientRect());
            return place.top >= box.top && place.bottom <= box.bottom; }})()"""
    ]


@pytest.fixture
def long(page: Page) -> Page:
    """A page with a text of several hundred tokens, more than the context and more than its box shows."""
    page.type("The value of the function is a list. " * 24)
    assert page.browser["((box) => box.scrollHeight > box.clientHeight)(document.querySelector('.text.tokens'))"]
    return page


def test_a_growing_text_is_followed_to_its_end(long: Page) -> None:
    assert is_seen(long, ".tokens .open")
    for _ in range(40):
        long.click(".draw")
    assert is_seen(long, ".tokens .open")
    long.draw_many(100)
    assert is_seen(long, ".tokens .open")
    long.click(".to-prompt")
    assert is_seen(long, ".tokens .open")
    assert long.browser["document.querySelectorAll('.tokens .ahead').length"] > 100


def test_a_reader_who_has_scrolled_away_is_left_there(long: Page) -> None:
    long.browser["document.querySelector('.text.tokens').scrollTop = 10"]
    long.wait("page.part('prompt').isAway")
    long.click(".draw")
    assert long.browser["document.querySelector('.text.tokens').scrollTop"] == 10
    long["page.lookAt(page.reading.length - 3)"]
    assert is_seen(long, "[aria-selected=true]")
    long.browser["document.querySelector('.text.tokens').scrollTop = 10"]
    long.wait("page.part('prompt').isAway")
    long.type("The value of the function is a string. " * 24)
    assert is_seen(long, ".tokens .open")


def test_the_end_of_the_context_is_told_and_marked(long: Page, demo: Checkpoint) -> None:
    count, context = long["page.ids.length"], demo.model.config.context
    start = window_start(count, context)
    note = (
        f"The model reads at most {context} tokens at once: of the {count} of the text, the first {start} are no "
        "longer seen."
    )
    for part in ("prompt", "list"):
        assert long.browser.text(f"[data-part={part}] > .window-note").startswith(note)
    assert long.browser["[...document.querySelectorAll('.first-seen')].map((each) => each.dataset.place)"] == [
        str(start)
    ]
    for part in ("inside", "attention", "lens"):
        long.open_part(part)
        long.wait(f"document.querySelector('[data-part={part}] .window-note').textContent")
        assert long.browser.text(f"[data-part={part}] .window-note") == note
    long["page.change({at: 200})"]
    note = f"of the 200 before this one, the first {window_start(200, context)} are no longer seen."
    assert long.browser.text("[data-part=list] > .window-note").endswith(note)
    long.type("The value")
    notes = "[...document.querySelectorAll('.window-note')].filter((each) => !each.hidden)"
    assert long.browser[f"[{notes}.length, document.querySelectorAll('.first-seen').length]"] == [0, 0]


def test_a_long_text_is_read_to_its_end(page: Page, demo: Checkpoint) -> None:
    text = "The value of the argument is returned. " * 400
    page.type(text)
    ids = demo.tokenizer.encode_prompt(text).ids
    assert page["page.ids"] == ids
    assert page.browser["document.querySelectorAll('.tokens .token[data-id]').length"] == 2000
    assert f"{len(ids) - 2000:,} tokens before" in page.browser.text(".unshown")
    assert page["page.part('prompt').scores.known.length"] == len(ids)
    assert_alike(page, expected(demo, ids, SampleConfig()))


def test_letters_that_the_vocabulary_lacks_are_named(
    browser: Browser, tmp_path: Path, make_model: Callable[..., GPT]
) -> None:
    """With the characters of a nanoGPT, which has neither other letters nor an end of the text."""
    letters = "\n abcdé"
    tables = {"itos": dict(enumerate(letters)), "stoi": {letter: n for n, letter in enumerate(letters)}}
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(tables))
    tokenizer = read_characters(tmp_path / "meta.pkl", len(letters))
    checkpoint = Checkpoint(tmp_path, make_model(len(letters), width=32), tokenizer)
    tokens = (Token.of(tokenizer, token) for token in range(len(letters)))
    path = tmp_path / "page.html"
    path.write_text(model_page(page_data(checkpoint, "float32"), tokens, title="x", caption=""), "utf-8")
    browser.open(path)
    page = Page(browser)
    assert page["page.ids"] == tokenizer.encode_prompt("").ids
    page.type("a\U0001fae0bé")
    assert page["page.ids"] == tokenizer.encode_prompt("a\U0001fae0bé").ids
    assert browser.text(".lost") == "The vocabulary has no token for \U0001fae0: left out."
    assert_alike(page, expected(checkpoint, page["page.ids"], SampleConfig()))
    assert len(page.draw_many(5)) == 5


def test_an_empty_text_begins_with_end_of_text(page: Page, demo: Checkpoint) -> None:
    page.type("x")
    page.type("")
    assert page["page.ids"] == demo.tokenizer.encode_prompt("").ids
    assert len(page.rows()) == 10


def test_the_token_that_nobody_has_typed_is_explained(page: Page) -> None:
    page.type("")
    begins = "<|endoftext|>, which stands for the beginning of the text"
    assert page.browser.text(".about") == f"1 token: {begins}"
    page.open_part("inside")
    page.click(".open-all")
    page.wait("document.querySelector('[data-station=head] .formula').textContent")
    inside = page.browser.text("[data-part=inside]")
    assert "all 1 " not in inside
    assert "/ (1.00)" not in inside
    page.click(".draw")
    assert page.browser.text(".about") == f"2 tokens: {begins} · 1 added"
    page.press("Escape")
    page["page.change({at: 0})"]
    assert page.browser.text(".which") == "<|endoftext|>  (token 1, the beginning of the text)"
    page.type("The")
    assert page.browser.text(".about") == "1 token, of which 1 in the prompt"


@pytest.mark.parametrize(
    "text",
    ["The value of ", "The value of", "The arg", "The value of the functi", "é", "A ", "The value \n" * 60 + "Th"],
)
def test_the_end_of_a_prompt_is_doubted_as_on_the_command_line(page: Page, demo: Checkpoint, text: str) -> None:
    typed = f"""(() => {{
      const box = document.querySelector('.prompt-text');
      box.value = {json.dumps(text)};
      box.dispatchEvent(new Event('input', {{ bubbles: true }}));
      return document.querySelector('.boundary').hidden;
    }})()"""
    assert page.browser[typed]  # until nobody types any more; a busy machine could let that moment pass
    page.wait("document.querySelector('.boundary').dataset.done === 'true'")
    end = boundary(demo.model, demo.tokenizer, page["page.ids"], top=10)
    sentence = end and boundary_note(end)
    expected = f"{sentence[0].upper()}{sentence[1:].removesuffix('; --boundary shows both.')}." if sentence else ""
    assert page.browser.text(".boundary") == expected
    assert page.browser["document.querySelector('.boundary').hidden"] == (not expected)


def test_ids_and_bytes_of_every_token_are_told(page: Page, demo: Checkpoint) -> None:
    page.type("def é")
    page.click(".pieces-of > summary")
    page.wait("document.querySelector('.pieces tbody tr')")
    found = page.browser[
        """[...document.querySelectorAll(".pieces tbody tr")].map(
        (row) => [...row.cells].slice(0, 4).map((cell) => cell.textContent))"""
    ]
    ids = demo.tokenizer.encode_prompt("def é").ids
    tokens = [Token.of(demo.tokenizer, token) for token in ids]
    assert found == [
        [str(n), token_label(token), str(token.id), bytes.fromhex(token.bytes).hex(" ").upper()]
        for n, token in enumerate(tokens, 1)
    ]
    titles = page.browser["[...document.querySelectorAll('.tokens .token[data-id]')].map((token) => token.title)"]
    assert titles == [f"{row[1]} · id {row[2]} · bytes {row[3]}" for row in found]


STAGES = [
    SampleConfig(),
    SampleConfig(temperature=0.0, top_p=1.0),
    SampleConfig(temperature=1.5, top_k=7, top_p=0.6),
    SampleConfig(temperature=0.7, top_n_sigma=1.0, min_p=0.1, typical_p=0.8),
    SampleConfig(bias=((3, 4.0), (11, -2.5)), repetition_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.2),
]


@pytest.mark.parametrize("config", STAGES, ids=lambda config: " ".join(spec.name for spec in config.active))
def test_each_stage_has_its_column(page: Page, demo: Checkpoint, config: SampleConfig) -> None:
    page.type("The arguments of the function are the")
    page.set(config)
    step = expected(demo, page["page.ids"], config)
    assert_alike(page, step)
    heads = page.browser["[...document.querySelectorAll('.next thead [data-stage]')].map((th) => th.textContent)"]
    shown = [(FILTERS[stage.name].heading, FILTERS[stage.name].shown(stage.value)) for stage in step.stages]
    assert heads == ["\n".join(each) for each in shown]


def test_sliders_of_all_filters_change_the_list(page: Page, demo: Checkpoint) -> None:
    page.type("The arguments")
    page.click(".all-off")
    page.click(".more")
    settings: dict[str, Any] = {}
    for name, spec in FILTERS.items():
        if name == "bias":
            page.choose(".bias", "#40=2.5")
            page.click(".add")
            settings["bias"] = ((40, 2.5),)
        else:
            values = page[f"page.filter('{name}').values"]
            value = next(value for value in values if value not in (spec.neutral, 0))
            page.choose(f'.sliders input[data-name="{name}"]', values.index(value))
            settings[spec.setting] = value
        config = SampleConfig(**{**vars(RAW), **settings})
        assert_alike(page, expected(demo, page["page.ids"], config))
    page.click(".as-used")
    assert page["page.state.settings"] == {"temperature": 0.8, "top-p": 0.95}


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("", "needs a token and a number"),
        ("#3", "needs a token and a number"),
        ("#3=much", "needs a token and a number"),
        ("#3=1e9", "between -1000 and 1000"),
        ("#9999=1", "#9999: ids go from 0 to 383."),
        ("#99999999999999999999=1", "#99999999999999999999: ids go from 0 to 383."),
        ("=1", "needs a token and a number"),
        ("xyzzy plugh=1", "tokens of this vocabulary"),
    ],
)
def test_a_bias_that_makes_no_sense_is_explained(page: Page, written: str, fault: str) -> None:
    page.click(".more")
    page.choose(".bias", written)
    page.click(".add")
    assert fault in page.browser.text(".bias-note")
    assert "bias" not in page["page.state.settings"]
    page.choose(".bias", "#3")  # a new beginning
    assert page.browser.text(".bias-note") == ""


@pytest.mark.parametrize("rows", [10, 20, 50])
def test_the_number_of_rows_can_be_chosen(page: Page, demo: Checkpoint, rows: int) -> None:
    page.type("The")
    page.choose(".rows", str(rows))
    config = SampleConfig(top=rows)
    assert_alike(page, expected(demo, page["page.ids"], config))


def test_all_that_are_kept_can_be_listed(page: Page, demo: Checkpoint) -> None:
    page.type("The")
    page.choose(".rows", "0")
    config = SampleConfig(top=demo.model.config.vocab_size)
    step = expected(demo, page["page.ids"], config)
    kept = [candidate.id for candidate in step.candidates if candidate.cut_by is None]
    assert [row["id"] for row in page.rows()] == kept


def test_behind_every_token_is_the_list_that_it_was_drawn_from(page: Page, demo: Checkpoint) -> None:
    context = demo.model.config.context
    text = ("Returns the value of the argument. " * context)[: 3 * context]
    page.type(text)
    ids = demo.tokenizer.encode_prompt(text).ids
    assert len(ids) > context
    for place in (1, 5, context // 2, context, len(ids) - 1):
        page[f"page.change({{at: {place}}})"]
        page.wait("true")
        step = expected(demo, ids[:place], SampleConfig(top=10), ids[place])
        assert_alike(page, step)
        assert step.surprisal_bits is not None
        assert f"surprisal {step.surprisal_bits:.2f} bits · rank {step.chosen.rank}" in page.browser.text(
            ".part.panel .numbers"
        )  # type: ignore[union-attr]
    page["page.change({at: 0})"]
    assert "No context" in page.browser.text(".part.panel .numbers")
    assert not page.browser["document.querySelector('.next').getClientRects().length"]


def test_colours_follow_the_scale(page: Page, demo: Checkpoint) -> None:
    page.type("The arguments of the function")
    ids = page["page.ids"]
    steps = [expected(demo, ids[:place], RAW, ids[place]) for place in range(1, len(ids))]
    numbers: dict[str, Callable[[StepRecord], float]] = {
        "surprisal": lambda step: step.surprisal_bits or 0.0,
        "entropy": lambda step: step.entropy_bits or 0.0,
        "rank": lambda step: step.chosen.rank if step.chosen else 0,
    }
    for scale in page["page.data.scales"]:
        page.choose(".scale", scale["key"])
        heats = page.browser[
            "[...document.querySelectorAll('.tokens .token[data-id]')].map((token) => token.dataset.heat)"
        ]
        found = [numbers[scale["key"]](step) for step in steps]
        assert heats == ["unknown", *(str(sum(number >= limit for limit in scale["limits"])) for number in found)]
        legend = page.browser["[...document.querySelectorAll('.legend li')].map((item) => item.textContent)"]
        assert legend == scale["labels"]


# Drawing

DRAWN = [
    SampleConfig(seed=1, max_tokens=40),
    SampleConfig(seed=2, max_tokens=40),
    SampleConfig(seed=4294967295, temperature=1.0, top_p=1.0, max_tokens=40),
    SampleConfig(seed=7, temperature=0.0, max_tokens=20),
    SampleConfig(seed=5, temperature=1.2, top_k=20, min_p=0.02, max_tokens=40),
    SampleConfig(seed=3, repetition_penalty=1.2, frequency_penalty=0.3, typical_p=0.9, max_tokens=40),
]


@pytest.mark.parametrize("config", DRAWN, ids=lambda config: f"{config.seed} {config.temperature}")
def test_the_same_seed_draws_the_same_tokens_as_the_command_line(
    page: Page, demo: Checkpoint, config: SampleConfig
) -> None:
    page.type("Returns the")
    page.set(config)
    pieces = list(generate(demo.model, demo.tokenizer, "Returns the", config))
    drawn = [piece.record.token.id for piece in pieces if isinstance(piece.record, StepRecord) and piece.record.token]
    assert page.draw_many(len(drawn)) == drawn
    end = pieces[-1].record
    assert isinstance(end, SampleEnd)
    page[f"page.change({{added: page.state.added.slice(0, {len(drawn)})}})"]
    assert page["page.text"] == end.text


def test_the_same_seed_beyond_the_context(page: Page, demo: Checkpoint) -> None:
    prompt = "Returns the value of the argument. " * 20
    config = SampleConfig(seed=9, max_tokens=demo.model.config.context)
    page.type(prompt)
    page.set(config)
    pieces = generate(demo.model, demo.tokenizer, prompt, config)
    drawn = [piece.record.token.id for piece in pieces if isinstance(piece.record, StepRecord) and piece.record.token]
    assert page.draw_many(len(drawn)) == drawn


def test_play_ends_at_the_end_of_the_text(page: Page, demo: Checkpoint) -> None:
    end = demo.tokenizer.end_of_text
    page.type("The")
    page.set(SampleConfig(bias=((end, 1000.0),)))
    assert page.draw_many(5) == [end]
    assert page.browser.text(".said").startswith("end of the text")
    assert page.browser.text(".play") == "play"


def test_play_at_a_pace_and_stop(page: Page) -> None:
    page.type("The")
    page["page.change({pace: 20})"]
    page.click(".play")
    assert page.browser.text(".play") == "stop"
    page.wait("page.state.added.length >= 3")
    page.click(".play")
    count = page["page.state.added.length"]
    assert page.browser.text(".said") == f"stopped after {count} tokens"
    time.sleep(0.2)
    assert page["page.state.added.length"] == count
    page["page.change({pace: 0})"]
    page.click(".play")
    page.wait(f"page.state.added.length >= {count + 20}")
    page.click(".play")
    assert page.browser.text(".said").endswith("tokens/s")


def test_what_was_said_goes_when_anything_changes(page: Page) -> None:
    page.type("The")
    for change in ("page.change({seed: 8})", "page.change({rows: 20})", "page.change({added: [], text: 'A'})"):
        page["page.change({pace: 50})"]
        page.click(".play")
        page.wait("page.state.added.length >= 1")
        page.click(".play")
        assert page.browser.text(".said").startswith("stopped after")
        page[change]
        assert page.browser.text(".said") == ""


@pytest.mark.parametrize("written", ["-5", "4294967296", "1.5", "1e99", ""])
def test_what_is_no_seed_is_explained(page: Page, written: str) -> None:
    page["page.change({seed: 7})"]
    page.choose(".seed", written)
    note = "A seed is a whole number from 0 to 4,294,967,295; 7 is still used."
    assert page.browser.text(".seed-note") == note
    page.click(".draw")
    assert page.browser.text(".seed-note") == note
    assert page.browser["document.querySelector('.seed').value"] == written
    page.choose(".seed", "4294967295")
    assert page["page.state.seed"] == 4294967295
    assert page.browser["document.querySelector('.seed-note').hidden"]
    page.choose(".seed", written)
    page["page.change({seed: 3})"]
    assert page.browser["[document.querySelector('.seed').value, document.querySelector('.seed-note').hidden]"] == [
        "3",
        True,
    ]


def test_greedy_takes_the_top_token(page: Page, demo: Checkpoint) -> None:
    page.type("The")
    page.choose(".how", "greedy")
    assert page["page.state.settings.temperature"] == 0
    page.click(".draw")
    assert page["page.state.added"] == [expected(demo, demo.tokenizer.encode_prompt("The").ids).candidates[0].id]
    page.choose(".how", "sampled")
    assert page["page.state.settings.temperature"] == 0.8


# Branches


def test_a_token_of_the_list_is_added_and_another_makes_a_branch(page: Page) -> None:
    page.type("The")
    first, second = (row["id"] for row in page.rows()[:2])
    page.click(f'.next tr[data-id="{first}"]')
    page.click(".draw")
    before = page["page.state.added"]
    page.click('[data-part="play"] .back')
    page.click('[data-part="play"] .back')
    assert page["[page.state.added, page.state.ahead]"] == [[], before]
    page.click(".forward")
    assert page["page.state.added"] == before[:1]
    page.click(".to-prompt")
    page.click(f'.next tr[data-id="{second}"]')
    assert page["[page.state.added, page.state.branches]"] == [[second], [["The", before]]]
    page.click(".branches button")
    assert page["[page.state.added, page.state.branches]"] == [before, [["The", [second]]]]


def test_a_token_of_the_text_can_be_replaced(page: Page) -> None:
    page.type("The")
    for _ in range(4):
        page.click(".draw")
    before, given = page["page.state.added"], page["page.given.length"]
    page.click(f'.token[data-place="{given + 1}"]')
    other = next(row["id"] for row in page.rows() if row["id"] != before[1])
    page.click(f'.next tr[data-id="{other}"]')
    assert page["[page.state.added, page.state.branches]"] == [[before[0], other], [["The", before]]]
    assert page["page.state.at"] is None


def test_a_token_of_the_prompt_can_be_replaced(page: Page) -> None:
    page.type("The value of x")
    ids = page["page.ids"]
    page.click('.token[data-place="2"]')
    other = next(row["id"] for row in page.rows() if row["id"] != ids[2])
    page.click(f'.next tr[data-id="{other}"]')
    assert page["page.ids"] == [*ids[:2], other]
    page.click(".branches button")
    assert page["page.ids"] == ids
    assert page["page.state.text"] == "The value of x"


def test_typing_on_keeps_a_continuation_as_a_branch(page: Page) -> None:
    page.type("The")
    page.click(".draw")
    added = page["page.state.added"]
    page.type("A")
    page.type("A cat")
    assert page["[page.state.text, page.state.added, page.state.branches]"] == ["A cat", [], [["The", added]]]
    page.click(".anew")
    assert page["[page.state.text, page.state.branches]"] == ["", []]


def test_branches_are_the_leaves_of_a_tree(page: Page) -> None:
    """As sampling/tree.py has them: random moves, and the texts of all leaves by a set of paths."""
    found = page[
        """(() => {
        let state = {text: "a", added: [], ahead: [], branches: []}, seed = 1;
        const random = (count) => Philox.words([seed++, 0, 0, 0], [7, 0])[0] % count;
        const paths = new Set(), leaves = [];
        for (let i = 0; i < 300; i += 1) {
          const kind = random(4);
          if (kind < 2) {
            state = {...state, ...Branches.append(state, random(3))};
            paths.add(state.added.join("."));
          } else if (kind === 2) {
            state = {...state, ...Branches.move(state, Math.max(0, state.added.length - 1 - random(3)))};
          } else if (state.branches.length) {
            state = {...state, ...Branches.take(state, state.branches[random(state.branches.length)])};
          }
          if (state.branches.length === 50) break;
        }
        const all = [...state.branches.map(([, ids]) => ids), [...state.added, ...state.ahead]]
          .map((ids) => ids.join("."));
        const isLeaf = (path) => ![...paths].some((other) => other.startsWith(`${path}.`));
        return [all.sort(), [...paths].filter(isLeaf).sort()];
        })()"""
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 10


# Keys


def test_the_page_by_keyboard_alone(page: Page, demo: Checkpoint) -> None:
    page.type("The value")
    ids = page["page.ids"]
    page.browser["document.querySelector('.tokens [tabindex=\"0\"]').focus()"]
    page.press("ArrowLeft")
    assert page["page.state.at"] == len(ids) - 1
    page.press("Home")
    assert page["page.state.at"] == 0
    page.press("ArrowRight")
    assert page["page.state.at"] == 1
    page.press("Escape")
    assert page["page.state.at"] is None
    page.press(" ")
    page.press(" ")
    added = page["page.state.added"]
    assert len(added) == 2
    page.press("Backspace")
    assert page["page.state.added"] == added[:1]
    page.press("t")
    assert page["page.state.settings.temperature"] == 0.7
    page.press("K", shift=True)
    assert "top-k" not in page["page.state.settings"]  # off is the most
    page.press("k")
    assert page["page.state.settings"]["top-k"] == 1000
    page.press("h")
    assert page["page.state.scale"] == "entropy"
    page.press(" ", shift=True)
    assert page["page.part('play').isPlaying"]
    page.press("Escape")
    assert not page["page.part('play').isPlaying"]
    page.press("g")
    page.press("Enter")
    assert page.browser["document.activeElement.matches('.typed')"]


def test_the_list_by_keyboard_alone(page: Page) -> None:
    page.type("The value")
    page.browser["document.querySelector('.next button').focus()"]
    rows = page.rows()
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.press("ArrowUp")
    assert page.browser["document.activeElement.closest('tr').dataset.id"] == str(rows[1]["id"])
    page.press("Enter")
    assert page["page.state.added"] == [rows[1]["id"]]
    assert page.browser["document.activeElement.matches('.next tr:first-child button')"]
    page.press(" ")
    drawn = page["page.state.added"]
    assert len(drawn) == 2
    page.press("Backspace")
    page.press("Backspace")
    page.press("Enter")
    assert page["page.state.added"] == [rows[0]["id"]]
    assert page["page.state.branches"] == [["The value", drawn]]
    page.press("b")
    assert page["page.state.added"] == drawn


def test_letters_in_a_field_are_only_letters(page: Page) -> None:
    page.type("")
    for letter in "tTbh ":
        page.press(letter)
    assert page["page.state.text"] == "tTbh "
    assert page["[page.state.settings.temperature, page.state.added]"] == [0.8, []]


# The address


def test_a_link_reproduces_the_state(page: Page, browser: Browser, demo_page: Path) -> None:
    page.type("The (old) value!\n& 50 % = é~x")
    page.set(SampleConfig(seed=17, temperature=1.0, top_k=5, bias=((3, -1.5), (11, 2.0))))
    for _ in range(3):
        page.click(".draw")
    page.click('[data-part="play"] .back')
    page["page.choose(Sampling.ranked(page.reading.logits(), 20).at(-1))"]
    page.click('[data-part="play"] .back')
    page[
        """page.change({at: 2, layer: 2, head: 1, without: ["1.1", "2.mlp"], to: "mean", removed: [1], rows: 50,
        scale: "rank", other: "A cat"})"""
    ]
    page.wait("true")
    state, address = page["page.state"], page["page.address"]
    rows = page.rows()
    assert len(state["branches"]) == 1
    browser.open(demo_page)
    page = Page(browser)
    browser[f"location.hash = {json.dumps(address)}"]
    page.wait(f"page.state.text === {json.dumps(state['text'])}")
    assert page["page.state"] == state
    assert page.rows() == rows
    assert page["page.address"] == address


def test_the_address_follows_the_state(page: Page) -> None:
    page.type("Hm")
    page.wait("location.hash === '#text=Hm'")
    page["page.change(page.start)"]
    page.wait("location.hash === '' || location.hash === '#'")


def test_back_and_forward_of_the_browser(page: Page) -> None:
    for text in ("A", "A c", "A cat"):
        page.type(text)
    page.click(".draw")
    added = page["page.state.added"]
    page.click(".anew")
    page.type("Another")
    page.browser["history.back()"]
    page.wait("page.state.text === 'A cat'")
    assert page["page.state.added"] == added
    page.browser["history.forward()"]
    page.wait("page.state.text === 'Another' || page.state.text === ''")


NONSENSE = [
    "x", "&&&=&", "text", "text=%", "text=%E2%80", "added=1.2.x", "added=-1", "added=999999", "added=1e3",
    "added=1.5.", "at=-1", "at=7", "at=x", "at=1.5", "seed=-1", "seed=4294967296", "seed=1e9", "layer=0", "layer=99",
    "layer=1.5", "head=0", "head=99", "without=9.9", "without=1.0", "without=x", "without=1.mlp.2", "to=nowhere",
    "removed=0", "removed=9", "removed=x", "temperature=-1", "temperature=1e99", "temperature=NaN",
    "temperature=Infinity", "temperature=", "top-k=1.5", "top-k=-1", "top-p=0", "top-p=2", "min-p=x", "bias=3",
    "bias=3:x", "bias=3:1,3:2", "bias=999999:1", "bias=3:9999", "bias=-3:1", "rows=7", "scale=colour", "pace=3",
    "branches=1.2", "branches=999999~a", "branches=~", "branches=1~%", "constructor=1", "__proto__=1", "toString=1",
    "settings=1", "start=1", quote('{"text": 1}'), "added=" + ".".join(["1"] * 30_000), "text=" + "a" * 30_000,
    "removed=" + ".".join(map(str, range(50))),
]  # fmt: skip


def test_nonsense_in_the_address_is_left_out(page: Page) -> None:
    start = page["page.start"]
    for fragment in NONSENSE:
        found = page[
            f"page.fitting({{...page.start, ...State.read({json.dumps('#' + fragment)}, page.start, page.data)}})"
        ]
        assert found == start, fragment
    sound = page["State.read('#text=Hm&seed=x&temperature=0.5&added=3.1&layer=99', page.start, page.data)"]
    assert sound == {"text": "Hm", "added": [3, 1], "settings": {"temperature": 0.5, "top-p": 0.95}}


def test_a_page_opens_with_any_address(page: Page, browser: Browser) -> None:
    browser[f"location.hash = {json.dumps('&'.join(part for part in NONSENSE if len(part) < 100))}"]
    page.type("The")
    assert len(page.rows()) == 10


def test_the_text_and_the_link_can_be_copied(page: Page) -> None:
    page.browser("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.type("A cat\n")
    for selector, expression in ((".copy", "page.text"), (".link", "location.href.split('#')[0] + page.address")):
        page.browser["var copied = null; navigator.clipboard.writeText = async (text) => { copied = text; }; 0"]
        page.click(selector)
        assert page.browser["copied"] == page[expression]
        assert "copied" in page.browser.text(".said")


# The guessing game


def test_the_game_costs_what_the_explorer_says(page: Page, demo: Checkpoint) -> None:
    page.type("The value of x")
    ids = page["page.ids"]
    model: Any = demo.model
    tree = TokenTree(model, demo.tokenizer, "The value of x")
    page.open_part("game")
    page.click(".from-start")
    assert page.browser["document.querySelector('.working').getClientRects().length"] == 0
    you, others = [], []
    for place, (typed, share) in enumerate([(" value", 0.75), ("zz", 0.25), ("", 0.5)], 1):
        page.browser["document.querySelector('.typed').focus()"]
        if typed:
            page.browser("Input.insertText", text=typed)
        page.choose(".stake", str(share))
        page.browser["document.querySelector('.guess').requestSubmit()"]
        guess = demo.tokenizer.encode(typed)[:1]
        node = tree.path(tree.prompt_end)[place - 1]
        bits = tree.bits(node, ids[place])
        others.append(bits)
        you.append(tree.bet_bits(node, ids[place], guess[0], share) if guess else bits)
        cells = page.browser["[...document.querySelectorAll('.score td')].map((cell) => Number(cell.dataset.bits))"]
        assert cells == pytest.approx([you[-1], others[-1], np.mean(you), np.mean(others)], abs=1e-3)
        assert page.browser.text('[data-part="game"] .verdict').startswith("it was “")
        marked = [row for row in page.rows(".came") if row["chosen"]]
        assert [row["id"] for row in marked] == [ids[place]]
    page.click('[data-part="game"] .end')
    result = f"3 tokens: you paid {np.mean(you):.2f} bits a token, the model {np.mean(others):.2f}."
    assert page.browser.text('[data-part="game"] .verdict') == result
    assert page.browser["document.querySelector('.working').getClientRects().length"] == 1
    assert page["page.ids"] == ids


def test_the_game_says_what_tokens_are_drawn_from(page: Page) -> None:
    page.open_part("game")
    page.wait("document.querySelector('.drawn-by').textContent")
    assert page.browser.text(".drawn-by").endswith("is drawn with temperature 0.8, top-p 0.95")
    page["page.change({settings: {bias: [[3, 5]], temperature: 2}})"]
    assert page.browser.text(".drawn-by").endswith("is drawn with bias 1 token, temperature 2")
    page["page.change({settings: {}})"]
    assert page.browser.text(".drawn-by") == "by which what the text does not hold yet is drawn too"


def test_at_the_end_of_the_text_the_model_draws_what_is_guessed(page: Page, demo: Checkpoint) -> None:
    page.type("The value")
    config = SampleConfig(max_tokens=3)
    pieces = generate(demo.model, demo.tokenizer, "The value", config)
    drawn = [piece.record.token for piece in pieces if isinstance(piece.record, StepRecord) and piece.record.token]
    page.open_part("game")
    page.click(".from-end")
    for token in drawn:
        page.press("Enter")
        assert page.browser.text('[data-part="game"] .verdict').startswith(f"drawn: “{token_label(token)}”, rank ")
    page.press("Escape")
    assert page.browser["document.querySelector('.working').getClientRects().length"] == 1


# The history


def dequantized(weights: dict[str, dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The weights of a snapshot as the page reads them: matrices in 8 bits a number, with a factor for each row."""
    found = {}
    for name, tensor in weights.items():
        data = base64.b64decode(tensor["data"])
        numbers = np.frombuffer(data, tensor["dtype"]).reshape(tensor["shape"]).astype(np.float32)
        scales = np.frombuffer(base64.b64decode(tensor["scales"]), np.float32)[:, None] if "scales" in tensor else 1
        found[name] = torch.from_numpy(numbers * scales)
    return found


def test_the_list_as_it_was_at_every_step(page: Page, demo: Checkpoint) -> None:
    page.type("The value of x")
    ids = page["page.ids"]
    frames = page_data(demo, "float32")["history"]
    assert [frame["step"] for frame in frames] == sorted({snapshot.step for snapshot in snapshots(DEMO)})
    page.open_part("history")
    page.wait("page.part('history').root.dataset.computed === 'true'")
    final, at_step = distribution_after(demo.model, ids), []
    for number, frame in enumerate(frames):
        page.choose(".when", str(number))
        model = load(DEMO).model
        if frame["weights"]:
            state = dequantized(frame["weights"])
            missing = model.load_state_dict(state, strict=False)
            assert not missing.unexpected_keys
        dist = distribution_after(model, ids)
        record = step_record(dist, demo.tokenizer.token_bytes, position=len(ids), top=10)
        rows = page.rows(".then")
        assert [row["id"] for row in rows] == [candidate.id for candidate in record.candidates]
        for row, candidate in zip(rows, record.candidates, strict=True):
            assert row["shares"] == [pytest.approx(candidate.raw_prob, abs=1e-5)]
        divergence = float(np.nansum(final.raw_V * np.log2(final.raw_V / dist.raw_V)))
        told = re.search(r"divergence (\d+\.\d{3}) bits$", page.browser.text("[data-part=history] .numbers"))
        assert told
        assert float(told[1]) == pytest.approx(divergence, abs=2e-3)
        assert page.browser["Number(document.querySelector('.track .now').dataset.frame)"] == number
        tracked = page.rows(".tracked")
        best = best_ids(final.logits_V, 4)
        assert [row["id"] for row in tracked] == best
        assert [row["shares"][0] for row in tracked] == pytest.approx(dist.raw_V[best].tolist(), abs=1e-5)
        assert f"step {frame['step']:,}" in page.browser.text(".step")
        at_step.append([row["shares"][0] for row in tracked])
    lines = page.browser["[...document.querySelectorAll('.track polyline')].map((line) => ({...line.dataset}))"]
    assert [int(line["id"]) for line in lines] == best
    drawn = [[float(share) for share in line["shares"].split()] for line in lines]
    assert np.array(drawn).T.tolist() == at_step
    assert page.browser["document.querySelectorAll('.track .mark').length"] == len(best) * len(frames)
    assert page.browser["document.querySelectorAll('.tracked .swatch').length"] == len(best)


def test_models_are_unpacked_when_they_are_needed(page: Page) -> None:
    assert page["page.part('history').models.size"] == 0


# Hostile tokens, other screens


@pytest.fixture
def hostile(browser: Browser, demo: Checkpoint, tmp_path: Path) -> Iterator[Page]:
    """The demo's page, whose tokens have names that try to escape."""
    names = [Token(id=n, text=name, bytes=name.encode("utf-8", "replace").hex()) for n, name in enumerate(NAMES)]
    count = demo.model.config.vocab_size
    tokens = [Token(id=n, text=names[n % len(names)].text, bytes=names[n % len(names)].bytes) for n in range(count)]
    path = tmp_path / "hostile.html"
    title = "</title><script>window.hacked = 8</script>"
    path.write_text(model_page(page_data(demo, "int8"), tokens, title=title, caption=title), "utf-8")
    browser.open(path)
    page = Page(browser)
    page["page.change({added: [...page.data.tokens.keys()]})"]
    page.wait("true")
    yield page
    assert browser["window.hacked"] is None
    assert browser["document.scripts.length"] == 2


def test_hostile_tokens_are_only_letters(hostile: Page, demo: Checkpoint) -> None:
    labels = [token_label(Token(id=0, text=name, bytes="")) for name in NAMES]
    for rows in ("0",):
        hostile["page.change({settings: {}})"]
        hostile.choose(".rows", rows)
        for row in hostile.rows():
            assert row["label"] == labels[row["id"] % len(NAMES)]
    hostile.click(".pieces-of > summary")
    for part in ("game", "history"):
        hostile.open_part(part)
    hostile.click(".to-prompt")
    hostile.click(".draw")
    hostile.type("</script><script>window.hacked = 9</script>\u202e\x1b")
    assert hostile["page.state.text"].startswith("</script>")


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_scrolls_only_down(browser: Browser, demo_page: Path, dark: bool) -> None:
    browser.open(demo_page, 400, dark=dark)
    page = Page(browser)
    page.type("The arguments of the function " + "x" * 200)
    for _ in range(2):
        page.click(".draw")
    page.click(".to-prompt")
    page.click(".next tr:nth-child(4)")
    browser["document.querySelectorAll('details').forEach((each) => { each.open = true; })"]
    page.click(".more")
    page.wait("true")
    for width in (400, 320):
        browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for size in ("normal", "large", "projector"):
            browser[f"document.documentElement.dataset.size = '{size}'"]
            assert browser["document.documentElement.scrollWidth"] <= width
    page.click(".from-start")
    assert browser["document.documentElement.scrollWidth"] <= 320


def test_on_a_narrow_screen_what_is_drawn_from_is_seen(browser: Browser, demo_page: Path) -> None:
    browser.open(demo_page, 400)
    page = Page(browser)
    page.type("The string is a sequence of the s")
    assert browser["((table) => table.scrollWidth <= table.clientWidth)(document.querySelector('.next').parentNode)"]
    right = "document.querySelector('{}').getBoundingClientRect().right"
    for count in range(1, 40):  # the question what comes next stays in its box, wherever the line ends
        page[f"page.change({{text: 'a'.repeat({count})}})"]
        assert browser[f"{right.format('.tokens .open')} <= {right.format('.text.tokens')}"]


FAINT = """(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parsed = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
  const ground = (node) => {
    return node ? over(parsed(getComputedStyle(node).backgroundColor), ground(node.parentElement)) : [1, 1, 1];
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const isText = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const isSeen = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!isText || !isSeen || node.closest(":disabled, svg, script")) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(node), size = parseFloat(fontSize), under = ground(node);
    const least = size >= 24 || (size >= 18.66 && fontWeight >= 700) ? 3 : 4.5; // WCAG 2.2, 1.4.3
    const found = contrast(over(parsed(color), under), under);
    if (found < least) faint.push(`${node.className}: ${node.textContent.slice(0, 20)} ${found.toFixed(2)}`);
  }
  return faint;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(browser: Browser, demo_page: Path, dark: bool) -> None:
    """The contrast that WCAG 2.2 asks for at level AA, computed from the colours that the browser uses."""
    browser.open(demo_page, dark=dark)
    page = Page(browser)
    page.type("The arguments of the function: \u001b")
    for _ in range(3):
        page.click(".draw")
    browser["document.querySelectorAll('details:not([data-part=game])').forEach((each) => { each.open = true; })"]
    browser.settle()
    page["page.change({without: ['1.1'], other: 'Another text', chosen: null})"]
    page.wait("true")
    assert browser[FAINT] == []


def test_nothing_moves_where_motion_is_unwelcome(browser: Browser, demo_page: Path) -> None:
    browser.open(demo_page)
    page = Page(browser)
    page.type("The arguments")
    browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    browser["document.querySelectorAll('details').forEach((each) => { each.open = true; })"]
    browser.settle()
    page.click(".draw")
    assert browser["document.getAnimations().filter(({playState}) => playState === 'running').length"] == 0


def test_in_print_there_are_no_controls(page: Page) -> None:
    page.type("The arguments")
    page.browser("Emulation.setEmulatedMedia", media="print")
    assert page.browser["document.querySelector('.play').getClientRects().length"] == 0
    assert page.browser["document.querySelector('.sliders').getClientRects().length"] == 0
    assert page.browser["document.querySelector('.next').getClientRects().length"] == 1
    page.browser("Emulation.setEmulatedMedia", media="")


def test_without_javascript_the_page_says_what_it_needs(browser: Browser, demo_page: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html><title>x</title>", "utf-8")
    browser.open(empty)
    browser("Emulation.setScriptExecutionDisabled", value=True)
    browser.events.clear()
    browser("Page.navigate", url=demo_page.as_uri())
    while not any(event["method"] == "Page.loadEventFired" for event in browser.events):
        browser.events.append(browser._next())
    assert "it needs JavaScript" in browser["document.querySelector('noscript').textContent"]
    assert browser["document.querySelector('noscript p').getClientRects().length"] == 1
    assert browser["document.querySelector('.working').getClientRects().length"] == 0
