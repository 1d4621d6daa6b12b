"""Reads a text to continue or to inspect, rather than to train on, from a file or standard input."""

import re
from itertools import takewhile

from minigpt.errors import ConfigError, CorpusError, escaped
from minigpt.text.formats import ENCODINGS, clean
from minigpt.text.sources import find, find_local

_WITHOUT_END = 12  # characters of a word that is longer than a line of advice


def read_text(path: str) -> str:
    """The text of one UTF-8 file, without a byte order mark, with newlines as line ends."""
    place = find_local(path)
    if not place.named:
        raise CorpusError(f"{escaped(path)} is not one file.\nGive one file of text.")
    return clean(_decode(place.files[0].read(), place.name))


def read_prompt() -> str:
    """The text of standard input, without a single final newline, which the shell adds."""
    return clean(_decode(find("-").files[0].read(), "standard input")).removesuffix("\n")


def check_argument(text: str) -> str:
    """`text` from the command line, whose bytes are UTF-8 whatever the locale. Raises ConfigError otherwise."""
    try:
        return _decode(text.encode("utf-8", "surrogateescape"), "the text on the command line")
    except CorpusError as error:
        raise ConfigError(error.message) from error


def opening_words(text: str) -> str:
    """The first words of `text`, to try as a prompt: at most 24 characters of one line; "" if there is no word."""
    start = re.search(r"\w.*", text)
    line = "".join(takewhile(lambda char: char.isprintable() and char != "\ufffd", start[0] if start else ""))
    whole = re.match(r"\w(?:.{0,22}\w)?\b", line)
    return whole[0] if whole else line[:_WITHOUT_END]


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{data[error.start]:02x} at offset {error.start:,}"
        marked = next(encoding for encoding, marks in ENCODINGS if data.startswith(marks))
        source = "latin1" if marked == "utf-8" else marked.replace("-", "")
        raise CorpusError(f"{name} is not UTF-8: {byte}.\nConvert it: iconv -f {source} -t utf8") from error
