"""The errors that a user can cause or fix. Each has one readable message: what was given, and what to do instead.

MinigptError
├── CorpusError        the text to train on or to inspect
├── ConfigError        wrong usage: settings out of range, or at odds with each other
├── CheckpointError    a folder that cannot be loaded as a GPT-2
├── TraceError         a file that is not a trace, is damaged, or cannot be reproduced
├── OutputError        a place that cannot be written, or must not be overwritten
├── TrainingError      a training whose loss became NaN or infinite
└── PackageError       a needed package that is not installed

The command line prints the message and exits with 2 for a ConfigError, as for all wrong usage, and with 1 for any
other; a program catches MinigptError.

A message names a setting by `named("top_k", 3)`: `top_k=3` for a program, and --top-k 3 on the command line.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONGEST_VALUE = 40  # characters of a value that a message repeats
_LONGEST_WORD = 500  # without a space: no existing path and no command to type is as long
_LONGEST_TEXT = 1200  # of a whole message


def brief(value: str) -> str:
    """`value`, untrusted and of any length, shortened for a message."""
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."


def escaped(name: str) -> str:
    """`name` with control characters, bidi controls and lone surrogates escaped as in a Python string."""
    safe = (char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in name)
    return "".join(safe) or "''"


def quoted(value: str) -> str:
    """`value`, untrusted and of any length, in quotation marks for a message."""
    return f'"{brief(escaped(value))}"'


def bounded(message: str) -> str:
    """`message` without overlong parts, such as a path of thousands of characters."""
    words = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: _without_middle(word[0], 200), message)
    return words if len(words) <= _LONGEST_TEXT else _without_middle(words, _LONGEST_TEXT)


def _without_middle(text: str, left: int) -> str:
    return f"{text[: left // 2]}...{text[-left // 2 :]}"


_NAMED = re.compile("\x02(\\w+)(?:\x1f(.*?))?\x03", re.DOTALL)
Spelling = Callable[[str, str | None], str]


def named(name: str, value: object = None) -> str:
    """A setting, with its value if there is one, for a message. `spelled` turns it into an argument or a flag.

    It is enclosed in control characters, which nobody types.
    """
    given = "" if value is None else "\x1f" + re.sub("[\x02\x03\x1f]", "", str(value))
    return f"\x02{name}{given}\x03"


def as_argument(name: str, value: str | None) -> str:
    """A setting as a Python argument: `top_k=3`."""
    return f"{name}={value or ''}"


def as_flag(name: str, value: str | None = None) -> str:
    """A setting as a flag of the command line, unless its flag has another name: `--top-k 3`."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is None else f"{flag} {value}"


def spelled(message: str, spelling: Spelling = as_argument) -> str:
    """`message` with its settings spelled by `spelling`."""
    return _NAMED.sub(lambda found: spelling(found[1], found[2]), message)


class MinigptError(Exception):
    """The base of every error that the user can fix; `str(error)` is the whole message, with settings as Python
    arguments.

    `message` is the original text, with its `named` settings; quote that when one error contains another.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.concerns: tuple[str, ...] = ()  # settings that caused the error without being named in it

    def __str__(self) -> str:
        return spelled(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the settings that the error is about."""
        return (*(found[1] for found in _NAMED.finditer(self.message)), *self.concerns)


@contextmanager
def concerning(setting: str) -> Iterator[None]:
    """Marks errors of loading a model as concerning this setting, whether the message names it or not.

    A message that names `checkpoint`, which is all that loading a model knows, names this setting in its place. An
    OutputError is not about loading, and passes unchanged.
    """
    try:
        yield
    except OutputError:
        raise
    except MinigptError as error:
        names = {"checkpoint": setting}
        error.args = (_NAMED.sub(lambda found: named(names.get(found[1], found[1]), found[2]), error.message),)
        error.concerns += (setting,)
        raise


class CorpusError(MinigptError):
    """A corpus that is missing, empty, not text, or too short."""


class ConfigError(MinigptError):
    """A setting outside its range, or two that contradict each other."""


class TrainingError(MinigptError):
    """A training that cannot continue because its loss became NaN or infinite."""


class PackageError(MinigptError):
    """A package that is not installed, with the command that installs it."""


def needs_extra(what: str, extra: str) -> PackageError:
    """The error for a missing package: `what` needs it, as a sentence; pyproject.toml's `extra` installs it."""
    return PackageError(f"{what}, not installed here.\nFrom your clone of minigpt: pip install -e '.[{extra}]'")


class CheckpointError(MinigptError):
    """A checkpoint that is missing, damaged, inconsistent, or of another architecture."""


class TraceError(MinigptError):
    """A trace that cannot be read, that a checkpoint cannot replay, or that came out differently."""


class OutputError(MinigptError):
    """A folder that cannot be written or already contains a run."""
