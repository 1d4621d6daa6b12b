"""Sampling over the whole vocabulary in a page: what Python's filters and distributions give decides.

Both compute in float64, but the exponential of a browser can differ from PyTorch's in the last bit, and sums are added
in another order: probabilities agree within 1e-12.
"""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filter_vectors as vectors
import numpy as np
import pytest
import torch
from browser import Browser

from minigpt.render.html import _source
from minigpt.sampling.distribution import Distribution, distribution
from minigpt.sampling.filters import build_stages
from minigpt.sampling.vocabulary import best_ids, softmax
from minigpt.settings import FILTERS, SampleConfig

GPT2S = 50_257
READ = """var read = (numbers) => Float64Array.from(numbers, (number) => number === "-inf" ? -Infinity : number);
var write = (numbers) => Array.from(numbers, (number) => number === -Infinity ? "-inf" : number);"""


@pytest.fixture(scope="module")
def page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A blank page with the script."""
    return blank(chromium, tmp_path_factory.mktemp("page"), _source("model/sampling.js"))


def blank(browser: Browser, folder: Path, script: str) -> Browser:
    path = folder / "blank.html"
    path.write_text('<!doctype html><meta charset="utf-8">', "utf-8")
    browser.open(path)
    browser[script]
    browser[READ]
    return browser


def given(numbers: Sequence[float]) -> str:
    """Numbers as `read` takes them."""
    return json.dumps(["-inf" if number == -math.inf else number for number in numbers])


def logs(probs: Sequence[float]) -> list[float]:
    return [math.log(p) if p else -math.inf for p in probs]


def filtered(page: Browser, name: str, logits: Sequence[float], value: Any, history: Sequence[int] = ()) -> list[float]:
    call = f"Sampling.filter({json.dumps(name)}, read({given(logits)}), {list(history)}, {json.dumps(value)})"
    return [-math.inf if number == "-inf" else number for number in page[f"write({call})"]]


def after(page: Browser, name: str, logits: Sequence[float], value: Any, history: Sequence[int] = ()) -> list[float]:
    """The probabilities after a filter."""
    return softmax(np.array(filtered(page, name, logits, value, history))).tolist()


def assert_probs(found: list[float], expected: list[float], atol: float = 1e-12) -> None:
    assert found == pytest.approx(expected, abs=atol, rel=0)
    assert [p == 0 for p in found] == [p == 0 for p in expected]


# The vectors of the filters


def test_every_filter_is_in_the_script(page: Browser) -> None:
    assert page["Sampling.names"] == list(FILTERS)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("temperature", vectors.TEMPERATURE),
        ("top-k", vectors.TOP_K),
        ("top-p", vectors.TOP_P),
        ("min-p", vectors.MIN_P),
        ("top-n-sigma", vectors.TOP_N_SIGMA),
        ("typical-p", vectors.TYPICAL_P),
    ],
)
def test_filters_of_probabilities(name: str, rows: list[Any], page: Browser) -> None:
    for value, probs, expected in rows:
        assert_probs(after(page, name, logs(probs), value), expected)


def test_repetition_penalty(page: Browser) -> None:
    for penalty, history, logits, expected in vectors.REPETITION:
        assert filtered(page, "repetition-penalty", logits, penalty, history) == expected


def test_presence_and_frequency_penalty(page: Browser) -> None:
    for penalty, history, presence, frequency in vectors.PENALTIES:
        assert filtered(page, "presence-penalty", [4.0, -4.0, 1.0], penalty, history) == presence
        assert filtered(page, "frequency-penalty", [4.0, -4.0, 1.0], penalty, history) == frequency
    for history, expected in vectors.BOTH_PENALTIES_OF_5:
        counted = filtered(page, "frequency-penalty", logs([0.2] * 5), 5.0, history)
        assert after(page, "presence-penalty", counted, 5.0, history) == pytest.approx(expected, abs=1e-6)
    counted = filtered(page, "frequency-penalty", [1.0, 2.0], 0.1, [0] * 3000)
    assert counted == [pytest.approx(-299.0), 2.0]


def test_bias(page: Browser) -> None:
    for bias, logits, expected in vectors.BIASES:
        assert filtered(page, "bias", logits, bias) == expected
    assert_probs(after(page, "bias", logs([0.5, 0.5]), [(0, math.log(3))]), [0.75, 0.25])


def test_a_tiny_temperature_is_finite_for_large_logits(page: Browser) -> None:
    assert after(page, "temperature", [1e4, -1e4, 9.99e3], 1e-3) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["top-p", "typical-p"])
def test_a_share_of_1_cuts_nothing_whatever_rounding_says(name: str, page: Browser) -> None:
    logits = np.linspace(0, -60, GPT2S).tolist()
    assert filtered(page, name, logits, 1.0) == logits


@pytest.mark.parametrize("k", [1, 5, 40, 999])
def test_top_k_of_many_equals(k: int, page: Browser) -> None:
    assert filtered(page, "top-k", [0.0] * 1000, k) == [0.0] * k + [-math.inf] * (1000 - k)


@pytest.mark.parametrize("title", vectors.ALL)
def test_the_input_is_not_edited_and_no_cut_token_comes_back(title: str, page: Browser) -> None:
    name, arguments = vectors.ALL[title]
    logits = (torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2).round().tolist()
    cut = [logit if logit >= 0 else -math.inf for logit in logits]
    call = f"Sampling.filter({name!r}, given, [1, 2, 2, 30], {json.dumps(next(iter(arguments.values())))})"
    found = page[
        f"{{ const given = read({given(cut)}), kept = write({call}.fill(7)); [kept, write({call}), write(given)] }}"
    ]
    assert found[2] == ["-inf" if logit == -math.inf else logit for logit in cut]
    assert all(found[1][i] == "-inf" for i, logit in enumerate(cut) if logit == -math.inf)
    assert None not in found[1]  # as JSON has NaN


def test_what_is_out_of_range_is_refused(page: Browser) -> None:
    bad = [(name, value) for name, _, values in vectors.OUT_OF_RANGE for value in values]
    bad += [("bias", pairs) for pairs in vectors.BAD_BIASES]
    for name, value in [*bad, ("no-such", 1)]:
        written = json.dumps(value)  # NaN and Infinity are JavaScript too
        call = f"Sampling.steps([0, 0], [], [{{name: {name!r}, value: {written}}}])"
        assert page[f"(() => {{ try {{ {call}; return 'taken' }} catch (error) {{ return error.name }} }})()"] == (
            "RangeError"
        ), (name, value)
    for number in ("NaN", "Infinity", "-Infinity"):
        call = f"Sampling.steps([0, {number}], [], [])"
        assert "damaged" in page[f"(() => {{ try {{ {call} }} catch (error) {{ return error.message }} }})()"]


# Whole vocabularies


def random_logits(size: int, seed: int, scale: float = 3.0) -> np.ndarray:
    return (torch.randn(size, generator=torch.Generator().manual_seed(seed)) * scale).numpy()


LOGITS = {
    "GPT-2's": random_logits(GPT2S, 1),
    "flat": random_logits(8192, 2, scale=0.3),
    "peaked": random_logits(8192, 3, scale=12.0),
    "tied": random_logits(GPT2S, 4, scale=2.0).round(),
    "equal": np.zeros(4096, np.float32),
    "float64": np.random.default_rng(6).standard_normal(1024) * 3,
    "one": np.array([1.5], np.float32),
    "extreme": np.array([0.0, -5000.0, 3000.0, 2999.0] + [-100.0] * 60, np.float32),
}
ALL_IN_USE: dict[str, Any] = {
    "bias": ((0, 1.5),), "repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.2,
    "temperature": 1.4, "top_n_sigma": 2.0, "top_k": 200, "typical_p": 0.9, "top_p": 0.9, "min_p": 0.01,
}  # fmt: skip
CONFIGS = [
    SampleConfig(temperature=1.0, top_p=1.0),
    SampleConfig(**ALL_IN_USE),
    SampleConfig(**ALL_IN_USE, stages=tuple(reversed(FILTERS))),
    SampleConfig(**{**ALL_IN_USE, "temperature": 0.0}),
    *(
        SampleConfig(**{"temperature": 1.0, "top_p": 1.0, **one})
        for one in (
            {"temperature": 0.7}, {"temperature": 0.0}, {"top_n_sigma": 1.5}, {"top_k": 40}, {"top_k": 60_000},
            {"typical_p": 0.3}, {"typical_p": 0.95}, {"top_p": 0.5}, {"top_p": 0.999}, {"min_p": 0.05},
            {"repetition_penalty": 0.5}, {"frequency_penalty": -1.0}, {"bias": ((0, -1000.0),)},
        )
    ),
]  # fmt: skip
# Numbers travel as the letters of their bytes: two of 50,257 as text take seconds.
PACK = """var packed = (numbers) => {
  const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
var unpacked = (text) => new Float64Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);"""


def send(page: Browser, logits: np.ndarray) -> None:
    """Put the logits into `logits`: a Float32Array, as a model's are, or a Float64Array."""
    page[PACK]
    numbers = base64.b64encode(logits.astype(np.float64).tobytes()).decode()
    array = "Float32Array" if logits.dtype == np.float32 else "Float64Array"
    page[f"var logits = {array}.from(unpacked('{numbers}'))"]


def receive(page: Browser, expression: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(page[f"packed({expression})"]))


def written_stages(config: SampleConfig) -> str:
    return json.dumps([{"name": spec.name, "value": getattr(config, spec.setting)} for spec in config.active])


def computed(page: Browser, config: SampleConfig, history: Sequence[int]) -> None:
    page[f"var found = Sampling.steps(logits, {list(history)}, {written_stages(config)})"]


def assert_same(page: Browser, expected: Distribution) -> None:
    np.testing.assert_allclose(receive(page, "found.raw"), expected.raw_V, rtol=0, atol=1e-12)
    assert page["found.entropyBits"] == pytest.approx(expected.entropy_bits, abs=1e-9)
    assert page["found.results.map(({name}) => name)"] == [result.stage.name for result in expected.results]
    for i, result in enumerate(expected.results):
        assert receive(page, f"found.results[{i}].isKept").astype(bool).tolist() == result.kept_V.tolist()
        np.testing.assert_allclose(receive(page, f"found.results[{i}].probs"), result.probs_V, rtol=0, atol=1e-12)
        kept, mass = page[f"[found.results[{i}].kept, found.results[{i}].mass]"]
        assert kept == result.kept_V.sum()
        assert mass == pytest.approx(expected.raw_V.sum(where=result.kept_V), abs=1e-12)
    np.testing.assert_allclose(receive(page, "found.final"), expected.final_V, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LOGITS)
def test_distributions(name: str, page: Browser) -> None:
    logits, history = LOGITS[name], [0, 5, 5, 63, 0, 0]
    history = [token for token in history if token < len(logits)]
    send(page, logits)
    for config in CONFIGS:
        computed(page, config, history)
        assert_same(page, distribution(logits, build_stages(config), history))


def test_draws(page: Browser) -> None:
    """Of numbers at random, and of the least and the greatest that there are."""
    for name in ("GPT-2's", "tied", "equal", "float64", "extreme", "one"):
        send(page, LOGITS[name])
        count = 100 if len(LOGITS[name]) == GPT2S else 2000
        uniforms = [*np.random.default_rng(1).random(count).tolist(), 0.0, 5e-324, 0.5, 1 - 2**-53]
        for config in CONFIGS[:4]:
            computed(page, config, [0, 0])
            expected = distribution(LOGITS[name], build_stages(config), [0, 0])
            drawn = page[f"{uniforms}.map((uniform) => Sampling.draw(found.final, uniform))"]
            assert drawn == [expected.draw(uniform) for uniform in uniforms]


def test_a_product_that_is_rounded_up_draws_the_last_token_that_can_be(page: Browser) -> None:
    assert page["Sampling.draw(Float64Array.of(0.5, 0.25, 0, 0), 1)"] == 1
    assert page["Sampling.draw(Float64Array.of(0, 0.5, 0.5), 0)"] == 1


@pytest.mark.parametrize("name", LOGITS)
def test_the_largest(name: str, page: Browser) -> None:
    send(page, LOGITS[name])
    for count in (1, 10, 50, 3000):
        assert page[f"Sampling.ranked(logits, {count})"] == best_ids(LOGITS[name], count)
    assert page["[Sampling.ranked(logits, 0), Sampling.ranked([], 5)]"] == [[], []]


# A new filter


def test_a_new_filter_is_one_function(chromium: Browser, tmp_path: Path) -> None:
    script, place = _source("model/sampling.js"), "    // Keeps exactly the k largest logits.\n"
    assert script.count(place) == 1
    toy = '    "even-only"(logits) {\n      return logits.map((logit, id) => (id % 2 ? CUT : logit));\n    },\n\n'
    page = blank(chromium, tmp_path, script.replace(place, toy + place))
    page["var found = Sampling.steps([0, 0, 0, 1], [], [{name: 'even-only', value: 1}])"]
    assert page["Sampling.names.indexOf('even-only')"] == list(FILTERS).index("top-k")
    assert page["Array.from(found.final)"] == [0.5, 0, 0.5, 0]
    assert page["[found.results[0].kept, found.results[0].mass]"] == [2, pytest.approx(2 / (3 + math.e))]
