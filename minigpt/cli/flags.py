"""A command's flags, generated from groups of settings: `train` takes dataclasses, and typer sees a flag per field."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from minigpt.cli.completion import COMPLETIONS
from minigpt.cli.config_file import Config
from minigpt.cli.console import spelling
from minigpt.cli.guard import guarded
from minigpt.errors import named, spelled
from minigpt.settings import PANELS, FileAndModel, SampleConfig, Setting, Settings, build, require, settings_of

Command = Callable[..., None]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class Given(dict[str, Any]):
    """The names of the settings given explicitly, on the command line or in a file of settings.

    A command that takes it can tell its user's choices from defaults.
    """


def command(function: Command, *, quiet: bool = True) -> Command:
    """Turn a function into a command for typer: guarded, with --config and (if `quiet`) --quiet.

    A parameter that is a group of settings becomes one flag per field. Other parameters stay as they are; a field of
    the same name gets no flag, and keeps its default. A field in several groups is one flag, described by the first
    group that describes it, and all groups get its value. --help lists the panels of `PANELS` in order.
    """
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters
    groups = {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, Settings)}
    flags = _parameters(own, hints, groups)
    flags += [_EVERYWHERE["config"], *([_EVERYWHERE["quiet"]] if quiet else [])]
    renamed = _renamed_flags(flags)

    def run(ctx: typer.Context, **values: Any) -> None:
        with guarded(function.__name__.strip("_").replace("_", "-"), renamed, values):
            chosen, given = _chosen(ctx, values)
            in_groups = {name: value for name, value in chosen.items() if name not in own}
            built = {name: build(kind, in_groups) for name, kind in groups.items()}
            rest = {name: given if hints[name] is Given else values[name] for name in own.keys() - groups.keys()}
            both = values.get("json") and values.get("csv")
            require(not both, f"{named('json')} and {named('csv')} exclude each other.")
            function(**built, **rest)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(sorted(flags, key=_rank))  # type: ignore[attr-defined]
    run.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return run


def _parameters(
    own: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], groups: Mapping[str, Any]
) -> list[inspect.Parameter]:
    """The parameters that typer sees."""
    renamed = {
        name: f"--{each.flag}" for kind in groups.values() for name, each in settings_of(kind).items() if each.flag
    }
    flags = [inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)]
    for name, parameter in own.items():
        if name in groups:
            known = {flag.name for flag in flags} | own.keys()
            flags += [flag for flag in _flags_of(groups[name], renamed) if flag.name not in known]
        elif hints[name] is not Given:
            flags.append(parameter.replace(kind=_KEYWORD, annotation=hints[name]))
    return flags


def _renamed_flags(flags: Iterable[inspect.Parameter]) -> dict[str, str]:
    """The flags whose names differ from their settings': `--from` for base, CORPUS for an argument."""
    found = {}
    for flag in flags:
        for about in get_args(flag.annotation)[1:]:
            if isinstance(about, ArgumentInfo):
                found[flag.name] = flag.name.upper()
            elif isinstance(about, OptionInfo):  # which holds the first name as its default
                names = [str(each) for each in (about.default, *(about.param_decls or ()))]
                found.update((flag.name, each) for each in names[::-1] if each.startswith("--"))
    return found


def _rank(flag: inspect.Parameter) -> int:
    """The order of training's panels; all other parameters stay in place, before them."""
    panel = next((getattr(about, "rich_help_panel", None) for about in get_args(flag.annotation)[1:]), None)
    return PANELS.index(panel) + 1 if panel in PANELS else 0


def _flags_of(kind: Any, renamed: Mapping[str, str]) -> Iterator[inspect.Parameter]:
    """A parameter for each field that has a help text, and a second one for a switch that can be turned off."""
    hints, described = get_type_hints(kind), settings_of(kind)
    for each in fields(kind):
        about = described.get(each.name)
        if about is None or not about.help:
            continue
        hint, default = hints[each.name], each.default
        if get_origin(hint) is tuple:  # typer would take one value of several parts
            hint, default = list[get_args(hint)[0]] | None, default or None  # type: ignore[misc]
        yield _flag(each.name, hint, default, about, renamed)
        if about.off:
            yield _flag(f"no_{each.name}", bool, False, Setting(help=about.off, panel=about.panel), renamed)


def _flag(name: str, hint: Any, default: Any, about: Setting, renamed: Mapping[str, str]) -> inspect.Parameter:
    if about.argument:
        flag = typer.Argument(help=about.text, show_default=False)
    else:
        flag = _option(name, about, renamed, shown=default is not None)
    return inspect.Parameter(name, _KEYWORD, default=default, annotation=Annotated[hint, flag])


def _option(name: str, about: Setting, renamed: Mapping[str, str], *, shown: bool = True) -> Any:
    return typer.Option(
        spelling(renamed)(name, None),
        *([about.short] if about.short else []),
        help=spelled(about.text, spelling(renamed)),
        metavar=about.metavar,
        rich_help_panel=about.panel,
        show_default=shown,
        envvar=about.variable,
        autocompletion=_completion(about),
        **_bounds(about),
    )


def _bounds(about: Setting) -> dict[str, Any]:
    """The bounds that typer checks and shows in --help; the upper one only if it lies in the nature of the setting."""
    if about.range is None or not about.shows_range:
        return {}
    return {"min": about.range.least} | ({"max": about.range.most} if about.range.both else {})


def _completion(about: Setting) -> Callable[[str], list[str]] | None:
    if about.completes is not None:
        return COMPLETIONS[about.completes]
    if not about.choices:
        return None
    return lambda incomplete: [value for value in about.choices if value.startswith(incomplete)]


def _chosen(ctx: typer.Context, values: Mapping[str, Any]) -> tuple[dict[str, Any], Given]:
    """The values that are not defaults, and those of them given explicitly rather than by a variable."""
    sources = {name: getattr(ctx.get_parameter_source(name), "name", "DEFAULT") for name in values}
    chosen = {name: values[name] for name, source in sources.items() if source != "DEFAULT"}
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
    for off in [name for name in chosen if name.startswith("no_") and name.removeprefix("no_") in values]:
        on = off.removeprefix("no_")
        if chosen.pop(off):
            require(not chosen.get(on), f"{named(on)} and {named(off)} exclude each other.")
            chosen[on], sources[on] = False, sources[off]
    return chosen, Given({name: chosen[name] for name in chosen if sources[name] != "ENVIRONMENT"})


def json_flag(form: str) -> Any:
    """The flag --json; its help says what is printed: one document, or one line for each of something."""
    return typer.Option("--json", help=f"JSON on standard output, for other programs: {form}.")


def csv_flag(form: str) -> Any:
    """The flag --csv; its help says what its rows are."""
    return typer.Option("--csv", help=f"{form}, for a spreadsheet.")


def _flag_of(kind: type[Settings], name: str) -> Any:
    """The flag of one field, for commands that do not take the whole group."""
    return _option(name, settings_of(kind)[name], {})


Checkpoint = Annotated[Path | None, _flag_of(FileAndModel, "checkpoint")]
Top = Annotated[int, _flag_of(SampleConfig, "top")]
Json = Annotated[bool, json_flag("one document")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no notes and no progress on standard error.")]
_EVERYWHERE = {
    "config": inspect.Parameter("config", _KEYWORD, default=None, annotation=Config),
    "quiet": inspect.Parameter("quiet", _KEYWORD, default=False, annotation=Quiet),
}
