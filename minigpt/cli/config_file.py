"""Values for flags that the command line does not give: from `--config FILE.toml`, and from MINIGPT_* variables."""

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from minigpt.errors import bounded, brief
from minigpt.render.style import safe_text
from minigpt.settings import FileAndModel, Machine, settings_of

VARIABLES = {
    name: about.variable
    for kind in (FileAndModel, Machine)
    for name, about in settings_of(kind).items()
    if about.variable
}


@dataclass(frozen=True)
class ConfigFile:
    """The settings in a file; `values` by the command's parameter names once they are known."""

    path: str
    values: dict[str, Any]


def blamed(settings: Collection[str], final: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about those of the `settings` that the file or a variable gave, if these values were used."""
    for file in final.get("config") or ():
        names = [n for n in file.values if n in settings and str(final.get(n)) == str(file.values[n])]  # nan too
        if names:
            yield f"{file.path} says {', '.join(f'{name} = {_shown(file.values[name])}' for name in names)}."
    variables = {VARIABLES[name]: str(final.get(name)) for name in VARIABLES if name in settings}
    used = [f"{name} is {brief(value)}" for name, value in variables.items() if os.environ.get(name) == value]
    if used:
        yield f"{', '.join(used)}."


def _read(path: str) -> ConfigFile:
    text = ""
    try:
        text = Path(path).read_text("utf-8-sig")
        return ConfigFile(path, tomllib.loads(text))
    except OSError as error:
        raise _refusal(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _refusal(
            f"{path} is not UTF-8, as TOML is: byte {error.object[error.start]:#x} at {error.start}."
        ) from error
    except (ValueError, RecursionError) as error:
        last = text.split("\n")
        end = f"line {len(last)}, column {len(last[-1]) + 1}"
        raise _refusal(f"{path} is not TOML: {str(error).replace('end of document', end)}.") from error


def _apply(ctx: typer.Context, files: list[ConfigFile] | None) -> list[ConfigFile]:
    """Make the file's values the command's defaults; eager, so that every other flag sees them."""
    if not files or ctx.resilient_parsing:
        return files or []
    if len(files) > 1:
        raise _refusal("Give one file of settings, not several.")
    (file,) = files
    known = _parameters(ctx)
    values: dict[str, Any] = {}
    for key, value in file.values.items():
        name = key.replace("-", "_")
        parameter = known.get(name)
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
            shown = brief(key)
            raise _refusal(f"{file.path}: {shown} is a table. Write every setting at the top, without [{shown}].")
        if parameter is None:
            raise _refusal(f"{file.path}: {_unknown(key, name, list(known))}")
        if parameter.name in values:
            raise _refusal(f"{file.path} gives {name} twice, spelled differently.")
        values[parameter.name] = _convert(ctx, parameter, value, f"{brief(repr(key))} in {file.path}")
    ctx.default_map = values
    return [ConfigFile(file.path, values)]


def _parameters(ctx: typer.Context) -> dict[str, Any]:
    """The command's parameters by their long names, in Python's spelling."""
    named = {}
    for parameter in ctx.command.params:
        long = [option for option in parameter.opts if option.startswith("--")]
        for name in long or [parameter.name or ""]:
            named[name.removeprefix("--").replace("-", "_")] = parameter
    return {name: parameter for name, parameter in named.items() if name not in ("help", "config")}


def _unknown(key: str, name: str, known: list[str]) -> str:
    if name == "config":
        return "config cannot be set here: a file names no other file."
    near = get_close_matches(name, known, 1)
    return f"there is no setting {brief(repr(key))}. " + (
        f"Did you mean {near[0].replace('_', '-')}?" if near else "The names are those of the flags."
    )


def _convert(ctx: typer.Context, parameter: Any, value: Any, where: str) -> Any:
    """The value as the flag would parse it from text, so that errors are the same."""
    many = parameter.nargs == -1 or getattr(parameter, "multiple", False)
    items = value if many and isinstance(value, list) else [value]
    switch = getattr(parameter, "is_flag", False)
    for item in items:
        if isinstance(item, bool) != switch or not isinstance(item, str | int | float):
            wanted = "true or false" if switch else "a list of texts" if many else "one text or number"
            raise typer.BadParameter(f"{_shown(value)} is not {wanted}.", ctx=ctx, param_hint=where)
    try:
        text = items[0] if switch else [str(item) for item in items] if many else str(value)
        return parameter.process_value(ctx, text)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{_shown(value)}: {safe_text(error.message)}.", ctx=ctx, param_hint=where) from error


def _shown(value: Any) -> str:
    return brief(safe_text(str(value).lower() if isinstance(value, bool) else str(value)))


def _refusal(message: str) -> typer.BadParameter:
    return typer.BadParameter(bounded(safe_text(message)))


Config = Annotated[
    list[ConfigFile] | None,  # so that a second one is refused: of a single value, the last would win
    typer.Option(
        "--config",
        parser=_read,
        callback=_apply,
        is_eager=True,
        metavar="FILE.toml",
        help="Settings by the flags' names, such as steps = 600; paths as on the command line, whose flags win.",
    ),
]
