"""Records written by hand, and a browser."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from browser import CHROMIUM, Browser

from minigpt.contest.records import Comparison, Contender, ContenderRun
from minigpt.sampling.records import Candidate, Other, Stage, StepRecord

VOCABULARY = 50_257


def candidate(rank: int, text: str | None, raw: float, *after: float, cut_by: str | None = None) -> Candidate:
    data = b"\xe2\x80" if text is None else text.encode("utf-8", "surrogatepass")
    return Candidate(
        id=rank, text=text, bytes=data.hex(), logit=-float(rank), raw_prob=raw, after=after,
        prob=after[-1] if after else raw, rank=rank, cut_by=cut_by,
    )  # fmt: skip


@pytest.fixture(name="candidate")
def _candidate() -> Callable[..., Candidate]:
    """Rank, text, raw probability, and those after each stage."""
    return candidate


@pytest.fixture
def lecture(lecture_shares: dict[str, float]) -> StepRecord:
    """The list of the lecture as the record of an open question."""
    rest = 1 - sum(lecture_shares.values())
    return StepRecord(
        sample=0,
        position=10,
        token=None,
        candidates=tuple(candidate(i, text, share) for i, (text, share) in enumerate(lecture_shares.items(), 1)),
        other=Other(count=VOCABULARY - len(lecture_shares), raw_prob=rest, prob=rest),
        entropy_bits=8.31,
        surprisal_bits=None,
        stages=(),
    )


@pytest.fixture
def step() -> StepRecord:
    """The fourth step of SCREENS.md: three stages, two of which cut."""
    candidates = (
        candidate(1, " mat", 0.2140, 0.2810, 0.4257, 0.4782),
        candidate(2, " floor", 0.1242, 0.1424, 0.2157, 0.2423),
        candidate(3, " bed", 0.0905, 0.0959, 0.1453, 0.1631),
        candidate(4, " table", 0.0691, 0.0684, 0.1036, 0.1164),
        candidate(5, " roof", 0.0401, 0.0377, 0.0571, 0.0, cut_by="top-p"),
        candidate(6, " rug", 0.0312, 0.0347, 0.0526, 0.0, cut_by="top-p"),
        candidate(7, None, 0.0108, 0.0068, 0.0, 0.0, cut_by="top-k"),
    )
    rest = 1 - sum(c.raw_prob for c in candidates)
    warmer = 1 - sum(c.after[0] for c in candidates)
    return StepRecord(
        sample=0,
        position=5,
        token=candidates[1],
        candidates=candidates,
        other=Other(count=4089, raw_prob=rest, prob=0.0, after=(warmer, 0.0, 0.0)),
        entropy_bits=6.2,
        surprisal_bits=3.01,
        stages=(
            Stage(name="temperature", value=0.8, kept=4096, mass=1.0),
            Stage(name="top-k", value=6, kept=6, mass=0.5691),
            Stage(name="top-p", value=0.9, kept=4, mass=0.4978),
        ),
    )


def _contender(number: int, model: str, layers: int, width: int) -> Contender:
    """Numbers that differ from model to model, and are otherwise of no meaning."""
    worse = 1.5 - 0.1 * number
    curve = ((1000.0, 3.5 * worse), (2000.0, 3.0 * worse), (47_000.0, 2.5 * worse))
    run = ContenderRun(
        folder=f"{model}-tokens",
        tokens=47_000,
        seconds=40.0 + number,
        bits_per_byte=2.5 * worse,
        by_tokens=curve,
        by_seconds=tuple((x / 1000, y) for x, y in curve),
    )
    return Contender(
        model=model,
        layers=layers,
        width=width,
        window=16 if model == "window" else None,
        parameters=957_184 + number,
        learning_rate=0.003,
        tried_rates=((0.001, 2.6), (0.003, 2.5), (0.01, None)),
        training_tokens_per_second=((32.0, 10_000.0 * worse), (512.0, 9000.0 - 1000 * number)),
        step_milliseconds=((1.0, 0.25 + 0.1 * number), (1024.0, 0.3 + 0.1 * number)),
        peak_bytes=70_000_000 + 1_000_000 * number,
        equal_tokens=run,
        equal_time=run,
        loss_nats_by_position=tuple((float(i), 6.0 * worse - 0.2 * math.log2(i)) for i in range(1, 257)),
        gradient_by_distance=tuple((float(i), (0.2 + 0.25 * number) ** (i - 1)) for i in range(1, 257)),
        recall_by_distance=tuple((float(4 * 2**i), min(1.0, 0.1 + number * 0.3)) for i in range(7)),
    )


@pytest.fixture
def comparison() -> Comparison:
    """A whole one, of all four kinds."""
    shapes = (("window", 2, 101), ("rnn", 2, 376), ("lstm", 2, 214), ("gpt", 4, 128))
    return Comparison(
        name="notes",
        text_bytes=374_000,
        validation="the last 10 % of the text",
        vocab_size=1024,
        context=256,
        batch_size=4,
        minutes=30.0,
        quick=False,
        seed=1,
        machine="2 CPU cores",
        spent_seconds=1790.0,
        tokens=47_000,
        seconds=60.0,
        tried_tokens=20_000,
        recall_steps=300,
        contenders=tuple(_contender(number, *shape) for number, shape in enumerate(shapes)),
    )


@pytest.fixture
def unmeasured(comparison: Comparison) -> Comparison:
    """The same models, before anything is measured."""
    nothing: dict[str, Any] = dict.fromkeys(
        (
            "training_tokens_per_second",
            "step_milliseconds",
            "equal_tokens",
            "equal_time",
            "loss_nats_by_position",
            "gradient_by_distance",
            "recall_by_distance",
        )
    )
    models = (replace(contender, peak_bytes=0, **nothing) for contender in comparison.contenders)
    return replace(comparison, contenders=tuple(models))


# A browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, for the tests of one file; they are skipped where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser; at the end, no page may have complained or have asked for anything but itself."""
    yield chromium
    assert chromium.complaints() == []
    assert [url for url in chromium.requests() if not url.startswith("file://")] == []
