"""What was given reaches the settings by name; what was not stays with their own defaults."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from minigpt.cli.flags import Given, command
from minigpt.cli.train import train
from minigpt.errors import ConfigError, named
from minigpt.settings import Choices, Machine, Range, Settings, TrainConfig, build, setting


def test_settings_are_built_by_name() -> None:
    values = {"steps": 7, "width": 64, "out": "elsewhere"}
    assert build(TrainConfig, values) == TrainConfig(steps=7)
    assert build(Choices, values) == Choices(width=64)


def test_every_setting_has_a_flag_with_its_default() -> None:
    flags = inspect.signature(train).parameters
    for kind in (Choices(), TrainConfig()):
        for field in fields(kind):
            if field.name in ("seconds", "steps_suffice"):  # what is left of --minutes, and whether all of it is used
                continue
            assert flags[field.name].default in (None, getattr(kind, field.name)), field.name


@dataclass(frozen=True, kw_only=True)
class Oven(Settings):
    heat: int = setting(180, help=f"Degrees; {named('grill')} needs none.", range=Range(0, 300), panel="Heat")
    grill: bool = setting(False, help="From above.", off="From below.", panel="Heat")
    kind: str = setting("gas", help="{values}.", choices=("gas", "wood"), flag="fuel")
    dishes: tuple[str, ...] = setting((), help="What is baked.", argument=True)
    hidden: int = 3


@pytest.fixture
def bake() -> Callable[..., Any]:
    """Run a command of two groups; the result is what it got, or what typer says."""
    app, got = typer.Typer(), []

    @app.command("command")
    @command
    def bake(given: Given, oven: Oven, machine: Machine, loud: bool = False) -> None:
        got.append((given, oven, machine, loud))

    def run(*arguments: str, **env: str) -> Any:
        got.clear()
        result = CliRunner().invoke(app, list(arguments), env=env)
        return got[0] if got else result

    return run


def test_a_group_is_a_flag_for_each_field_and_the_command_gets_instances(bake: Callable[..., Any]) -> None:
    given, oven, machine, loud = bake("pie", "--heat", "200", "--fuel", "wood", "--loud", MINIGPT_THREADS="3")
    assert given == {"dishes": ("pie",), "heat": 200, "kind": "wood", "loud": True}
    assert oven == Oven(heat=200, kind="wood", dishes=("pie",))
    assert (machine, loud) == (Machine(threads=3), True)
    assert bake()[1:3] == (Oven(), Machine())


def test_a_default_is_not_given_even_when_its_value_is(bake: Callable[..., Any]) -> None:
    assert bake("--heat", "180")[:2] == ({"heat": 180}, Oven())
    assert bake()[:2] == ({}, Oven())
    assert bake(MINIGPT_THREADS="3")[0] == {}


def test_a_switch_can_be_turned_off(bake: Callable[..., Any]) -> None:
    assert bake("--no-grill")[0] == {"grill": False}
    assert bake("--grill")[1].grill
    assert "--grill and --no-grill exclude each other." in bake("--grill", "--no-grill").stderr


def test_help_and_checks_come_from_the_fields(bake: Callable[..., Any]) -> None:
    shown = bake("--help", COLUMNS="120").stdout
    assert "Degrees; --grill needs none. [default: 180]" in shown
    assert "gas or wood." in shown
    assert "hidden" not in shown
    assert bake("--heat", "301").stderr == "minigpt bake: --heat must be 300 or fewer, not 301.\n"
    assert bake("--fuel", "coal").stderr == "minigpt bake: --fuel must be gas or wood, not coal.\n"


def test_a_program_gets_the_same_check_in_its_own_words() -> None:
    with pytest.raises(ConfigError, match=r"^heat= must be 300 or fewer, not 301\.$") as error:
        Oven(heat=301)
    assert error.value.settings == ("heat",)
