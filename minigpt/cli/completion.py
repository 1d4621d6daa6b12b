"""The beginning of a folder's name in; the models that a shell may complete it to, out."""

from contextlib import suppress
from pathlib import Path

_RUNS = "checkpoints"


def complete_model(incomplete: str) -> list[str]:
    """Folders of models whose path begins so: those in ./checkpoints, and those where the path leads.

    Or else the runs of ./checkpoints whose name begins so.
    """
    place = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    found = {name for folder in {_RUNS + "/", place} for name in _folders(folder)}
    paths = sorted(name for name in found if name.startswith(incomplete))
    return paths or complete_run(incomplete)


def complete_run(incomplete: str, *words: str) -> list[str]:
    """The runs of ./checkpoints, and other `words`, that begin so."""
    names = (name.removeprefix(_RUNS + "/") for name in _folders(_RUNS + "/") if not name.endswith("/"))
    return sorted(name for name in (*words, *names) if name.startswith(incomplete))


def _folders(place: str) -> list[str]:
    """Those in `place`, which is a path up to its last slash; one that is no model ends in a slash, to go on from."""
    with suppress(OSError):
        folders = [path for path in Path(place or ".").iterdir() if path.is_dir() and not path.name.startswith(".")]
        return [f"{place}{path.name}{'' if (path / 'config.json').is_file() else '/'}" for path in folders]
    return []
