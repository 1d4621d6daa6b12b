"""Every part is trained once, with equal tokens, and what was stopped begins that part anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.contest import ablation as ablation_module
from minigpt.contest.ablation import PARTS, Ablation, ablation_of
from minigpt.contest.comparison import open_comparison, save
from minigpt.contest.contest import Contest

Start = Callable[..., Contest]


@pytest.fixture
def begun(contest: Start, monkeypatch: pytest.MonkeyPatch) -> Ablation:
    monkeypatch.setattr(ablation_module, "training_rates", lambda *arguments: ((16.0, 20_000.0),))
    other = contest(quick=True)
    comparison = ablation_of(other.comparison, other.plan)
    save(other.folder, comparison)
    return Ablation(other.folder, comparison, other.plan, other._device)


def measure(contest: Contest, stopped: Callable[[], bool] = lambda: False) -> list[str]:
    done = []
    for measurement in contest.measurements():
        found = measurement.measure(stopped, lambda step, steps, loss: None)
        if found is None:
            break
        contest.take(measurement, found, 0.1)
        done.append(measurement.model)
    return done


def test_every_part_is_trained_with_equal_tokens(begun: Ablation) -> None:
    assert measure(begun) == list(PARTS)
    assert begun.done() == begun.total() == 5
    assert begun.comparison.finished
    runs = [contender.equal_tokens for contender in begun.comparison.contenders]
    assert len({run.tokens for run in runs if run}) == 1
    assert all(run.bits_per_byte == run.by_tokens[-1][1] for run in runs if run)
    assert open_comparison(begun.folder)[0] == begun.comparison
    assert not any(Path(begun.folder).glob("*/model.safetensors"))


def test_what_is_stopped_goes_on_with_the_same_part(begun: Ablation) -> None:
    asked = iter([False] * 60)
    first = measure(begun, lambda: next(asked, True))
    assert not begun.comparison.finished
    assert [*first, *measure(begun)] == list(PARTS)
