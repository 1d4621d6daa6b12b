"""What a comparison's panels claim, and whether what was measured agrees."""

from dataclasses import replace

import pytest

from minigpt.contest.records import Comparison
from minigpt.render.compare_page import claim_of
from minigpt.render.panels import panels

NAMES = ("speed", "tokens", "time", "position", "gradient", "recall", "cost")


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_a_sentence_and_so_is_what_was_measured(comparison: Comparison, name: str) -> None:
    claim = claim_of(name, comparison)
    assert claim.says.endswith(".")
    assert claim.measured.endswith((" This run agrees.", " This run does not agree."))
    assert all(model in claim.measured for model in ("dense window ", "RNN ", "LSTM ", "GPT "))


def test_the_numbers_are_those_that_were_measured(comparison: Comparison) -> None:
    said = {name: claim_of(name, comparison).measured for name in NAMES}
    assert said["speed"] == (
        "Tokens a second at a context of 512: dense window 9,000, RNN 8,000, LSTM 7,000 and GPT 6,000. "
        "This run does not agree."
    )
    assert said["gradient"].startswith("Gradient 64 tokens back, as a share of the nearest token's: dense window ")
    assert "GPT 3.9%. This run agrees." in said["gradient"]  # 0.95 ** 63
    assert said["recall"].startswith("Most tokens over which half of the keys are recalled: dense window none, ")
    assert said["cost"] == (
        "Times as long for token 1,024 as for the first: dense window 1.20, RNN 1.14, LSTM 1.11 and GPT 1.09. "
        "This run does not agree."
    )
    assert "Tokens seen: dense window 47 k, RNN 47 k, LSTM 47 k and GPT 47 k. Best bits" in said["time"]
    assert "sees only its window, 16 tokens" in claim_of("position", comparison).says
    assert said["position"].startswith("From 9-16 to 129-256 tokens seen, the loss falls")


def test_before_all_is_measured_nothing_is_judged(comparison: Comparison, unmeasured: Comparison) -> None:
    assert {claim_of(name, unmeasured).measured for name in NAMES} == {""}
    first, second, *_ = comparison.contenders
    some = replace(comparison, contenders=(first, second, *unmeasured.contenders[2:]))
    for name in NAMES:
        said = claim_of(name, some).measured
        assert "dense window " in said
        assert "This run" not in said
        assert "GPT" not in said


def test_an_ablation_has_claims_of_its_own(comparison: Comparison) -> None:
    whole = comparison.contenders[-1]
    run, losses = whole.equal_tokens, whole.loss_nats_by_position
    assert run is not None
    assert losses is not None
    flat = tuple((x, losses[0][1]) for x, _ in losses)
    parts = ("gpt", "no-positions", "one-head", "no-attention", "no-mlp")
    none = {"equal_time": None, "training_tokens_per_second": None, "step_milliseconds": None}
    none |= {"gradient_by_distance": None, "recall_by_distance": None}
    contenders = tuple(
        replace(
            whole,
            model=part,
            equal_tokens=replace(run, bits_per_byte=2.0 + number / 10),
            loss_nats_by_position=flat if part == "no-attention" else losses,
            **none,
        )
        for number, part in enumerate(parts)
    )
    ablation = replace(comparison, ablation=True, contenders=contenders)
    assert [panel.name for panel in panels(ablation)] == ["tokens", "position"]
    assert claim_of("tokens", ablation).measured == (
        "Bits per byte: GPT 2.000, no positions 2.100, one head 2.200, no attention 2.300 and no MLP 2.400. "
        "This run agrees."
    )
    assert "no attention 0.000 and" in claim_of("position", ablation).measured
    assert claim_of("position", ablation).measured.endswith("This run agrees.")
