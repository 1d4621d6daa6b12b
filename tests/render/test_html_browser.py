"""Pages in a real browser: what it computes against what Python computes, clicks, keys, and hostile tokens."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import NAMES, Browser

from minigpt.render.html import Section, page
from minigpt.render.text_page import text_section
from minigpt.render.tracked import history_section
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.filters import build_stages
from minigpt.sampling.page_steps import TEMPERATURES, step_logits
from minigpt.sampling.records import BareToken, StepLogits
from minigpt.sampling.vocabulary import best_ids
from minigpt.settings import FILTERS, SampleConfig
from minigpt.views.history import HistoryRow

HALF = {1: b"\xe2\x80", 3: b"\xff"}


def token_bytes(token: int) -> bytes:
    return HALF.get(token) or NAMES[token % len(NAMES)].encode()


def random_logits(size: int, seed: int, scale: float = 3.0) -> np.ndarray:
    return (torch.randn(size, generator=torch.Generator().manual_seed(seed)) * scale).numpy()


def drawn(logits: np.ndarray, token: int | None, config: SampleConfig, best: int, history: Sequence[int]) -> StepLogits:
    stages = build_stages(config)
    step = step_record(distribution(logits, stages, history), token_bytes, position=len(history), top=3, token=token)
    temperatures = sorted({*TEMPERATURES, config.temperature})
    return step_logits(logits, stages, history, token_bytes, step=step, best=best, temperatures=temperatures)


OFF = SampleConfig(temperature=1.0, top_p=1.0)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Steps as a page on disk."""

    def write(steps: Sequence[Any], config: SampleConfig | None = None, **options: Any) -> Path:
        path = tmp_path / "page.html"
        path.write_text(page("A page", [text_section("A text", steps, config, **options)]), "utf-8")
        return path

    return write


# What the sliders compute, against the same stages over the whole vocabulary

SETTINGS = [
    SampleConfig(temperature=t, top_k=k, top_p=p, min_p=m, stages=stages)
    for t, k, p, m in [
        (1.0, 0, 1.0, 0.0), (0.0, 0, 1.0, 0.0), (0.1, 0, 1.0, 0.0), (0.7, 0, 1.0, 0.0), (5.0, 0, 1.0, 0.0),
        (1.0, 1, 1.0, 0.0), (1.0, 5, 1.0, 0.0), (2.0, 20, 1.0, 0.0), (1.0, 0, 0.05, 0.0), (1.0, 0, 0.5, 0.0),
        (0.5, 0, 0.9, 0.0), (1.0, 0, 0.999, 0.0), (3.0, 0, 0.95, 0.0), (1.0, 0, 1.0, 0.001), (1.0, 0, 1.0, 0.1),
        (1.0, 0, 1.0, 1.0), (5.0, 0, 1.0, 0.02), (0.8, 10, 0.9, 0.05), (2.0, 0, 0.9, 0.3), (2.0, 0, 0.97, 0.01),
        (0.0, 5, 0.5, 0.5), (1.5, 19, 0.99, 0.005),
    ]
    for stages in [
        ("temperature", "top-k", "top-p", "min-p"),
        ("min-p", "top-p", "top-k", "temperature"),
        ("top-p", "temperature", "min-p", "top-k"),
    ]
]  # fmt: skip

SETTINGS += [
    SampleConfig(temperature=t, top_n_sigma=n, top_k=k, top_p=p, stages=stages)
    for t, n, k, p in [
        (1.0, 0.5, 0, 1.0),
        (1.0, 2.0, 0, 1.0),
        (2.0, 1.0, 0, 0.9),
        (0.1, 1.5, 7, 1.0),
        (0.0, 1.0, 0, 1.0),
    ]
    for stages in [("temperature", "top-n-sigma", "top-k", "top-p"), ("top-p", "top-k", "temperature", "top-n-sigma")]
]

SETTINGS += [
    SampleConfig(temperature=t, top_k=k, typical_p=typical, top_p=p, min_p=m, stages=stages)
    for t, k, typical, p, m in [
        (1.0, 0, 0.05, 1.0, 0.0),
        (1.0, 0, 0.2, 1.0, 0.0),
        (1.0, 0, 0.9, 1.0, 0.0),
        (0.5, 0, 0.5, 0.9, 0.02),
        (2.0, 15, 0.5, 0.7, 0.0),
        (0.8, 19, 0.9, 0.9, 0.5),
        (0.0, 0, 0.5, 1.0, 0.0),
    ]
    for stages in [
        ("temperature", "top-k", "typical-p", "top-p", "min-p"),
        ("typical-p", "temperature", "top-k", "min-p", "top-p"),
        ("top-p", "typical-p", "min-p", "temperature"),
    ]
]

LOGITS = {
    "spread": random_logits(400, 1),
    "flat": random_logits(400, 2, scale=0.3),
    "peaked": random_logits(400, 3, scale=12.0),
    "tied": random_logits(400, 4, scale=2.0).round(),
    "equal": np.zeros(64),
    "small": random_logits(12, 5),
    "extreme": np.array([0.0, -5000.0, 3000.0, 2999.0] + [-100.0] * 60),
}
COMPUTE = """((step, temperatures, stages) => {
  const told = ({shares, other, kept, mass, isKept}) => ({shares, other, kept, mass, isKept});
  const {raw, results, cutBy} = Funnel.funnel(step, temperatures, stages);
  return {raw, cutBy, results: results.map(told)};
})"""


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("place", ["first", "last", "none"])
def test_the_sliders_compute_what_the_filters_do(
    browser: Browser, write: Callable[..., Path], name: str, place: str
) -> None:
    logits = LOGITS[name]
    order = best_ids(logits, len(logits))
    token = {"first": order[0], "last": order[-1], "none": None}[place]
    step = drawn(logits, token, OFF, best=20, history=[0])
    browser.open(write([step]))
    data = browser["JSON.parse(document.querySelector('script.data').textContent)"]
    asked = [
        [{"name": spec.name, "value": getattr(config, spec.setting)} for spec in config.active] for config in SETTINGS
    ]
    found = browser[
        f"((data, asked) => {{ const step = Funnel.prepared(data.steps[0]); return asked.map((stages) => "
        f"{COMPUTE}(step, data.temperatures, stages)); }})({json.dumps(data)}, {json.dumps(asked)})"
    ]
    exact = sum(compare(step, logits, config, got) for config, got in zip(SETTINGS, found, strict=True))
    assert exact >= len(SETTINGS) // 3  # most settings leave no doubt


def compare(step: StepLogits, logits: np.ndarray, config: SampleConfig, got: dict[str, Any]) -> bool:
    """Every number of the page against the whole vocabulary's; whether all of them are exact."""
    dist = distribution(logits, build_stages(config))
    ids = [candidate.id for candidate in step.listed.candidates]
    assert got["raw"]["shares"] == pytest.approx(dist.raw_V[ids].tolist(), rel=1e-12, abs=1e-300)
    assert len(got["results"]) == len(dist.results)
    expected = step_record(dist, token_bytes, position=1, top=len(ids), token=ids[-1])
    record = {candidate.id: candidate for candidate in expected.candidates}
    is_exact = True
    for n, (result, mine) in enumerate(zip(dist.results, got["results"], strict=True)):
        rest = result.probs_V.copy()
        rest[ids] = 0
        stage = expected.stages[n]
        for number, (low, high) in [
            *zip(result.probs_V[ids].tolist(), mine["shares"], strict=True),
            (float(rest.sum()), mine["other"]), (stage.kept, mine["kept"]), (stage.mass, mine["mass"]),
        ]:  # fmt: skip
            assert low - 1e-9 <= number <= high + 1e-9, (config, result.stage.name, number, low, high)
            is_exact &= low == high
        for kept, known in zip(result.kept_V[ids].tolist(), mine["isKept"], strict=True):
            assert known in (kept, None)
    if is_exact:
        assert got["cutBy"] == [record[token].cut_by for token in ids]
    return is_exact


# What stands in the page


def cells(browser: Browser) -> list[list[list[float]]]:
    """The shares in the table's rows, [low, high] each; those of a cut token are not there."""
    rows = "[...document.querySelectorAll('.funnel tbody tr')]"
    found = browser[f"{rows}.map((row) => [...row.querySelectorAll('[data-share]')].map((cell) => cell.dataset.share))"]
    return [[[float(end) for end in share.split()] for share in row] for row in found]


def move(browser: Browser, **settings: float) -> None:
    """Put sliders at values that they have."""
    for name, value in settings.items():
        stage = name.replace("_", "-")
        browser[
            f"""(() => {{
              const input = document.querySelector('input[data-name="{stage}"]');
              const {{sliders}} = JSON.parse(document.querySelector('script.data').textContent);
              const at = sliders.find(({{name}}) => name === {stage!r}).values.indexOf({value});
              if (at < 0) throw new Error('no such value');
              input.value = at;
              input.dispatchEvent(new Event('input', {{bubbles: true}}));
            }})()"""
        ]


def expected_rows(step: StepLogits, config: SampleConfig, rows: int = 10) -> list[list[float]]:
    """As `cells`, by the filters themselves."""
    logits = SPREAD
    dist = distribution(logits, build_stages(config))
    token = None if step.step.token is None else step.step.token.id
    record = step_record(dist, token_bytes, position=1, top=rows, token=token)
    names = [stage.name for stage in record.stages]
    listed = []
    for candidate in record.candidates:
        kept = names.index(candidate.cut_by) if candidate.cut_by else len(names)
        listed.append([candidate.raw_prob, *candidate.after[:kept]])
    assert record.other is not None
    return [*listed, [record.other.raw_prob, *record.other.after]]


SPREAD = random_logits(400, 1)


@pytest.mark.parametrize(
    "config",
    [
        OFF,
        SampleConfig(),
        SampleConfig(temperature=0.0),
        SampleConfig(temperature=1.3, top_k=12, top_p=0.9, min_p=0.1),
        SampleConfig(temperature=0.5, top_p=0.5),
        SampleConfig(temperature=2.0, top_p=1.0, min_p=0.2),
        SampleConfig(temperature=1.5, top_n_sigma=1.0, top_p=0.8),
    ],
)
@pytest.mark.parametrize("token", [None, 7])
def test_the_table_shows_what_the_sliders_say(
    browser: Browser, write: Callable[..., Path], config: SampleConfig, token: int | None
) -> None:
    step = drawn(SPREAD, token, OFF, best=50, history=[0])
    browser.open(write([step]))
    move(browser, **{name: getattr(config, name) for name in ("temperature", "top_n_sigma", "top_k", "top_p", "min_p")})
    found, expected = cells(browser), expected_rows(step, config)
    assert [[low for low, _ in row] for row in found] == [pytest.approx(row, abs=1e-9) for row in expected]
    assert all(low == high for row in found for low, high in row)
    assert browser["document.querySelector('.bounds').hidden"]
    assert browser.text(".sums").count("= 100 %") == (2 if build_stages(config) else 1)


@pytest.mark.parametrize(
    "config",
    [
        SampleConfig(temperature=0.85, top_k=30, top_p=0.93, min_p=0.013),
        SampleConfig(temperature=2.2, top_p=0.97),
        SampleConfig(temperature=2.2, top_k=200, top_p=0.97, min_p=0.001),
        SampleConfig(temperature=3.0, top_k=100, top_p=1.0),
        SampleConfig(temperature=3.0, top_n_sigma=1.2, top_p=1.0),
        SampleConfig(temperature=3.0, top_p=0.9, stages=("top-p", "temperature")),
    ],
)
@pytest.mark.parametrize("token", [2, 397])
def test_a_page_of_a_sample_begins_with_the_funnel_that_was_used(
    browser: Browser, write: Callable[..., Path], config: SampleConfig, token: int
) -> None:
    """Exact, wherever the cuts lie; bounds only once a slider is moved."""
    step = drawn(SPREAD, token, config, best=20, history=[0])
    browser.open(write([step], config))
    found = cells(browser)
    assert [[low for low, _ in row] for row in found] == [
        pytest.approx(row, abs=1e-9) for row in expected_rows(step, config)
    ]
    assert all(high == pytest.approx(low, abs=1e-12) for row in found for low, high in row)
    kept = browser["[...document.querySelectorAll('[data-kept]')].map((cell) => cell.dataset.kept)"]
    assert kept == [f"{stage.kept} {stage.kept}" for stage in step.listed.stages]
    browser.click(".all-off")
    assert browser["document.querySelectorAll('.funnel tfoot tr').length"] == 0
    browser.click(".as-used")
    assert cells(browser) == found


def test_a_cut_among_what_is_not_listed_is_said_and_not_invented(browser: Browser, write: Callable[..., Path]) -> None:
    step = drawn(SPREAD, None, OFF, best=20, history=[0])
    browser.open(write([step]))
    move(browser, temperature=3.0, top_p=0.95)
    dist = distribution(SPREAD, build_stages(SampleConfig(temperature=3.0, top_p=0.95)))
    low, high = cells(browser)[0][-1]
    best = float(dist.final_V.max())
    assert low < best < high
    assert high - low < 0.001  # the cut is known up to a token
    assert "cuts among the 380 tokens" in browser.text(".bounds")
    assert browser.text(".sums").count("= 100 %") == 1  # of the raw softmax alone


def test_a_repetition_penalty_is_in_the_logits_and_said(browser: Browser, write: Callable[..., Path]) -> None:
    best = best_ids(SPREAD, 3)
    config = SampleConfig(repetition_penalty=4.0, temperature=0.9, top_p=0.9)
    step = drawn(SPREAD, best[0], config, best=30, history=best)
    browser.open(write([step], config))
    whole = distribution(SPREAD, build_stages(config), best)
    ids = [c.id for c in step.listed.candidates][:10]
    found = cells(browser)
    assert [row[0][0] for row in found[:10]] == pytest.approx(whole.raw_V[ids].tolist(), abs=1e-9)
    assert [row[1][0] for row in found[:10]] == pytest.approx(whole.results[1].probs_V[ids].tolist(), abs=1e-9)
    assert "repetition penalty of 4" in browser.text(".sums")


def test_penalties_and_biases_together_are_in_the_logits_and_said(browser: Browser, write: Callable[..., Path]) -> None:
    best = best_ids(SPREAD, 3)
    history = [best[0], best[1], best[0]]
    config = SampleConfig(
        bias=((best[2], -3.0),), repetition_penalty=1.5, presence_penalty=0.5, frequency_penalty=1.0, temperature=0.9
    )
    step = drawn(SPREAD, best[0], config, best=30, history=history)
    browser.open(write([step], config))
    whole = distribution(SPREAD, build_stages(config), history)
    ids = [c.id for c in step.listed.candidates][:10]
    found = cells(browser)
    assert [row[0][0] for row in found[:10]] == pytest.approx(whole.raw_V[ids].tolist(), abs=1e-9)
    assert [row[-1][0] for row in found[:10]] == pytest.approx(whole.final_V[ids].tolist(), abs=1e-9)
    for told in ("bias of 1 token", "repetition penalty of 1.5", "presence penalty of 0.5", "frequency penalty of 1"):
        assert told in browser.text(".sums")


@pytest.mark.parametrize("token", [2, 397])
@pytest.mark.parametrize("top_k", [12, 0])
@pytest.mark.parametrize("computed", [True, False])
def test_a_page_shows_a_sample_as_it_was_drawn_with_or_without_arithmetic_for_a_stage(
    browser: Browser,
    write: Callable[..., Path],
    token: int,
    top_k: int,
    computed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not computed:
        monkeypatch.setitem(FILTERS, "typical-p", replace(FILTERS["typical-p"], slider=()))
    config = SampleConfig(temperature=1.4, typical_p=0.7, top_k=top_k, frequency_penalty=0.5)
    step = drawn(SPREAD, token, config, best=20, history=[token])
    browser.open(write([step], config))
    penalised = build_stages(config)[0].apply(SPREAD, np.array([token]))
    record = step_record(
        distribution(penalised, build_stages(config)[1:]), token_bytes, position=1, top=10, token=token
    )
    names = [stage.name for stage in record.stages]
    assert names == ["temperature", *(["top-k"] if top_k else []), "typical-p", "top-p"]
    expected = [
        list(candidate.after[: names.index(candidate.cut_by) if candidate.cut_by else len(names)])
        for candidate in record.candidates
    ]
    assert record.other is not None
    found = cells(browser)
    assert [[low for low, _ in row[1:]] for row in found] == [
        pytest.approx(row, abs=1e-9) for row in [*expected, list(record.other.after)]
    ]
    kept = browser["[...document.querySelectorAll('[data-kept]')].map((cell) => cell.dataset.kept)"]
    assert kept == [f"{stage.kept} {stage.kept}" for stage in record.stages]
    assert ("typical-p needs the whole vocabulary" in browser.text(".sums")) != computed
    assert "frequency penalty of 0.5" in browser.text(".sums")
    assert browser["document.querySelectorAll('.sliders input, .buttons button').length"] == (8 if computed else 0)


# Looking around


@pytest.fixture
def text_page(write: Callable[..., Path]) -> Path:
    """A text of 40 tokens, 10 of them given, drawn with the default stages; the first has no context."""
    config = SampleConfig()
    tokens = [NAMES.index(" the")] * 40
    first = drawn(SPREAD, tokens[0], config, best=5, history=[]).step
    steps = [drawn(random_logits(400, n), token, config, best=30, history=[0] * n) for n, token in enumerate(tokens)]
    bare = step_without_context(first)
    return write([bare, *steps[1:]], config, given=10)


def step_without_context(step: Any) -> Any:
    token = BareToken(id=step.token.id, text=step.token.text, bytes=step.token.bytes)
    return replace(step, token=token, candidates=(), other=None, entropy_bits=None, surprisal_bits=None, stages=())


def which(browser: Browser) -> str:
    return browser.text(".which")


def test_hovering_shows_a_token_and_leaving_shows_the_selected_one(browser: Browser, text_page: Path) -> None:
    browser.open(text_page)
    assert "token 11, drawn" in which(browser)
    browser.mouse(".token[data-index='3']")
    assert "token 4, in the text" in which(browser)
    browser.mouse("h1")
    assert "token 11" in which(browser)
    browser.click(".token[data-index='20']")
    browser.mouse("h1")
    assert "token 21" in which(browser)
    assert browser["document.activeElement.dataset.index"] == "20"


def test_the_keyboard_is_enough(browser: Browser, text_page: Path) -> None:
    browser.open(text_page)
    for _ in range(4):  # size, theme, colours, text
        browser.press("Tab")
    assert browser["document.activeElement.dataset.index"] == "10"
    browser.press("ArrowRight")
    assert "token 12" in which(browser)
    assert "token 12" in browser.text(".spoken")
    browser.press("ArrowDown")
    below = browser["document.activeElement.dataset.index"]
    assert int(below) > 12
    browser.press("ArrowUp")
    assert browser["document.activeElement.dataset.index"] == "11"
    browser.press("End")
    browser.press("ArrowRight")
    assert "token 40" in which(browser)
    browser.press("Home")
    assert "No context" in browser.text(".numbers")
    assert browser["document.querySelector('.known').hidden"]
    browser.press("ArrowRight")
    browser.press("Tab")
    assert browser["document.activeElement.dataset.name"] == "temperature"
    before = cells(browser)
    browser.press("ArrowRight")
    assert browser.text(".sliders output") == "0.9"
    assert cells(browser) != before
    assert browser["document.querySelectorAll('[role=option][tabindex=\\'0\\']').length"] == 1


def test_colours_follow_the_chosen_scale_and_have_words(browser: Browser, text_page: Path) -> None:
    browser.open(text_page)
    heats = "[...document.querySelectorAll('.token')].map((token) => token.dataset.heat)"
    surprisal = browser[heats]
    assert surprisal[0] == "unknown"
    data = browser["JSON.parse(document.querySelector('script.data').textContent).steps"]
    assert surprisal[1:] == [str(sum(step["surprisal"] >= limit for limit in (1, 3, 6, 9))) for step in data[1:]]
    assert "below 1 bit: over 50 %" in browser.text(".legend")
    select = "document.querySelector('.scale')"
    browser[f"{select}.value = 'rank'; {select}.dispatchEvent(new Event('change'))"]
    assert browser[heats][1:] == [str(sum(step["rank"] >= limit for limit in (2, 4, 11, 101))) for step in data[1:]]
    assert "2 to 3" in browser.text(".legend")


def test_more_rows_are_listed_when_asked_and_the_sum_stays(browser: Browser, text_page: Path) -> None:
    browser.open(text_page)
    assert len(cells(browser)) == 12  # ten, the drawn one, and all others
    select = "document.querySelector('.rows')"
    browser[f"{select}.selectedIndex = 2; {select}.dispatchEvent(new Event('change'))"]
    assert len(cells(browser)) == 32
    assert browser.text(".sums").count("= 100 %") == 2


def test_dark_and_light(browser: Browser, text_page: Path) -> None:
    page_colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(text_page, dark=True)
    assert browser[page_colour] == "rgb(20, 22, 26)"
    browser.click("#theme")
    assert browser[page_colour] == "rgb(255, 255, 255)"
    browser.open(text_page)
    assert browser[page_colour] == "rgb(255, 255, 255)"
    browser.click("#theme")
    assert browser[page_colour] == "rgb(20, 22, 26)"


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_no_width_needs_scrolling_sideways(browser: Browser, text_page: Path, width: int) -> None:
    browser.open(text_page, width=width)
    assert browser["document.documentElement.scrollWidth"] <= width


# Hostile tokens


@pytest.fixture
def hostile_page(write: Callable[..., Path]) -> Path:
    """Every bad name as a token of the text, as a candidate, and before an open question."""
    config = SampleConfig()
    tokens = [*range(len(NAMES)), *HALF]
    logits = np.linspace(5, 0, len(NAMES) * 2)
    steps = [drawn(logits, token, config, best=len(NAMES), history=[0] * (n + 1)) for n, token in enumerate(tokens)]
    return write([*steps, drawn(logits, None, config, 50, [0])], config, before="".join(NAMES))


def test_hostile_tokens_are_letters(browser: Browser, hostile_page: Path) -> None:
    source = hostile_page.read_text("utf-8")
    assert not set(source) & set("\x00\x1b\u202e\u2066\u2028\u2029\ufeff")
    assert "hacked" in source
    browser.open(hostile_page)
    select = "document.querySelector('.rows')"
    browser[f"{select}.selectedIndex = 2; {select}.dispatchEvent(new Event('change'))"]
    for index in range(0, len(NAMES), 3):
        browser.click(f".token[data-index='{index}']")
    assert browser["window.hacked"] is None
    assert browser["document.querySelectorAll('img, iframe, .text script, .panel script').length"] == 0
    texts = browser["[...document.querySelectorAll('.token')].map((token) => token.textContent)"]
    assert NAMES[0] in texts
    assert "<NUL>" in texts
    assert "<U+202E>desrever" in texts
    assert "<E2 80>" in texts
    assert "⏎\n⏎\n" in texts
    labels = browser["[...document.querySelectorAll('.label')].map((label) => label.textContent)"]
    assert "⏎⏎" in labels
    assert not set("".join([*texts, *labels])) & set("\x00\x1b\u202e\u2066\u2028\u2029\ufeff")


def test_the_policy_runs_nothing_that_is_not_ours(chromium: Browser, hostile_page: Path) -> None:
    """Even if a token could become an element."""
    chromium.open(hostile_page)
    chromium[
        """(() => {
          const script = document.createElement('script');
          script.textContent = 'window.hacked = 8';
          document.body.append(script);
          document.body.insertAdjacentHTML('beforeend',
            '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked = 9">' +
            '<style>body { opacity: 0 }</style><b onclick="window.hacked = 10" id="b">b</b>');
          document.getElementById('b').click();
        })()"""
    ]
    assert chromium["window.hacked"] is None
    assert chromium["getComputedStyle(document.body).opacity"] == "1"
    refused = [json.dumps(complaint) for complaint in chromium.complaints()]
    assert len([text for text in refused if "Content Security Policy" in text]) >= 3


# History and attention


@pytest.fixture
def put(tmp_path: Path) -> Callable[[Section], Path]:
    """A section as a page on disk."""

    def put(section: Section) -> Path:
        path = tmp_path / "page.html"
        path.write_text(page("A page", [section]), "utf-8")
        return path

    return put


def history_row(step: int, shares: Sequence[float], *, final: bool = False) -> HistoryRow:
    logits = np.log([*shares, 1 - sum(shares)])
    dist = distribution(logits)
    tracked = [step_record(dist, token_bytes, position=1, top=1, token=token).chosen for token in range(len(shares))]
    return HistoryRow(
        step=step, final=final, validation_loss_nats=None, validation_bits_per_byte=None if final else 2.5,
        entropy_bits=1.25, divergence_bits=0.5, tracked=tuple(candidate for candidate in tracked if candidate),
    )  # fmt: skip


ROWS = [history_row(0, [0.1, 0.2]), history_row(30, [0.3, 0.1]), history_row(1500, [0.6, 0.05], final=True)]


def shares(browser: Browser) -> list[float]:
    found = "[...document.querySelectorAll('[data-share]')].map((cell) => Number(cell.dataset.share))"
    return browser[found]


def test_history_is_played_from_the_first_step_to_the_last(browser: Browser, put: Callable[..., Path]) -> None:
    browser.open(put(history_section("A history", ROWS, "".join(NAMES))))
    assert browser.text(".step") == "final, step 1,500"
    assert shares(browser) == pytest.approx([0.6, 0.05])
    assert browser["window.hacked"] is None
    browser.click(".play")
    assert browser.text(".step") == "step 0"
    assert browser.text(".play") == "pause"
    assert shares(browser) == pytest.approx([0.1, 0.2])
    assert "validation 2.500 bits per byte" in browser.text(".numbers")
    waited = browser(
        "Runtime.evaluate",
        expression="""new Promise((done) => {
          const seen = [];
          const look = () => {
            seen.push(document.querySelector('.step').textContent);
            document.querySelector('.play').textContent === 'play' ? done([...new Set(seen)]) : setTimeout(look, 20);
          };
          look();
        })""",
        awaitPromise=True,
        returnByValue=True,
    )
    assert waited["result"]["value"] == ["step 0", "step 30", "final, step 1,500"]


def test_history_is_moved_by_keys(browser: Browser, put: Callable[..., Path]) -> None:
    browser.open(put(history_section("A history", ROWS, "a")))
    for _ in range(4):  # size, theme, play, slider
        browser.press("Tab")
    browser.press("ArrowLeft")
    assert browser.text(".step") == "step 30"
    assert shares(browser) == pytest.approx([0.3, 0.1])
    assert browser["document.querySelector('.when').getAttribute('aria-valuetext')"] == "step 30"
