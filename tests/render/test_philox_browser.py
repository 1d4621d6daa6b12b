"""The random numbers of philox.js in a real browser: the words and numbers that docs/sample.md writes out."""

import json
import random
import re
from importlib.resources import files
from pathlib import Path

import pytest
from browser import Browser

from minigpt.sampling.philox import uniform, words

PAGE = (Path(__file__).parent.parent.parent / "docs/sample.md").read_text("utf-8")


def in_hex(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.fixture
def numbers(browser: Browser, tmp_path: Path) -> Browser:
    """A page of nothing but philox.js."""
    script = (files("minigpt.render") / "templates/model/philox.js").read_text("utf-8")
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html>\n<meta charset="utf-8">\n<script>"use strict";\n{script}</script>\n', "utf-8")
    browser.open(path)
    return browser


def in_browser(browser: Browser, expression: str, cases: list[tuple[object, ...]]) -> list[object]:
    return browser[f"{json.dumps(cases)}.map(([first, second]) => {expression})"]


def test_the_known_answers(numbers: Browser) -> None:
    """Those of Random123, as the documentation has them; tests/sampling/test_philox.py says what decides."""
    rows = re.findall(r"(?m)^\| `([0-9a-f ]{35})` \| `([0-9a-f ]{17})` \| `([0-9a-f ]{35})` \|$", PAGE)
    assert len(rows) == 3
    cases = [(in_hex(counter), in_hex(key)) for counter, key, _ in rows]
    assert in_browser(numbers, "[...Philox.words(first, second)]", cases) == [in_hex(answer) for *_, answer in rows]
    assert numbers["Philox.words([0, 0, 0, 0], [0, 0]) instanceof Uint32Array"]


def test_the_documented_numbers_for_seeds_as_strings_and_as_numbers(numbers: Browser) -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| (\d+) \| `[0-9a-f ]{35}` \| `([0-9.e-]+)` \|$", PAGE)
    assert len(rows) == 10
    expected = [float(number) for *_, number in rows]
    spelled = [(seed, int(step)) for seed, step, _ in rows]
    assert in_browser(numbers, "Philox.uniform(first, second)", spelled) == expected
    exact = [(int(seed), step) for seed, step in spelled if int(seed) < 2**53]
    assert len(exact) == 9
    assert in_browser(numbers, "Philox.uniform(first, second)", exact) == expected[:9]


def test_words_and_numbers_are_pythons_for_any_counter_key_seed_and_step(numbers: Browser) -> None:
    """Random words of all lengths, so that halves of zeros and of ones, where a carry may be lost, are among them."""
    draw = random.Random(1)
    edges = [0, 1, 0xFFFF, 0x10000, 0xFFFF0000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]

    def word() -> int:
        return draw.choice([draw.choice(edges), draw.getrandbits(32), draw.getrandbits(32) >> draw.randrange(32)])

    cases = [([word() for _ in range(4)], [word(), word()]) for _ in range(3000)]
    found = in_browser(numbers, "[...Philox.words(first, second)]", cases)
    assert found == [list(words(tuple(counter), tuple(key))) for counter, key in cases]
    seeds = [(word() if n % 2 else str(word() << 32 | word()), word()) for n in range(1000)]
    expected = [uniform(int(seed), step) for seed, step in seeds]
    assert in_browser(numbers, "Philox.uniform(first, second)", seeds) == expected
