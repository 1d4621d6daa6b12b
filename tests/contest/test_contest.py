"""Every piece is measured once and kept at once; what was stopped goes on where it was; equal means equal."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from minigpt.checkpoint.folder import load
from minigpt.contest.comparison import COMPARISON, open_comparison
from minigpt.contest.contest import Contest
from minigpt.contest.lengths import RATES, USUAL_RATES
from minigpt.errors import ConfigError

CPU = torch.device("cpu")
Start = Callable[..., Contest]


def never() -> bool:
    return False


def unseen(step: int, steps: int, loss: float | None) -> None: ...


def measure(contest: Contest, stopped: Callable[[], bool] = never) -> list[tuple[str, str]]:
    """All that is missing, or until it is stopped; what was measured."""
    done = []
    for measurement in contest.measurements():
        found = measurement.measure(stopped, unseen)
        if found is None:
            break
        contest.take(measurement, found, 0.1)
        done.append((measurement.model, measurement.what))
    return done


def reopen(contest: Contest) -> Contest:
    return Contest(contest.folder, *open_comparison(contest.folder), CPU)


def test_a_whole_comparison(contest: Start) -> None:
    begun = contest()
    done = measure(begun)
    result = begun.comparison
    assert len(done) == len(set(done)) == begun.total() == begun.done() == 44
    assert result.finished
    assert reopen(begun).comparison == result
    assert list(reopen(begun).measurements()) == []
    for contender in result.contenders:
        assert contender.equal_tokens is not None
        assert contender.equal_time is not None
        assert contender.loss_nats_by_position is not None
        assert [rate for rate, _ in contender.tried_rates] == list(RATES)
        best = min((bits, rate) for rate, bits in contender.tried_rates if bits is not None)[1]
        assert contender.learning_rate == best
        assert len(contender.loss_nats_by_position) == len(contender.gradient_by_distance or ()) == 16
        model = load(begun.folder / contender.equal_tokens.folder).model
        assert (model.config.model, model.parameter_count()) == (contender.model, contender.parameters)
    runs = [contender.equal_tokens for contender in result.contenders]
    assert len({run.tokens for run in runs if run}) == 1
    assert runs[0] is not None
    assert runs[0].tokens == pytest.approx(result.tokens, rel=0.05)
    assert runs[0].by_tokens[-1][1] >= runs[0].bits_per_byte > 0


def test_quick_tries_no_rates(contest: Start) -> None:
    begun = contest(quick=True)
    done = measure(begun)
    assert len(done) == begun.total() == begun.done() == 28
    assert all(c.learning_rate == USUAL_RATES[c.model] for c in begun.comparison.contenders)


def test_each_piece_is_kept_at_once(contest: Start) -> None:
    begun = contest()
    measurement = next(begun.measurements())
    begun.take(measurement, measurement.measure(never, unseen) or {}, 2.5)
    kept = json.loads((begun.folder / COMPARISON).read_text("utf-8"))
    assert kept["spent_seconds"] == 2.5
    assert kept["contenders"][0]["training_tokens_per_second"] == [[16.0, 10_000.0], [512.0, 5000.0]]
    assert next(reopen(begun).measurements()).model == "rnn"


@pytest.mark.parametrize("asked", [30, 100])
def test_what_is_stopped_goes_on_to_the_same_end(contest: Start, asked: int) -> None:
    whole = contest(quick=True)
    measure(whole)
    begun = contest(quick=True)
    stopped = iter([*[False] * asked, *[True] * 1000])
    first = measure(begun, lambda: next(stopped))
    again = reopen(begun)
    second = measure(again)
    assert second  # it was stopped in the midst of a training
    assert len({*first, *second}) == len(first) + len(second) == 28
    for one, other in zip(whole.comparison.contenders, again.comparison.contenders, strict=True):
        assert one.equal_tokens is not None
        assert other.equal_tokens is not None
        assert one.equal_tokens.by_tokens == other.equal_tokens.by_tokens
        assert one.gradient_by_distance == other.gradient_by_distance
        assert one.recall_by_distance == other.recall_by_distance


def test_a_rate_that_leads_nowhere_is_not_chosen(contest: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = contest()
    *_, contender = begun.comparison.contenders
    begun.comparison = replace(begun.comparison, tried_tokens=200)
    monkeypatch.setattr("minigpt.contest.contest.train", lambda *arguments: iter(()))
    found = begun._try(contender, 0.01, never, unseen)
    assert found == {"tried_rates": ((0.01, None),), "learning_rate": USUAL_RATES["gpt"]}


def test_a_slow_machine_is_refused_after_two_pieces(contest: Start) -> None:
    slow = contest(quick=True)
    taken = []

    def measure() -> None:
        for measurement in slow.measurements():
            taken.append((measurement.model, measurement.what))
            slow.take(measurement, {measurement.what: ((256.0, 1000.0),)}, 60.0)

    with pytest.raises(ConfigError, match=f"minigpt compare resume={slow.folder} minutes="):
        measure()
    assert taken == [("window", "training_tokens_per_second"), ("rnn", "training_tokens_per_second")]
    assert slow.comparison.spent_seconds == 120.0
