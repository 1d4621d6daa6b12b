"""What a live page shows of a model's inside, in a real browser, beside what torch computes with the same weights."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import NAMES, Browser
from torch import Tensor

from minigpt.app.export_page import page_data
from minigpt.checkpoint.folder import Checkpoint
from minigpt.models.gpt import GPT
from minigpt.models.inside import Attention, look_inside
from minigpt.render.model_page import model_page
from minigpt.settings import ACTIVATIONS, ModelConfig
from minigpt.text.records import Token
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.history import by_layer

PAGE = "document.querySelector('section.view').page"
NEAR = 1e-4
TEXT = "The cat sat on the mat, and the dog"


def random_model(bpe: Tokenizer, **shape: Any) -> GPT:
    """Two layers of random weights, large enough that neither logits nor attention are flat."""
    shape = {"context": 24, "layers": 2, "heads": 2, "width": 32, **shape}
    model = GPT(ModelConfig(vocab_size=bpe.vocab_size, **shape))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.2, generator=generator)
    return model.eval()


@dataclass
class Live:
    """A page in the browser, and the model whose page it is."""

    browser: Browser
    model: GPT
    tokenizer: Tokenizer

    def read(self, text: str, **state: Any) -> list[int]:
        """Put the page into a state; the ids that it reads."""
        self.browser[f"{PAGE}.change({json.dumps({'text': text, **state})})"]
        return self.tokenizer.encode(text)

    def open(self, part: str, *stations: str) -> None:
        self.browser[f"document.querySelector('[data-part={part}]').open = true"]
        for station in stations:
            self.browser[f"document.querySelector('[data-station={station}]').open = true"]
        self.browser.settle()

    def vector(self, station: str, name: str) -> list[float]:
        """All numbers of a vector, from its table."""
        vector = f"document.querySelector('[data-station={station}] [data-vector={json.dumps(name)}]')"
        self.browser[f"{vector}.querySelector('details').open = true"]
        self.browser.settle()
        return self.numbers(f"[data-station={station}] [data-vector={json.dumps(name)}] td")

    def numbers(self, selector: str) -> list[float]:
        found = self.browser[
            f"[...document.querySelectorAll({json.dumps(selector)})].map((cell) => cell.dataset.value)"
        ]
        return [float(number) for number in found]

    def choose(self, station: str, name: str, *keys: str) -> None:
        """Move to another component of a vector by keys."""
        self.browser[
            f"document.querySelector('[data-station={station}] [data-vector={json.dumps(name)}] .strip').focus()"
        ]
        for key in keys:
            self.browser.press(key)


def write_page(path: Path, model: GPT, tokenizer: Tokenizer, tokens: Iterable[Token] = ()) -> Path:
    """`tokens`: what the page shows for the vocabulary, if that is not the tokenizer's."""
    tokens = tokens or [Token.of(tokenizer, token) for token in range(model.config.vocab_size)]
    data = page_data(Checkpoint(path=path, model=model, tokenizer=tokenizer), "float32")
    path.write_text(model_page(data, tokens, title="A model", caption=""), "utf-8")
    return path


@pytest.fixture
def live(browser: Browser, tmp_path: Path, bpe: Tokenizer) -> Iterator[Callable[..., Live]]:
    """Opens the page of a random model, in float32."""

    def live(screen: int = 1280, *, dark: bool = False, **shape: Any) -> Live:
        model = random_model(bpe, **shape)
        browser.open(write_page(tmp_path / "model.html", model, bpe), screen, dark=dark)
        return Live(browser, model, bpe)

    yield live
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("file:")] == []


SHAPES: list[dict[str, Any]] = [
    *({"activation": activation, "tied": n % 2 == 0} for n, activation in enumerate(ACTIVATIONS)),
    {"activation": "gelu_new", "tied": False},
    {"width": 30, "heads": 3, "inner_width": 17, "layers": 3, "layer_norm_epsilon": 0.01},
    {"width": 5, "heads": 1, "layers": 1},
]


@pytest.fixture(params=SHAPES, ids=lambda shape: " ".join(map(str, shape.values())))
def every_live(request: pytest.FixtureRequest, live: Callable[..., Live]) -> Live:
    """All activations, output heads of their own, and unusual widths, one a test."""
    return live(**request.param)


@pytest.fixture(params=SHAPES[-3:], ids=lambda shape: " ".join(map(str, shape.values())))
def any_live(request: pytest.FixtureRequest, live: Callable[..., Live]) -> Live:
    """The last three of them."""
    return live(**request.param)


def inside(model: GPT, ids: Sequence[int]) -> tuple[Attention, Tensor]:
    attention, logits_BTV = look_inside(model, ids)
    return attention, logits_BTV[0].double()


def outputs(model: GPT, ids: Sequence[int]) -> dict[str, Tensor]:
    """What each module of the model gives for `ids`, by its name, without the batch."""
    found: dict[str, Tensor] = {}

    def kept(name: str, _: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
        found[name], found[f"{name} in"] = made[0], given[0][0]

    hooks = [module.register_forward_hook(partial(kept, name)) for name, module in model.named_modules() if name]
    with torch.inference_mode():
        model(torch.tensor([list(ids)]))
    for hook in hooks:
        hook.remove()
    return found


# The engine


def test_logits_of_200_prompts_of_all_lengths(every_live: Live) -> None:
    """Also beyond the context, where the newer half of the window is read again, as on the command line."""
    model, generator = every_live.model, torch.Generator().manual_seed(1)
    count = 200 if model.config.activation == "gelu_new" else 20
    lengths = torch.randint(1, 60, (count,), generator=generator).tolist()
    prompts = [torch.randint(model.config.vocab_size, (length,), generator=generator).tolist() for length in lengths]
    found = every_live.browser[f"{json.dumps(prompts)}.map((ids) => [...{PAGE}.model.read(ids).logits()])"]
    for ids, logits in zip(prompts, found, strict=True):
        assert logits == pytest.approx(inside(model, ids)[1][-1].tolist(), abs=NEAR)


def test_typing_deleting_and_replacing_give_what_a_fresh_pass_gives(every_live: Live) -> None:
    """To the bit: a number that was computed is either kept or computed again in the same way."""
    edits = [
        [5, 6, 7],
        [5, 6, 7, 8],
        [5, 6, 7, 8, 9, 10],
        [5, 6],
        [5, 9, 7],
        [1],
        [5, 6, 7, 8],
        list(range(30)),
        [*range(24)],
        [*range(25)],
    ]
    found = every_live.browser[
        f"""(() => {{
          const {{model}} = {PAGE}, {{layers, heads}} = model.config;
          const told = (reading) => JSON.stringify(reading.ids.map((_, t) => [
            [...reading.logits(t)], reading.favourite(layers, t), [...reading.streamRow(layers, t)],
            Array.from({{length: heads}}, (_, head) => [...reading.weights(layers - 1, head, t)]),
          ]));
          let from = null;
          return {json.dumps(edits)}.map((ids) => {{
            from = model.read(ids, {{from}});
            return [told(from) === told(model.read(ids)), from.reused];
          }});
        }})()"""
    ]
    assert [same for same, _ in found] == [True] * len(edits)
    assert [reused for _, reused in found] == [0, 3, 4, 2, 1, 0, 0, 0, 0, 0]


# The stations


def test_the_embeddings_are_the_rows_of_the_tables(any_live: Live) -> None:
    model = any_live.model
    ids = any_live.read(TEXT, at=3)
    any_live.open("inside", "embedding")
    assert any_live.vector("embedding", "token") == model.wte.weight[ids[3]].tolist()
    assert any_live.vector("embedding", "position") == model.wpe.weight[3].tolist()
    assert any_live.vector("embedding", "sum") == pytest.approx(
        (model.wte.weight[ids[3]] + model.wpe.weight[3]).tolist(), abs=NEAR
    )
    token, position, total = any_live.numbers("[data-station=embedding] .formula .number")
    assert (token + position, total) == pytest.approx((total, any_live.vector("embedding", "sum")[0]), abs=1e-6)


def test_query_key_and_value(any_live: Live) -> None:
    config, layer, head = any_live.model.config, any_live.model.config.layers - 1, any_live.model.config.heads - 1
    ids = any_live.read(TEXT, at=4, layer=layer + 1, head=head + 1)
    any_live.open("inside", "projections")
    found = outputs(any_live.model, ids)
    D = config.width // config.heads
    assert any_live.vector("projections", "stream") == pytest.approx(found[f"h.{layer} in"][4].tolist(), abs=NEAR)
    assert any_live.vector("projections", "normalised") == pytest.approx(found[f"h.{layer}.ln_1"][4].tolist(), abs=NEAR)
    rows = found[f"h.{layer}.attn.c_attn"][4].view(3, config.heads, D)[:, head].tolist()
    for name, row in zip(("query", "key", "value"), rows, strict=True):
        assert any_live.vector("projections", name) == pytest.approx(row, abs=NEAR)
    any_live.choose("projections", "query", "ArrowRight", "End")
    results = [float(x) for x in any_live.browser[results_of("projections")]]
    assert results == pytest.approx([row[-1] for row in rows], abs=NEAR)


def results_of(station: str) -> str:
    """The results of its sums of products, in their order."""
    lines = f"document.querySelectorAll('[data-station={station}] .products .formula')"
    return f"[...{lines}].map((line) => line.dataset.result)"


def sums_of(live: Live, station: str) -> list[float]:
    """What the table of each sum of products in a station adds up to: its products do, and its last row says so."""
    live.browser[
        f"document.querySelectorAll('[data-station={station}] .products details').forEach((all) => all.open = true)"
    ]
    live.browser("Runtime.evaluate", expression="new Promise((go) => setTimeout(go, 0))", awaitPromise=True)
    tables = live.browser[
        f"[...document.querySelectorAll('[data-station={station}] .terms')].map((table) => [...table.rows].slice(1)"
        ".map((row) => [...row.querySelectorAll('td')].map((cell) => Number(cell.dataset.value))))"
    ]
    sums = []
    for rows in tables:
        products = [row for row in rows if len(row) == 3]
        (*bias, [last]) = [row for row in rows if len(row) == 1]
        assert all(a * b == pytest.approx(product, abs=1e-12) for a, b, product in products)
        assert sum(product for *_, product in products) + sum(row[0] for row in bias) == pytest.approx(last, abs=1e-9)
        sums.append(last)
    return sums


def test_the_headings_of_products_stand_where_their_numbers_do(live: Callable[..., Live]) -> None:
    page = live(width=16)
    page.read(TEXT)
    page.open("inside", "projections")
    assert sums_of(page, "projections")
    cells = "[...document.querySelector('.terms').rows].slice(0, 2).map((row) => [...row.cells].slice(1))"
    assert (
        page.browser[f"{cells}.map((row) => row.map((cell) => getComputedStyle(cell).textAlign))"]
        == [["right"] * 3] * 2
    )


@pytest.mark.parametrize("at", [None, 0, 5])
def test_scores_weights_and_the_mean_of_the_values(any_live: Live, at: int | None) -> None:
    config, layer, head = any_live.model.config, any_live.model.config.layers - 1, any_live.model.config.heads - 1
    ids = any_live.read(TEXT, at=at, layer=layer + 1, head=head + 1)
    t = len(ids) - 1 if at is None else at
    any_live.open("inside", "head")
    attention, _ = inside(any_live.model, ids)
    D = config.width // config.heads
    scores, weights = attention.scores_LHTS[layer, head, t], attention.weights_LHTS[layer, head, t]
    rows = any_live.browser[
        "[...document.querySelectorAll('.scores [data-row]')].map((row) => "
        "[row.dataset.row, ...[...row.querySelectorAll('td.number')].map((cell) => cell.dataset.value)].map(Number))"
    ]
    assert len(rows) == min(t + 1, 10)
    for s, product, score, weight in rows:
        assert score == pytest.approx(float(scores[int(s)]), abs=NEAR)
        assert product == pytest.approx(score * D**0.5, abs=NEAR)
        assert weight == pytest.approx(float(weights[int(s)]), abs=NEAR)
    shown = any_live.numbers(".scores td:nth-child(5).number, .scores .other .number")
    assert sum(shown) == pytest.approx(1, abs=1e-9)
    assert any_live.browser["document.querySelectorAll('.scores .gone').length"] == min(3, len(ids) - 1 - t)
    mixed = outputs(any_live.model, ids)[f"h.{layer}.attn.c_proj in"][t].view(config.heads, D)[head]
    assert any_live.vector("head", "mix") == pytest.approx(mixed.tolist(), abs=NEAR)


def test_the_arithmetic_of_a_score_is_that_of_the_model(any_live: Live) -> None:
    ids = any_live.read(TEXT)
    any_live.open("inside", "head")
    any_live.browser["document.querySelector('.scores [data-source]').click()"]
    source = int(any_live.browser["document.activeElement.dataset.source"])
    attention, _ = inside(any_live.model, ids)
    D = any_live.model.config.width // any_live.model.config.heads
    product, mean = sums_of(any_live, "head")
    assert product / D**0.5 == pytest.approx(float(attention.scores_LHTS[0, 0, -1, source]), abs=NEAR)
    lines = any_live.browser[
        "[...document.querySelectorAll('[data-station=head] .body > .formula')].map((line) => line.dataset.result)"
    ]
    assert float(lines[0]) == pytest.approx(product / D**0.5, abs=1e-9)
    assert float(lines[1]) == pytest.approx(float(attention.weights_LHTS[0, 0, -1, source]), abs=NEAR)
    assert mean == pytest.approx(any_live.vector("head", "mix")[0], abs=1e-6)
    assert f"/ √{D} =" in any_live.browser.text("[data-station=head]")


def test_what_a_head_and_an_mlp_add(every_live: Live) -> None:
    model, config = every_live.model, every_live.model.config
    layer, head, D = config.layers - 1, config.heads - 1, config.width // config.heads
    ids = every_live.read(TEXT, at=6, layer=layer + 1, head=head + 1)
    every_live.open("inside", "back", "mlp")
    found = {name: rows[6] for name, rows in outputs(model, ids).items()}
    rows = model.blocks[layer].attn.c_proj.weight.detach().view(config.heads, D, -1)[head]
    alone = found[f"h.{layer}.attn.c_proj in"].view(config.heads, D)[head] @ rows
    steps = {
        ("back", "what the head adds"): alone, ("back", "all heads and the bias"): found[f"h.{layer}.attn"],
        ("back", "stream with attention"): found[f"h.{layer}.ln_2 in"], ("mlp", "normalised"): found[f"h.{layer}.ln_2"],
        ("mlp", "widened"): found[f"h.{layer}.mlp.c_fc"], ("mlp", "activated"): found[f"h.{layer}.mlp.c_proj in"],
        ("mlp", "narrowed"): found[f"h.{layer}.mlp"], ("mlp", "stream after the layer"): found[f"h.{layer}"],
    }  # fmt: skip
    for (station, name), row in steps.items():
        assert every_live.vector(station, name) == pytest.approx(row.tolist(), abs=NEAR), name
    every_live.choose("back", "stream", "ArrowRight", "ArrowRight")
    every_live.choose("mlp", "activated", "End", "ArrowLeft")
    every_live.choose("mlp", "narrowed", "Home", "ArrowRight")
    assert sums_of(every_live, "back") == pytest.approx([float(alone[2])], abs=NEAR)
    inner = config.mlp_width - 2
    expected = [float(found[f"h.{layer}.mlp.c_fc"][inner]), float(found[f"h.{layer}.mlp"][1])]
    assert sums_of(every_live, "mlp") == pytest.approx(expected, abs=NEAR)
    assert [float(x) for x in every_live.browser[results_of("mlp")]] == pytest.approx(expected, abs=NEAR)


def test_the_stream_is_the_sum_of_what_is_added(any_live: Live) -> None:
    model, config = any_live.model, any_live.model.config
    ids = any_live.read(TEXT)
    any_live.open("inside", "stream", "norm")
    found = {name: rows[-1] for name, rows in outputs(model, ids).items()}
    stream = inside(model, ids)[0].stream_LTC[:, -1]
    added, lengths = [stream[0]], [stream[0].norm()]
    for layer in range(config.layers):
        added += [found[f"h.{layer}.attn"], found[f"h.{layer}.mlp"]]
        lengths += [found[f"h.{layer}.ln_2 in"].norm(), stream[layer + 1].norm()]
    rows = any_live.browser[
        "[...document.querySelectorAll('.stream [data-added]')].map((row) => "
        "[...row.querySelectorAll('.number')].map((cell) => Number(cell.dataset.value)))"
    ]
    assert [row[0] for row in rows] == pytest.approx([float(row.norm()) for row in added], abs=NEAR)
    assert [row[1] for row in rows] == pytest.approx([float(row[0]) for row in added], abs=NEAR)
    assert [row[2] for row in rows] == pytest.approx([float(length) for length in lengths], abs=NEAR)
    assert sum(row[1] for row in rows) == pytest.approx(rows[-1][3], abs=1e-5)
    assert any_live.vector("norm", "stream") == pytest.approx(stream[-1].tolist(), abs=NEAR)
    assert any_live.vector("norm", "normalised") == pytest.approx(found["ln_f"].tolist(), abs=NEAR)


def test_logits_and_probabilities(any_live: Live) -> None:
    ids = any_live.read(TEXT)
    any_live.open("inside", "logits", "softmax")
    logits = inside(any_live.model, ids)[1][-1]
    probabilities = logits.softmax(-1)
    best = logits.argsort(descending=True)[:10].tolist()
    assert (
        any_live.browser[
            "[...document.querySelectorAll('[data-station=logits] [data-row]')].map((row) => Number(row.dataset.row))"
        ]
        == best
    )
    assert any_live.numbers("[data-station=logits] [data-row] .number") == pytest.approx(
        logits[best].tolist(), abs=NEAR
    )
    any_live.browser[f"document.querySelector('[data-station=logits] [data-id=\"{best[3]}\"]').click()"]
    assert sums_of(any_live, "logits") == pytest.approx([float(logits[best[3]])], abs=NEAR)
    shares = any_live.numbers("[data-station=softmax] tbody td:last-child")
    assert shares[:-1] == pytest.approx(probabilities[best].tolist(), abs=NEAR)
    assert sum(shares) == pytest.approx(1, abs=1e-9)
    assert "= 100.00 %" in any_live.browser.text("[data-station=softmax]")


def test_numbers_are_written_with_three_digits(live: Callable[..., Live]) -> None:
    written = {
        0: "0", 3.41: "3.41", -12.34: "−12.3", 0.5: "0.500", 0.0001234: "0.000123", 0.00001234: "1.23·10⁻⁵",
        -999.7: "−1,000", 1234.5: "1,235", 12345678: "1.23·10⁷",
    }  # fmt: skip
    found = live().browser[f"{json.dumps(list(written))}.map((x) => Numbers.figure(Number(x)))"]
    assert found == list(written.values())
    assert live().browser["[NaN, Infinity, -Infinity].map(Numbers.figure)"] == ["not a number", "∞", "−∞"]


def test_the_choosers_and_the_arrow_keys_move_the_state(live: Callable[..., Live]) -> None:
    page = live()
    ids = page.read(TEXT)
    page.open("inside", "head")
    page.browser["document.querySelector('[data-part=inside] .choose-token').focus()"]
    page.browser.press("ArrowUp")
    assert page.browser[f"{PAGE}.state.at"] == len(ids) - 2
    page.browser.press("Home")
    assert page.browser[f"{PAGE}.state.at"] == 0
    page.browser.press("End")
    assert page.browser[f"{PAGE}.state.at"] is None
    assert page.browser["document.activeElement.className"] == "choose-token"
    page.browser["document.querySelector('[data-part=inside] .choose-head').focus()"]
    page.browser.press("ArrowDown")
    assert page.browser[f"{PAGE}.state.head"] == 2
    assert page.browser.text("[data-station=head] .where") == "layer 1, head 2"
    page.choose("head", "query", "ArrowRight", "ArrowRight")
    assert page.browser["document.activeElement.getAttribute('aria-valuetext')"].startswith("component 3: ")
    page.choose("head", "query", "End", "ArrowRight")
    assert page.browser["document.activeElement.getAttribute('aria-valuenow')"] == "16"


def test_a_token_before_the_window_is_not_shown_as_if_it_were_read(live: Callable[..., Live]) -> None:
    page = live(context=8)
    ids = page.read(TEXT, at=0)
    start = page.browser[f"{PAGE}.reading.start"]
    assert 0 < start < len(ids)
    page.open("inside", "embedding")
    assert not page.browser["document.querySelector('.outside').hidden"]
    assert page.vector("embedding", "token") == page.model.wte.weight[ids[start]].tolist()
    assert page.vector("embedding", "position") == page.model.wpe.weight[0].tolist()
    page.read(TEXT, at=start + 1)
    assert page.browser["document.querySelector('.outside').hidden"]


# Attention


def cells(live: Live) -> list[list[float]]:
    live.browser["document.querySelector('.as-table').open = true"]
    live.browser("Runtime.evaluate", expression="new Promise((go) => setTimeout(go, 0))", awaitPromise=True)
    return live.browser[
        "[...document.querySelectorAll('.all-cells tbody tr')].map((row) => "
        "[...row.querySelectorAll('td')].map((cell) => Number(cell.dataset.value)))"
    ]


def test_the_grid_holds_the_models_weights_and_scores(any_live: Live) -> None:
    config = any_live.model.config
    ids = any_live.read(TEXT)
    attention, _ = inside(any_live.model, ids)
    any_live.open("attention")
    for layer in range(config.layers):
        any_live.browser[f"document.querySelector('[data-head=\"{layer + 1}.{config.heads}\"]').click()"]
        found = cells(any_live)
        for t, row in enumerate(found):
            assert row == pytest.approx(attention.weights_LHTS[layer, -1, t, : t + 1].tolist(), abs=NEAR)
    any_live.browser["document.querySelector('[name=scores]').click()"]
    for t, row in enumerate(cells(any_live)):
        assert row == pytest.approx(attention.scores_LHTS[-1, -1, t, : t + 1].tolist(), abs=NEAR)


def test_the_list_and_the_lines_of_a_token_add_up(live: Callable[..., Live]) -> None:
    page = live()
    ids = page.read(TEXT)
    page.open("attention")
    page.browser.press("Tab")
    weights = inside(page.model, ids)[0].weights_LHTS
    assert sum(page.numbers(".attends td:last-child")) == pytest.approx(1, abs=1e-9)
    lines = page.browser["[...document.querySelectorAll('.arcs path')].map((line) => Number(line.dataset.weight))"]
    assert lines == pytest.approx([weight for weight in weights[0, 0, -1].tolist() if weight >= 0.01], abs=NEAR)
    page.browser["document.querySelector('.arcs [data-token=\"2\"]').click()"]
    assert page.browser[f"{PAGE}.state.at"] == 2
    page.browser.press("ArrowRight")
    assert page.browser["document.activeElement.dataset.token"] == "3"
    assert page.browser[f"{PAGE}.state.at"] == 3
    page.browser.press("End")
    assert page.browser["document.activeElement.dataset.token"] == str(len(ids) - 1)
    assert page.browser[f"{PAGE}.state.at"] is None


def test_the_grids_of_all_heads_are_buttons_that_arrow_keys_walk(live: Callable[..., Live]) -> None:
    page = live()
    page.read(TEXT)
    page.open("attention")
    page.browser["document.querySelector('.heads button').focus()"]
    page.browser.press("ArrowRight")
    page.browser.press("ArrowDown")
    page.browser.press("ArrowDown")
    assert page.browser["document.activeElement.getAttribute('aria-label')"] == "layer 2, head 2"
    assert page.browser["document.activeElement.getAttribute('aria-pressed')"] == "true"
    assert page.browser["document.querySelectorAll('.heads [tabindex=\"0\"]').length"] == 1
    assert page.browser[f"[{PAGE}.state.layer, {PAGE}.state.head]"] == [2, 2]


def test_a_pixel_of_a_grid_is_a_weight_on_the_scale_that_the_legend_names(live: Callable[..., Live]) -> None:
    page = live()
    ids = page.read(TEXT)
    page.open("attention")
    weights = inside(page.model, ids)[0].weights_LHTS[1, 0]
    pixels = f"""(() => {{
      const copy = new OffscreenCanvas({len(ids)}, {len(ids)}).getContext('2d', {{willReadFrequently: true}});
      copy.drawImage(document.querySelector('[data-head="2.1"] canvas'), 0, 0);
      return [...copy.getImageData(0, 0, {len(ids)}, {len(ids)}).data].filter((_, i) => i % 4 === 3);
    }})()"""
    by_row = torch.tensor(page.browser[pixels]).view(len(ids), -1) / 255
    assert torch.allclose(by_row, weights.float() / weights.amax(-1, keepdim=True).float(), atol=0.01)
    assert page.browser.text(".most") == "the largest weight of the row"
    page.browser["document.querySelector('[name=byRow]').click()"]
    absolute = torch.tensor(page.browser[pixels]).view(len(ids), -1) / 255
    assert torch.allclose(absolute, weights.float(), atol=0.01)
    assert page.browser.text(".most") == "100 %"


# The page


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_does_not_scroll_sideways(live: Callable[..., Live], dark: bool) -> None:
    page = live(400, dark=dark)
    page.read(TEXT + "\n\n" + "x" * 60)
    page.open("inside", *page.browser["[...document.querySelectorAll('.station')].map((each) => each.dataset.station)"])
    page.open("attention")
    page.browser["document.querySelectorAll('.all').forEach((all) => all.open = true)"]
    page.browser("Runtime.evaluate", expression="new Promise((go) => setTimeout(go, 50))", awaitPromise=True)
    assert page.browser["document.documentElement.scrollWidth"] <= 400


# The logit lens


@pytest.mark.parametrize("at", [None, 2])
def test_each_layer_is_read_as_if_it_were_the_last(any_live: Live, at: int | None) -> None:
    """As `inspect-probs --by-layer` does: final norm and output head on the stream after each layer."""
    model, config = any_live.model, any_live.model.config
    ids = any_live.read(TEXT, at=at)
    t = len(ids) - 1 if at is None else at
    any_live.open("lens")
    records = by_layer(model, any_live.tokenizer, ids[: t + 1], top=5)
    rows = any_live.browser[
        "[...document.querySelectorAll('.rows-of-lens tbody tr')].map((row) => ({"
        "ids: [...row.querySelectorAll('[data-id]')].map((cell) => Number(cell.dataset.id)), "
        "shares: [...row.querySelectorAll('.best .number')].map((cell) => Number(cell.dataset.value)), "
        "other: Number(row.lastChild.dataset.value), final: Number(row.children[1].dataset.value), "
        "rank: Number(row.querySelector('[data-rank]').dataset.rank)}))"
    ]
    assert len(rows) == config.layers + 1
    for row, record in zip(rows, records, strict=True):
        assert row["ids"] == [candidate.id for candidate in record.candidates]
        assert row["shares"] == pytest.approx([candidate.raw_prob for candidate in record.candidates], abs=NEAR)
        assert row["other"] == pytest.approx(record.other.raw_prob, abs=NEAR)
        assert sum(row["shares"]) + row["other"] == pytest.approx(1, abs=1e-9)
        assert (row["rank"], row["final"]) == (
            record.tracked[0].rank,
            pytest.approx(record.tracked[0].raw_prob, abs=NEAR),
        )
    assert rows[-1]["rank"] == 1
    output = inside(model, ids)[1][t].softmax(-1)
    assert rows[-1]["shares"] == pytest.approx(output[rows[-1]["ids"]].tolist(), abs=NEAR)


def test_the_grid_of_the_lens_holds_the_best_token_of_every_layer_after_every_token(any_live: Live) -> None:
    model, config = any_live.model, any_live.model.config
    ids = any_live.read(TEXT)
    any_live.open("lens")
    wait_for(any_live.browser, "document.querySelector('.lens-grid').dataset.done")
    cells = any_live.browser[
        "[...document.querySelectorAll('.lens-grid tbody tr')].map((row) => [...row.querySelectorAll('td')].map("
        "(cell) => [Number(cell.dataset.id), Number(cell.dataset.value), cell.classList.contains('hit')]))"
    ]
    with torch.inference_mode():
        shares_LTV = model.unembed(inside(model, ids)[0].stream_LTC.float()).double().softmax(-1)
    assert len(cells) == config.layers + 1
    for layer, row in enumerate(cells):
        assert [id for id, *_ in row] == shares_LTV[layer].argmax(-1).tolist()
        assert [share for _, share, _ in row] == pytest.approx(shares_LTV[layer].amax(-1).tolist(), abs=NEAR)
        assert [hit for *_, hit in row] == [id == after for (id, *_), after in zip(row, [*ids[1:], None], strict=True)]
    any_live.browser["document.querySelector('.lens-grid th[data-t=\"3\"]').click()"]
    assert any_live.browser[f"{PAGE}.state.at"] == 3


def wait_for(browser: Browser, condition: str) -> None:
    """Until it holds; pages compute in slices of time."""
    wait = f"new Promise((go) => {{ const look = () => ({condition} ? go() : setTimeout(look, 5)); look(); }})"
    browser("Runtime.evaluate", expression=wait, awaitPromise=True)


# The guided walk


def stage(live: Live) -> list[str]:
    """The parts and stations that can be seen."""
    return live.browser[
        "[...document.querySelectorAll('[data-part], [data-station]')].filter((each) => each.checkVisibility())"
        ".map((each) => each.dataset.part ?? each.dataset.station)"
    ]


STOPS = {
    "Tokens": ["walk", "prompt"],
    "Positions": ["walk", "inside", "embedding"],
    "Queries and keys": ["walk", "inside", "head"],
    "Attention": ["walk", "inside", "head"],
    "Self-attention": ["walk", "attention"],
    "Layers": ["walk", "inside", "stream", "lens"],
    "The list": ["walk", "list", "inside", "logits"],
    "Sampling": ["walk", "prompt", "play", "list", "settings"],
}


def test_keys_lead_through_the_walk_and_out_of_it(live: Callable[..., Live]) -> None:
    page = live()
    page.read(TEXT)
    page.open("attention")
    page.browser["document.querySelector('.start-walk').click()"]
    for number, (title, parts) in enumerate(STOPS.items(), 1):
        assert page.browser.text(".progress") == f"{number} of 8: {title}"
        assert page.browser["document.activeElement.className"] == "sentence"
        assert page.browser.text(".sentence").endswith(".")
        assert stage(page) == parts
        assert "walk" in page.browser[f"{PAGE}.address"]
        page.browser.press("ArrowRight" if number % 2 else " ")
    assert page.browser.text(".progress").startswith("8 of 8")
    page.browser.press("ArrowLeft")
    page.browser.press("PageUp")
    page.browser.press("PageDown")
    assert page.browser.text(".progress").startswith("7 of 8")
    page.browser.press("Escape")
    assert page.browser[f"{PAGE}.state.walk"] == 0
    assert page.browser["document.activeElement.className"] == "start-walk"
    assert page.browser["[...document.querySelectorAll('details[open]')].map((each) => each.dataset.part)"] == [
        "attention"
    ]
    assert "game" in stage(page)


def test_keys_that_a_part_of_the_walk_uses_itself_do_not_lead_on(live: Callable[..., Live]) -> None:
    page = live()
    page.read(TEXT, walk=2)
    page.choose("embedding", "token", "ArrowRight", "ArrowRight")
    page.browser["document.querySelector('.choose-token').focus()"]
    page.browser.press("ArrowUp")
    page.browser["document.querySelector('[data-station=embedding] summary').focus()"]
    page.browser.press(" ")
    assert page.browser[f"{PAGE}.state.walk"] == 2
    page.browser["document.querySelector('.stage .on').focus()"]
    page.browser.press("ArrowRight")
    assert page.browser[f"{PAGE}.state.walk"] == 3


def test_a_link_leads_to_a_stop_and_a_walk_without_a_text_uses_the_models_own(live: Callable[..., Live]) -> None:
    page = live()
    page.browser["document.querySelector('.start-walk').click()"]
    added = page.browser[f"{PAGE}.state.added"]
    ids = [page.tokenizer.end_of_text]
    for token in added:
        assert token == int(inside(page.model, ids)[1][-1].argmax())
        ids.append(token)
    assert len(added) == 12
    for fragment, stop in {"walk=5": 5, "walk=99": 8, "walk=-1": 0, "walk=x": 0}.items():
        page.browser[f"location.hash = '#text=The&{fragment}'"]
        wait_for(page.browser, f"{PAGE}.state.text === 'The'")
        shown = page.browser["document.documentElement.dataset.walk"]
        assert shown == (str(stop) if stop else None)
        page.browser["location.hash = ''"]
        wait_for(page.browser, f"{PAGE}.state.text === ''")


@pytest.mark.parametrize("screen", [400, 1280])
def test_no_stop_of_the_walk_scrolls_sideways_or_moves(live: Callable[..., Live], screen: int) -> None:
    """Nothing is animated, so nothing needs to hold still for those who prefer reduced motion."""
    page = live(screen)
    for stop in range(1, 9):
        page.read(TEXT, walk=stop)
        page.open("walk")
        assert page.browser["document.documentElement.scrollWidth"] <= screen
        assert page.browser["document.getAnimations().length"] == 0


HEARTS = {
    1: [".prompt-text", ".tokens", ".pieces tbody tr:nth-child(8)"],
    2: [f"[data-vector={name}] .strip" for name in ("token", "position", "sum")],
    3: ["[data-vector=query] .strip", "[data-vector=key] .strip", "[data-line=score]"],
    4: [".scores tbody tr:last-child", "[data-vector=mix] .strip"],
    5: [".heads", ".large"],
    6: [".stream tbody tr:last-child", ".rows-of-lens tbody tr:last-child"],
    7: [".output tbody tr:last-child", ".next tbody tr:nth-child(10)"],
    8: [".prompt-text", ".tokens", ".draw", ".next tbody tr:nth-child(10)", ".sliders"],
}


@pytest.mark.parametrize(("stop", "hearts"), HEARTS.items())
def test_a_projector_shows_the_sentence_and_what_it_is_about(
    live: Callable[..., Live], stop: int, hearts: list[str]
) -> None:
    """On the first screen of 1,280 x 720, in a font that is read from afar."""
    page = live(layers=2, width=64, heads=4)
    page.browser("Emulation.setDeviceMetricsOverride", width=1280, height=720, deviceScaleFactor=1, mobile=False)
    page.read("The string is a sequence", walk=stop)
    page.open("walk")
    wait_for(page.browser, "document.querySelector('.next tbody tr')")
    for heart in (".sentence", *hearts):
        rows = page.browser[f"document.querySelectorAll({json.dumps(heart)}).length"]
        assert rows, heart
        found = f"[...document.querySelectorAll({json.dumps(heart)})].find((each) => each.checkVisibility())"
        top = page.browser[f"{found}.getBoundingClientRect().top"]
        bottom = page.browser[f"{found}.getBoundingClientRect().bottom"]
        assert (top, bottom) == (pytest.approx(360, abs=360), pytest.approx(360, abs=360)) or heart == ".sliders", heart
        assert top < 700, heart
    size = "parseFloat(getComputedStyle(document.querySelector('.sentence')).fontSize)"
    assert 28 <= page.browser[size] <= 44
    hidden = [".legend", ".copy", ".link", ".biases", ".more", ".formula:not([data-line=score])", ".products"]
    for each in hidden:
        seen = f"[...document.querySelectorAll('{each}')].filter((each) => each.checkVisibility()).length"
        assert page.browser[seen] == 0, each


def test_the_walk_shows_formulas_when_asked_and_keys_still_lead_on(live: Callable[..., Live]) -> None:
    page = live()
    page.read(TEXT, walk=3)
    page.open("walk")
    seen = "[...document.querySelectorAll('.onstage .formula')].filter((each) => each.checkVisibility()).length"
    few = page.browser[seen]
    page.browser.click(".formulas")
    assert page.browser[seen] > few == 1
    page.browser.press(" ")
    assert page.browser[f"{PAGE}.state.walk"] == 3
    page.browser.press("ArrowRight")
    assert page.browser[f"{PAGE}.state.walk"] == 4


@pytest.mark.parametrize("screen", [400, 1280])
def test_over_the_text_no_token_is_torn_and_no_line_runs_through_one(live: Callable[..., Live], screen: int) -> None:
    page = live(screen, context=64)
    page.read("The cat – “sat” on the mat, and the dog lay down " * 2)
    page.open("attention")
    wait_for(page.browser, "document.querySelector('.lines path')")
    assert page.browser[
        "[...document.querySelectorAll('.lines .token')].every((each) => each.getClientRects().length === 1)"
    ]
    crossed = page.browser[
        """(() => {
          const corner = document.querySelector('.lines svg').getBoundingClientRect();
          const boxes = [...document.querySelectorAll('.lines .token')].map((each) => each.getBoundingClientRect());
          return [...document.querySelectorAll('.lines path')].filter((path) => {
            const length = path.getTotalLength();
            return Array.from({length: 200}, (_, i) => path.getPointAtLength((i * length) / 199)).some(({x, y}) =>
              boxes.some(({left, right, top, bottom}) => x + corner.left > left && x + corner.left < right
                && y + corner.top > top + 1 && y + corner.top < bottom));
          }).length;
        })()"""
    ]
    assert crossed == 0
    assert len({round(top) for top in page.browser[
        "[...document.querySelectorAll('.lines .token')].map((each) => each.getBoundingClientRect().top)"
    ]}) > 1  # fmt: skip


def test_names_of_tokens_are_text_wherever_they_are_shown(browser: Browser, tmp_path: Path, bpe: Tokenizer) -> None:
    model = random_model(bpe)
    names = [NAMES[token % len(NAMES)] for token in range(bpe.vocab_size)]
    tokens = [Token(id=token, text=name, bytes=name.encode().hex()) for token, name in enumerate(names)]
    browser.open(write_page(tmp_path / "page.html", model, bpe, tokens), 400)
    page = Live(browser, model, bpe)
    browser[f"{PAGE}.change({{added: [...Array(22).keys()]}})"]
    browser["document.querySelectorAll('details:not([data-part=game] *)').forEach((each) => each.open = true)"]
    for part in ("inside", "attention", "lens"):
        page.open(part)
    wait_for(browser, "document.querySelector('.lens-grid').dataset.done")
    assert browser["window.hacked"] is None
    assert (
        browser["document.querySelectorAll('img, script:not(body > script, .data), [onmouseover], [onfocus]').length"]
        == 0
    )
    assert browser["document.documentElement.scrollWidth"] <= 400
    assert browser.complaints() == []
