"""What a comparison begins with: equal weights for all, the same text, and a plan that its folder gives back."""

from pathlib import Path

import torch

from minigpt.contest.comparison import ORDER, begin, machine_name, open_comparison, save_new
from minigpt.contest.contest import Contest
from minigpt.settings import ContestSettings
from minigpt.text.blocks import no_progress
from minigpt.text.corpus import Corpus

CPU = torch.device("cpu")


def begun(text: Corpus):  # type: ignore[no-untyped-def]
    return begin(text, ContestSettings(minutes=30.0, seed=3), CPU, None, lambda *_: no_progress)


def test_all_have_as_many_weights_and_the_same_text(text: Corpus) -> None:
    comparison, plan = begun(text)
    assert [c.model for c in comparison.contenders] == list(ORDER)
    counts = [c.parameters for c in comparison.contenders]
    assert max(counts) <= 1.05 * counts[-1]
    assert min(counts) >= 0.95 * counts[-1]
    assert counts[-1] == plan.model.parameter_count()
    assert (comparison.context, comparison.batch_size, comparison.vocab_size) == (256, 4, plan.model.vocab_size)
    assert (plan.train.optimizer, plan.train.precision, plan.train.seed) == ("adamw", "float32", 3)
    assert not comparison.finished


def test_the_plan_comes_back_from_what_the_folder_holds(text: Corpus, tmp_path: Path) -> None:
    comparison, plan = begun(text)
    save_new(tmp_path, comparison, plan)
    _, again = open_comparison(tmp_path)
    assert (again.model, again.train.batch_size, again.train.optimizer) == (plan.model, 4, "adamw")
    assert again.has_validation
    assert again.corpus.sources == text.sources
    assert len(text.sources) > 0
    assert Contest(tmp_path, comparison, again, CPU).total() == 4 * 11


def test_a_machine_is_named_in_general_terms() -> None:
    assert machine_name(CPU) == "1 CPU core"
