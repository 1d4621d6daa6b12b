"""The texts and tokens that users name: a prompt to try, choices, and a single token."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from minigpt.errors import ConfigError, CorpusError, brief, escaped, named, quoted
from minigpt.settings import require
from minigpt.text.records import token_text

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer

_OPENING = "([{<\"'“‘«¿¡/\\-_=@#$"  # after these a word may follow without a space
_WITHOUT_END = 12  # characters of a word that is longer than a line of advice
_FEW_WORDS = 8


def few_words(texts: Iterable[str]) -> str:
    """The longest of `texts` of at most eight words, or the first one where all are longer."""
    texts = [text for text in texts if text.strip()]
    short = [text for text in texts if len(text.split()) <= _FEW_WORDS]
    return max(short, key=len) if short else next(iter(texts), "")


def opening_words(text: str) -> str:
    """The first words of `text`, to try as a prompt: at most 24 characters of one line; "" if there is no word."""
    start = re.search(r"\w.*", text)
    line = "".join(takewhile(lambda char: char.isprintable() and char != "\ufffd", start[0] if start else ""))
    whole = re.match(r"\w(?:.{0,22}\w)?\b", line)
    return whole[0] if whole else line[:_WITHOUT_END]


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
    require(repeated is None, f"{named('choices')} has {quoted(repeated or '')} twice.")
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


def single_token(tokenizer: "Tokenizer", text: str) -> int:
    """The id of the token that is exactly `text`. `#12` is the token with id 12.

    Raises ConfigError, with suggestions, if there is none.
    """
    if re.fullmatch(r"#\d{1,9}", text):
        token = int(text[1:])
        if token < tokenizer.vocab_size:
            return token
        raise ConfigError(
            f"{brief(text)} is not a token: the ids of this vocabulary go from 0 to {tokenizer.vocab_size - 1:,}."
        )
    ids = tokenizer.encode_whole(text)
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise ConfigError("A token is needed, such as ' the' or #262, not an empty text.")
    cut = " + ".join(_named(i, tokenizer.token_bytes(i)) for i in ids[:6])
    hint = (
        f'" {escaped(text)}", with a space before it, is one.'
        if _is_one(tokenizer, f" {text}")
        else "Name one of these, or #ID."
    )
    raise ConfigError(
        f"{quoted(text)} is {len(ids)} tokens of this vocabulary: {cut}{' ...' * (len(ids) > 6)}.\n{hint}"
    )


def _named(token: int, data: bytes) -> str:
    """How a message names a token: by its text, or by its id if its bytes are not whole characters."""
    text = token_text(data)
    return f"#{token}" if text is None else quoted(text)


def _is_one(tokenizer: "Tokenizer", text: str) -> bool:
    try:
        return len(tokenizer.encode_whole(text)) == 1
    except CorpusError:
        return False
