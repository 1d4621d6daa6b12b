"""The keys and settings in sight: all of them, at any width, broken only between entries."""

import pytest
from rich.cells import cell_len

from minigpt.explore.keys import (
    KEYS,
    SETTINGS,
    help_picture,
    keys_picture,
    legend_picture,
    neighbour,
    settings_picture,
)
from minigpt.render.heat import SCALES, heat_legend
from minigpt.render.style import Screen
from minigpt.settings import FILTERS, FilterSpec, SampleConfig


@pytest.mark.parametrize("width", [40, 80, 160])
def test_no_key_is_cut_off(width: int) -> None:
    for keys in (KEYS["browse"], KEYS["game"]):
        lines = keys_picture(keys, width).plain.split("\n")
        assert max(map(cell_len, lines)) <= width
        assert "  ".join(line.strip() for line in lines) == keys.replace(" · ", "  ").replace(": ", " ")


def test_at_80_columns_two_lines_have_all_keys() -> None:
    assert keys_picture(KEYS["browse"], 80).plain.count("\n") == 1


@pytest.mark.parametrize("width", [40, 80])
def test_every_setting_is_shown_with_its_keys(width: int) -> None:
    config = SampleConfig(temperature=0.0, top_k=1000, top_p=0.123, min_p=0.01, repetition_penalty=1.05)
    text = settings_picture(config, width).plain
    assert max(map(cell_len, text.split("\n"))) <= width
    flat = "  ".join(line.strip() for line in text.split("\n"))
    assert flat == "rep. 1.05 r R  temperature 0 t T  top-k 1000 k K  top-p 0.123 p P  min-p 0.01 m M"
    neutral = SampleConfig(temperature=1.0, top_p=1.0)
    assert settings_picture(neutral, 80).plain.count("off") == 5


def test_a_setting_that_is_not_usual_is_shown_while_it_is_not_off() -> None:
    config = SampleConfig(typical_p=0.5, top_n_sigma=2.0, frequency_penalty=0.1, presence_penalty=-1.0)
    flat = " ".join(settings_picture(config, 200).plain.split())
    assert flat == (
        "rep. off r R pres. -1 a A freq. 0.1 f F temperature 0.8 t T top-n-sigma 2 n N top-k off k K "
        "typical-p 0.5 l L top-p 0.95 p P min-p off m M"
    )


def test_every_setting_has_a_key_of_its_own() -> None:
    assert list(SETTINGS) == list("raftnklpm")
    assert not set(SETTINGS) & {entry.split(": ")[0] for entry in KEYS["browse"].split(" · ")}
    assert [spec.name for spec in FILTERS.values() if spec.key == ""] == ["bias"]


@pytest.mark.parametrize("spec", SETTINGS.values(), ids=lambda spec: spec.name)
def test_values_go_all_the_way_down_and_up(spec: FilterSpec) -> None:
    values, value = spec.steps, spec.steps[0]
    for expected in values[1:]:
        value = neighbour(values, value, more=True)
        assert value == expected
    assert neighbour(values, values[-1], more=True) == values[-1]
    for expected in values[-2::-1]:
        value = neighbour(values, value, more=False)
        assert value == expected
    assert neighbour(values, values[0], more=False) == values[0]
    assert spec.neutral in values


def test_a_value_that_a_flag_gave_goes_to_its_neighbours() -> None:
    assert neighbour((0.0, 0.5, 1.0), 0.7, more=True) == 1.0
    assert neighbour((0.0, 0.5, 1.0), 0.7, more=False) == 0.5
    assert neighbour((1, 10, 0), 7, more=True) == 10
    assert neighbour((1, 10, 0), 5000, more=True) == 0  # all tokens
    assert neighbour((1, 10, 0), 5000, more=False) == 10
    assert neighbour((1, 10, 0), 0, more=True) == 0


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", SCALES)
def test_a_legend_breaks_before_a_colour(name: str, width: int) -> None:
    legend = heat_legend(SCALES[name], Screen(width))
    picture = legend_picture(legend, Screen(width))
    lines = picture.plain.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert " ".join(picture.plain.split()) == " ".join(legend.plain.split())
    assert all(line.startswith(" █") for line in lines[1:])


@pytest.mark.parametrize("width", [40, 80, 100])
def test_every_key_is_explained(width: int) -> None:
    text = help_picture(Screen(width)).plain
    assert max(map(cell_len, text.split("\n"))) <= width
    flat = " ".join(text.split())
    for words in (
        "up, down",
        "enter:",
        "space:",
        "/:",
        "left, backspace:",
        "home, end:",
        "tab",
        "h:",
        "g:",
        "s:",
        "e:",
    ):
        assert words in flat
    for key in SETTINGS:
        assert f"{key} {key.upper()}:" in flat
    assert "\\n is a newline" in flat
    assert "\\\\n" not in flat
