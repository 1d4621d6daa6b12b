"""A comparison as a page: every panel is drawn inside its frame, and nothing from outside becomes markup."""

import re
from dataclasses import replace

from minigpt.contest.records import Comparison
from minigpt.render.compare_page import comparison_sections
from minigpt.render.html import page


def test_every_panel_is_drawn(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    assert text.count("<svg") == 7
    assert text.count("<polyline") == 7 * 4
    assert "dense window" in text


def test_the_lines_stay_inside_their_frames(comparison: Comparison) -> None:
    text = page("title", comparison_sections(comparison))
    for points in re.findall(r'points="([^"]*)"', text):
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
    recall = text[text.index("<figcaption>keys recalled") :]
    recall = recall[: recall.index("</figure>")]
    assert re.findall(r'<polyline class="series-(\d)"', recall) == ["2", "3", "4"]
    assert re.findall(r'<circle class="series-(\d)"', recall) == ["2"]


def test_nothing_needs_a_style_that_the_policy_refuses(comparison: Comparison) -> None:
    assert "style=" not in page("title", comparison_sections(comparison))


def test_names_from_outside_are_letters(comparison: Comparison) -> None:
    hostile = replace(comparison, name="<script>alert(1)</script>", validation='"><img src=x>')
    text = page(hostile.name, comparison_sections(hostile))
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_comparison_with_nothing_measured_is_a_page_too(unmeasured: Comparison) -> None:
    assert "<svg" not in page("title", comparison_sections(unmeasured))
