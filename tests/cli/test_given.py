"""What was given reaches the settings by name; what was not stays with their own defaults."""

import inspect
from dataclasses import fields

import typer
from typer.testing import CliRunner

from minigpt.cli.given import build, given
from minigpt.cli.train import train
from minigpt.config import Choices, TrainConfig


def test_a_default_is_not_given_even_when_its_value_is() -> None:
    app, seen = typer.Typer(), []

    @app.command()
    def command(ctx: typer.Context, steps: int = 600, width: int = 8, name: str | None = None) -> None:
        seen.append(given(ctx))

    runner = CliRunner()
    runner.invoke(app, ["--steps", "600", "--name", "x"])
    runner.invoke(app, [])
    assert seen == [{"steps": 600, "name": "x"}, {}]


def test_settings_are_built_by_name() -> None:
    values = {"steps": 7, "width": 64, "out": "elsewhere"}
    assert build(TrainConfig, values) == TrainConfig(steps=7)
    assert build(Choices, values) == Choices(width=64)


def test_every_setting_has_a_flag_with_its_default() -> None:
    flags = inspect.signature(train).parameters
    for kind in (Choices().filled(), TrainConfig()):
        for field in fields(kind):
            if field.name in ("seconds", "steps_suffice"):  # what is left of --minutes, and whether all of it is used
                continue
            assert flags[field.name].default in (None, getattr(kind, field.name)), field.name
