"""Completes the names of models for the shell."""

from contextlib import suppress
from pathlib import Path

from minigpt.settings import FILTERS

_RUNS = "checkpoints"


def complete_model(incomplete: str) -> list[str]:
    """Complete the path of a model's folder or .gguf file, here or in ./checkpoints, or the name of a run there."""
    place = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    found = {name for folder in {_RUNS + "/", place} for name in _folders(folder)}
    return sorted(name for name in found if name.startswith(incomplete)) or _names(incomplete)


def complete_resumed(incomplete: str) -> list[str]:
    """Complete --resume."""
    return _words(incomplete, "latest")


def complete_corpus(incomplete: str) -> list[str]:
    """Complete --corpus, except for files, which the shell completes if this finds nothing."""
    return _words(incomplete, "run", "builtin")


def _words(incomplete: str, *words: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)] + complete_model(incomplete)


def _names(incomplete: str) -> list[str]:
    names = (name.removeprefix(_RUNS + "/") for name in _folders(_RUNS + "/") if not name.endswith("/"))
    return sorted(name for name in names if name.startswith(incomplete))


def complete_stages(incomplete: str) -> list[str]:
    """Complete the next stage after the last comma."""
    before, comma, name = incomplete.rpartition(",")
    left = [stage for stage in FILTERS if stage not in before.split(",")]
    return [before + comma + stage for stage in left if stage.startswith(name)]


def _folders(place: str) -> list[str]:
    """The folders in `place`, a path up to its last slash; one that is no model ends in a slash, to continue from."""
    with suppress(OSError):
        paths = [path for path in Path(place or ".").iterdir() if not path.name.startswith(".")]
        folders = [path for path in paths if path.is_dir()]
        files = [f"{place}{path.name}" for path in paths if path.suffix == ".gguf" and path.is_file()]
        return files + [f"{place}{path.name}{'' if (path / 'config.json').is_file() else '/'}" for path in folders]
    return []


# What a shell completes, by the name in `Setting.completes`.
COMPLETIONS = {
    "model": complete_model,
    "resumed": complete_resumed,
    "corpus": complete_corpus,
    "stages": complete_stages,
}
