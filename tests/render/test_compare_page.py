"""A comparison as a page: every panel is drawn inside its frame, and nothing from outside becomes markup."""

import re
from dataclasses import replace

from minigpt.contest.records import Comparison
from minigpt.render.compare_page import comparison_sections
from minigpt.render.html import page


def test_every_panel_is_drawn(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    assert text.count("<svg") == 7 + 4
    assert text.count("<polyline") == 7 * 4 + 4
    assert "dense window" in text


def test_the_lines_stay_inside_their_frames(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    for points in re.findall(r'points="([^"]*)"', text[text.index("<figure>") :]):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 360
            assert 0 <= y <= 200


def test_a_model_keeps_its_line_where_another_has_none_and_a_single_point_is_seen(comparison: Comparison) -> None:
    first, second, *others = comparison.contenders
    contenders = (
        replace(first, recall_by_distance=None),
        replace(second, recall_by_distance=((4.0, 0.5),)),
        *(replace(other, recall_by_distance=((4.0, 0.5), (8.0, 0.2))) for other in others),
    )
    text = page("title", comparison_sections(replace(comparison, contenders=contenders)))
    recall = text[text.index("<h3>keys recalled") :]
    recall = recall[: recall.index("</figure>")]
    assert re.findall(r'<polyline class="series-(\d)"', recall) == ["2", "3", "4"]
    assert re.findall(r'<path class="mark series-(\d)"', recall).count("2") == 1


def test_the_legend_draws_each_line_as_its_panels_do(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    legend, drawn = text[text.index('<ul class="legend">') :].split("</ul>", 1)
    for number, name in enumerate(("dense window", "RNN", "LSTM", "GPT"), 1):
        entry = next(part for part in legend.split("<li>") if part.split("</svg>")[-1].startswith(f" {name}"))
        (mark,) = re.findall(rf'<path class="mark series-{number}" d="([^"]*)"', entry)
        assert f'<polyline class="series-{number}"' in entry
        assert set(re.findall(rf'<path class="mark series-{number}" d="([^"]*)"', drawn)) == {mark}
    dashes = re.findall(r"^\.series-\d \{.*?stroke-dasharray: ([^;]*);", text, re.MULTILINE)
    assert len(set(dashes)) == 4  # those of five lines, the first of which is solid


def test_every_panel_says_its_claim_and_what_was_measured(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    for figure in text.split("<figure>")[1:]:
        (says,) = re.findall(r"<p>(.*)</p></figcaption>", figure)
        (measured,) = re.findall(r'<p class="measured">(.*)</p>', figure)
        assert says.endswith(".")
        assert re.search(r"GPT [\d.]+", measured)


def test_nothing_needs_a_style_that_the_policy_refuses(comparison: Comparison) -> None:
    assert "style=" not in page("title", comparison_sections(comparison))


def test_names_from_outside_are_letters(comparison: Comparison) -> None:
    hostile = replace(comparison, name="<script>alert(1)</script>", validation='"><img src=x>')
    text = page(hostile.name, comparison_sections(hostile))
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_comparison_with_nothing_measured_is_a_page_too(unmeasured: Comparison) -> None:
    assert "<svg" not in page("title", comparison_sections(unmeasured))
