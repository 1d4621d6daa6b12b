"""The texts that `--choices` lists, and which of them would merge with the end of the prompt."""

import csv
import io
import unicodedata
from collections.abc import Sequence

from minigpt.errors import ConfigError, brief, named
from minigpt.settings import require
from minigpt.text.wording import escaped

_OPENING = "([{<\"'“‘«¿¡/\\-_=@#$"  # after these a word may follow without a space


def split_choices(line: str) -> tuple[str, ...]:
    """The texts between the commas, with their spaces; a text with a comma or newline is quoted as in CSV.

    Raises ConfigError unless there are two or more, all different and none empty.
    """
    try:
        choices = tuple(text for row in csv.reader(io.StringIO(line, newline=""), strict=True) for text in row)
    except csv.Error as error:
        raise ConfigError(f"{named('choices', brief(escaped(line)))} cannot be read as CSV: {error}.") from error
    require(
        "" not in choices,
        f'{named("choices", brief(escaped(line)))} has an empty choice. Write a comma inside one as "a, b",c.',
    )
    require(
        len(choices) > 1,
        f"{named('choices')} compares two texts or more, separated by commas, not {brief(escaped(line))} alone.",
    )
    repeated = next((text for text in choices if choices.count(text) > 1), None)
    require(repeated is None, f'{named("choices")} has "{brief(escaped(repeated or ""))}" twice.')
    return choices


def joined_choices(choices: Sequence[str]) -> str:
    """The inverse of `split_choices`."""
    line = io.StringIO()
    csv.writer(line).writerow(choices)
    return line.getvalue().removesuffix("\r\n")


def running_together(prompt: str, choices: Sequence[str]) -> list[str]:
    """The choices that begin with a letter or digit directly after the prompt's last word.

    Wide characters, as in Chinese and Japanese, need no space between words.
    """
    apart = not prompt or prompt[-1].isspace() or prompt[-1] in _OPENING
    return [] if apart else [text for text in choices if text[0].isalnum() and not _is_wide(text[0])]


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in ("W", "F")
