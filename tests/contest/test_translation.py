"""Models of pairs side by side: everything is measured once, what was stopped goes on, and what is counted is right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from minigpt.contest import lengths, translation
from minigpt.contest.comparison import PAIRS_ORDER, begin, open_comparison, save_new
from minigpt.contest.measures import pair_rates, pair_step_costs
from minigpt.contest.translation import PairContest, bucket_ends, in_buckets
from minigpt.errors import ConfigError, CorpusError
from minigpt.settings import ContestSettings, ModelConfig, TextFormat, TrainConfig
from minigpt.text.blocks import no_progress
from minigpt.text.pairs import read_pairs
from minigpt.text.translations import translations
from minigpt.training import plan, run

CPU = torch.device("cpu")
Start = Callable[..., PairContest]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """A comparison of tiny models on a small table, that has just begun, with speeds that need no measuring."""
    monkeypatch.setattr(plan, "_USUAL", (1, 32))
    monkeypatch.setattr(plan, "_SHORTEST", 16)
    monkeypatch.setattr(lengths, "FEWEST_SECONDS", 0.1)
    monkeypatch.setattr(run, "_LAST_SECONDS", 0.0)
    monkeypatch.setattr(translation, "pair_rates", lambda *arguments: ((8.0, 20_000.0), (64.0, 10_000.0)))
    monkeypatch.setattr(translation, "pair_step_costs", lambda *arguments: ((1.0, 0.5), (64.0, 0.75)))
    table = tmp_path / "pairs.tsv"

    def begun(*, quick: bool = True, minutes: float = 0.02, pairs: int = 300, known: bool = True) -> PairContest:
        rows = [(each.source, each.target if known else each.target[::-1]) for each in translations(pairs)]
        table.write_text("".join(f"{source}\t{target}\n" for source, target in rows), "utf-8")
        folder = tmp_path / f"compare-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        corpus = read_pairs([str(table)], TextFormat())
        wanted = ContestSettings(minutes=minutes, quick=quick, pairs=True)
        comparison, plan = begin(corpus, wanted, CPU, None, lambda *_: no_progress)
        save_new(folder, comparison, plan)
        return PairContest(folder, comparison, plan, CPU)

    return begun


def measure(contest: PairContest, stopped: Callable[[], bool] = lambda: False) -> list[tuple[str, str]]:
    done = []
    for measurement in contest.measurements():
        found = measurement.measure(stopped, lambda step, steps, loss: None)
        if found is None:
            break
        contest.take(measurement, found, 0.01)
        done.append((measurement.model, measurement.what))
    return done


def reopen(contest: PairContest) -> PairContest:
    return PairContest(contest.folder, *open_comparison(contest.folder), CPU)


def test_a_whole_comparison(start: Start) -> None:
    begun = start(quick=False)
    done = measure(begun)
    assert len(done) == len(set(done)) == begun.total() == begun.done() == 3 * (4 + 3)
    result = begun.comparison
    assert result.finished
    assert result.pairs
    assert [contender.model for contender in result.contenders] == list(PAIRS_ORDER)
    again = reopen(begun)
    assert again.comparison == result
    assert again.plan.model == begun.plan.model
    assert list(again.measurements()) == []
    sizes = [contender.parameters for contender in result.contenders]
    assert max(sizes) / min(sizes) < 1.1
    for contender in result.contenders:
        assert [rate for rate, _ in contender.tried_rates] == list(lengths.PAIRS_RATES)
        assert contender.equal_time is not None
        assert contender.equal_time.validation_loss_nats is not None
        found = contender.translations
        assert found is not None
        assert found.pairs == found.aligned_pairs > 10
        assert found.diagonal_error_rate is not None
        assert found.least_error_rate is not None
        assert 0 < found.least_error_rate < found.diagonal_error_rate < 1
        if contender.model == "seq2seq":
            assert found.alignment_error_rate is found.alignment_error_by_length is found.alignment_layer is None
        else:
            assert found.alignment_error_rate is not None
            assert found.least_error_rate <= found.alignment_error_rate <= 1
            assert found.alignment_layer == 1


def test_no_alignment_is_known_of_other_pairs(start: Start) -> None:
    begun = start(known=False)
    measure(begun)
    for contender in begun.comparison.contenders:
        assert contender.translations is not None
        assert contender.translations.aligned_pairs == 0
        assert contender.translations.diagonal_error_rate is contender.translations.alignment_error_rate is None


def test_what_is_stopped_goes_on_in_the_midst_of_a_training(start: Start) -> None:
    begun = start()
    asked = iter([False] * 3)
    first = measure(begun, lambda: next(asked, True))
    assert not begun.comparison.finished
    assert ("seq2seq", "equal_time") not in first
    again = reopen(begun)
    second = measure(again)
    assert len({*first, *second}) == len(first) + len(second) == 12
    assert again.comparison.finished


def test_too_few_minutes_and_too_few_pairs_are_told(start: Start) -> None:
    with pytest.raises(ConfigError, match="too few here for a comparison"):
        measure(start(minutes=0.001))
    with pytest.raises(CorpusError, match="too few pairs to compare models on"):
        start(pairs=1)


def test_lengths_are_counted_in_equal_ranges_with_enough_pairs() -> None:
    tokens = [1] * 20 + [2] * 20 + [3] * 5 + [9] * 25 + [16]
    ends = bucket_ends(tokens)  # two tokens wide: 1-2, 3-4 (too few), ..., 9-10, 15-16 (too few)
    assert ends == [4, 16]
    assert [(end, len(inside)) for end, inside in in_buckets(tokens, ends)] == [(4, 45), (16, 26)]
    assert bucket_ends([5]) == [5]
    assert bucket_ends([3] * 30 + [8] * 30) == [3, 8]
    assert bucket_ends([3] * 30 + [40] * 30) == [8, 40]


def test_speeds_and_costs_are_measured_at_every_length() -> None:
    config = ModelConfig(model="transformer", vocab_size=12, context=8, layers=1, heads=1, width=8, end=11)
    for model in PAIRS_ORDER:
        shape = ModelConfig(**{**config.__dict__, "model": model, "heads": 1})
        rates = pair_rates(shape, TrainConfig(batch_size=2, optimizer="adamw", precision="float32"), CPU, (2, 4))
        assert [side for side, _ in rates] == [2, 4]
        assert all(rate > 0 for _, rate in rates)
        assert np.all(np.array(pair_step_costs(shape, CPU, (1, 4))) > 0)
