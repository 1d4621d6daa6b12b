"""Models of pairs side by side: the table, the panels, the claims in both directions, and the page."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.contest.records import Comparison, Contender, ContenderRun, Points, Translated
from minigpt.render.compare import comparison_caption, comparison_table
from minigpt.render.compare_page import claim_of, comparison_page
from minigpt.render.panels import panels
from minigpt.render.style import Screen

PANELS = ["exact", "time", "speed", "cost", "alignment"]


def _contender(model: str, width: int, bits: float, speeds: Points, costs: Points, found: Translated) -> Contender:
    curve = ((0.0, 2.5), (30.0, 1.5 * bits), (60.0, bits))
    run = ContenderRun(
        folder=f"{model}-time",
        tokens=round(speeds[0][1] * 60),
        seconds=60.0,
        bits_per_byte=bits,
        by_tokens=curve,
        by_seconds=curve,
        validation_loss_nats=3 * bits,
    )
    return Contender(
        model=model,
        layers=2,
        width=width,
        window=None,
        parameters=1_110_000,
        learning_rate=0.003,
        tried_rates=((0.001, 1.2), (0.003, 1.1), (0.01, None)),
        training_tokens_per_second=speeds,
        step_milliseconds=costs,
        equal_time=run,
        translations=found,
    )


def _found(*shares: float, error: float | None = None) -> Translated:
    ends = (4.0, 8.0, 20.0)
    return Translated(
        pairs=2000,
        exact_matches=sum(shares) / 3,
        exact_by_length=tuple(zip(ends, shares, strict=True)),
        aligned_pairs=1000,
        alignment_layer=None if error is None else 2,
        alignment_error_rate=error,
        alignment_error_by_length=None if error is None else tuple((end, error) for end in ends),
        diagonal_error_rate=0.331,
        least_error_rate=0.023,
    )


@pytest.fixture
def pairs(comparison: Comparison) -> Comparison:
    """One whose numbers are those of the story."""
    flat, rising = ((1.0, 0.3), (256.0, 0.3)), ((1.0, 0.2), (256.0, 0.4))
    contenders = (
        _contender("seq2seq", 164, 0.4, ((8.0, 8000.0), (64.0, 8000.0)), flat, _found(0.9, 0.6, 0.1)),
        _contender(
            "seq2seq-attention", 156, 0.3, ((8.0, 6000.0), (64.0, 3000.0)), rising, _found(0.9, 0.8, 0.7, error=0.2)
        ),
        _contender(
            "transformer", 128, 0.2, ((8.0, 9000.0), (64.0, 18_000.0)), rising, _found(0.95, 0.9, 0.8, error=0.1)
        ),
    )
    name, validation = "translations", "10 % of the pairs"
    return replace(
        comparison, name=name, validation=validation, context=64, batch_size=64, pairs=True, tokens=None,
        minutes=6.0, contenders=contenders,
    )  # fmt: skip


def changed(pairs: Comparison, model: str, **changes: object) -> Comparison:
    contenders = (replace(c, **changes) if c.model == model else c for c in pairs.contenders)  # type: ignore[arg-type]
    return replace(pairs, contenders=tuple(contenders))


def lines(comparison: Comparison, width: int) -> list[str]:
    screen = Screen(width)
    texts = [*comparison_table(comparison, screen), *comparison_caption(comparison, screen)]
    return [line for text in texts for line in text.plain.splitlines()]


@pytest.mark.parametrize("width", [40, 80])
def test_it_looks_as_agreed(pairs: Comparison, golden: Callable[[str, str], None], width: int) -> None:
    shown = lines(pairs, width)
    assert max(map(cell_len, shown)) <= width
    golden(f"pairs_contest_{width}", "\n".join(shown))


def test_every_claim_has_a_panel(pairs: Comparison) -> None:
    made = panels(pairs)
    assert [panel.name for panel in made] == PANELS
    names = [[name for name, _ in panel.lines] for panel in made]
    assert names == [["seq2seq", "with attention", "Transformer"]] * 4 + [["with attention", "Transformer"]]


def test_numbers_of_the_story_agree_with_it(pairs: Comparison) -> None:
    said = {name: claim_of(name, pairs).measured for name in PANELS}
    assert said["exact"] == (
        "Exact translations of sources of 1-4 and of 9-20 tokens: seq2seq 90.0% and 10.0%; "
        "with attention 90.0% and 70.0%; Transformer 95.0% and 80.0%. This run agrees."
    )
    assert said["alignment"] == (
        "Alignment error rate: with attention 20.0% and Transformer 10.0%. "
        "A diagonal errs at 33.1%; 2.3% is the least. This run agrees."
    )
    assert "As a multiple of the speed on the shortest texts: seq2seq 1.00, with attention 0.50" in said["speed"]
    assert all(sentence.endswith(" This run agrees.") for sentence in said.values())


def test_other_numbers_do_not(pairs: Comparison) -> None:
    transformer = pairs.contenders[-1]
    assert transformer.equal_time is not None
    others = {
        "exact": changed(pairs, "transformer", translations=_found(0.95, 0.5, 0.1, error=0.1)),
        "time": changed(pairs, "transformer", equal_time=replace(transformer.equal_time, bits_per_byte=0.35)),
        "speed": changed(pairs, "transformer", training_tokens_per_second=((8.0, 9000.0), (64.0, 7000.0))),
        "cost": changed(pairs, "seq2seq", step_milliseconds=((1.0, 0.1), (256.0, 0.3))),
        "alignment": changed(pairs, "transformer", translations=_found(0.95, 0.9, 0.8, error=0.4)),
    }
    assert list(others) == PANELS
    for name, comparison in others.items():
        assert claim_of(name, comparison).measured.endswith(" This run does not agree.")


def test_before_all_is_measured_nothing_is_judged(pairs: Comparison) -> None:
    nothing = dict.fromkeys(("training_tokens_per_second", "step_milliseconds", "equal_time", "translations"))
    none = replace(pairs, contenders=tuple(replace(c, **nothing) for c in pairs.contenders))  # type: ignore[arg-type]
    assert {claim_of(name, none).measured for name in PANELS} == {""}
    assert panels(none) == []
    assert [line.split("  ")[0].strip() for line in lines(none, 80)][1:5] == [
        "parameters",
        "layers",
        "width",
        "learning rate",
    ]
    some = changed(pairs, "transformer", **nothing)
    assert not any("This run" in claim_of(name, some).measured for name in PANELS)


def test_the_page_has_the_panels_with_their_claims(pairs: Comparison, tmp_path: object) -> None:
    text = comparison_page(pairs, tmp_path)  # type: ignore[arg-type]
    assert "what came before, and a Transformer, on translations" in text
    assert "Equal parameters, equal time" in text
    assert "One vector forgets long sources" in text
    assert text.count("<figure>") == 5
    assert text.count("<polyline") == 4 * 3 + 2 + 3  # and the legend
