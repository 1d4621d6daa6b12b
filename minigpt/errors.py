"""What can go wrong on the user's side. Each error is one readable message: what was given, what to do instead.

MinigptError
├── CorpusError        the text to train on or to look at
├── ConfigError        wrong usage: settings out of range, or at odds with each other
├── CheckpointError    a folder that cannot be loaded as a GPT-2
├── TraceError         a trace that is none, is damaged, or does not come out again
├── OutputError        a place that cannot be written, or must not be overwritten
├── TrainingError      a training whose numbers are none any more
└── PackageError       a package that this needs, and that is not installed

The command line prints the message and exits with 2 for a ConfigError, as for all wrong usage, and with 1 for any
other; a program catches MinigptError.
"""

import re

_LONGEST_VALUE = 40  # characters of a value that a message repeats
_LONGEST_WORD = 500  # without a space: no path that is really there, and no command to be typed
_LONGEST_TEXT = 1200  # of a whole message


def brief(value: str) -> str:
    """`value`, which came from outside and may be of any length, as a message repeats it."""
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."


def bounded(message: str) -> str:
    """`message` without what no message needs to repeat, such as a path of thousands of characters."""
    words = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: _without_middle(word[0], 200), message)
    return words if len(words) <= _LONGEST_TEXT else _without_middle(words, _LONGEST_TEXT)


def _without_middle(text: str, left: int) -> str:
    return f"{text[: left // 2]}...{text[-left // 2 :]}"


class MinigptError(Exception):
    """Base of every error that is the user's to mend; `str(error)` is the whole message."""


class CorpusError(MinigptError):
    """A corpus that is missing, empty, not text, or too short."""


class ConfigError(MinigptError):
    """A setting outside its range, or two that contradict each other, by the names of their flags."""


class TrainingError(MinigptError):
    """A training that cannot go on, as its loss is no number any more."""


class PackageError(MinigptError):
    """A package that is not installed, by the command that installs it."""


class CheckpointError(MinigptError):
    """A checkpoint that is missing, damaged, inconsistent, or of another architecture."""


class TraceError(MinigptError):
    """A trace that cannot be read, that a checkpoint cannot replay, or that came out differently."""


class OutputError(MinigptError):
    """A folder that cannot be written or already holds a run."""
