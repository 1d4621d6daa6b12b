"""Decodes the bytes of a file into clean text, and tells of bytes that are not text, with what to do about them."""

import codecs
import os
import re
import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import IncrementalNewlineDecoder
from itertools import chain, islice

from minigpt.errors import CorpusError, escaped, named
from minigpt.settings import TextFormat
from minigpt.text.compression import decompress, is_compressed
from minigpt.text.encodings import ENCODINGS, failures, guess_by_letters, mark_errors, marked_bytes, unmarked
from minigpt.text.findings import Findings
from minigpt.text.sources import File, Stored

CONTROLS = bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1b"})
INSTEAD = {"replace": "\ufffd", "skip": ""}  # of bytes that are not of the encoding
_SAMPLE = 1 << 16  # bytes by which an encoding is guessed
_FEW = 1 / 20  # of a text: random bytes have 10 % of control characters; text in any encoding of bytes has almost none
_STRAY = 1 / 100  # of the characters beyond ASCII, in an encoding whose bytes could well be those of another
_MIXED = 1 / 10  # of them: more than a few damaged ones
_SHOWN = 16  # characters before and after a byte, in a message


class NotText(CorpusError):
    """A binary file: an error if the user named it, skipped if it was found."""


def decode(chunks: Iterable[bytes], file: File, how: TextFormat, found: Findings) -> Iterator[str]:
    """Decode `chunks` into clean text, strictly unless `how` says otherwise; then, undecodable bytes are counted.

    Raises NotText for binary data, CorpusError for another encoding.
    """
    decoder = _Decoder(file, how, found)
    mark = "\ufeff"
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.removeprefix(mark)
            mark = ""
    yield decoder.decode(b"", final=True).removeprefix(mark)


def decode_value(value: bytes, encoding: str, how: TextFormat, found: Findings) -> str:
    """Decode a whole text. Raises UnicodeError if `how` is strict and it is not of `encoding`."""
    instead = INSTEAD.get(how.encoding_errors)
    if instead is None:
        return value.decode(encoding)
    text = value.decode(encoding, mark_errors())
    found.undecodable += marked_bytes(text)
    return unmarked(text, instead)


class _Decoder:
    """Decodes a file chunk by chunk, and knows the position of invalid bytes."""

    def __init__(self, file: File, how: TextFormat, found: Findings) -> None:
        self.file, self.encoding, self._found = file, how.encoding, found
        self._instead = INSTEAD.get(how.encoding_errors)
        errors = "strict" if self._instead is None else mark_errors()
        self._characters = codecs.getincrementaldecoder(how.encoding)(errors)
        self._newlines = IncrementalNewlineDecoder(None, translate=True)
        self._bytes, self._lines, self._is_ascii = 0, 0, True

    def decode(self, chunk: bytes, final: bool = False) -> str:
        start = self._bytes - len(self._characters.getstate()[0])  # where the characters begin that come out now
        self._bytes += len(chunk)
        try:
            text = self._characters.decode(chunk, final)
        except UnicodeError as error:
            # A missing mark is a UnicodeError up to Python 3.12, a UnicodeDecodeError from 3.13 on.
            if isinstance(error, UnicodeDecodeError) and has_its_mark(self.file, self.encoding):
                raise self._wrong(error) from error
            raise without_mark(self.file, self.encoding) from error
        if "\0" in text:
            raise with_nul(self.file, self.encoding, start + self._size(text[: text.index("\0")], start))
        if self._instead is not None and (failed := marked_bytes(text)):
            text = unmarked(text, self._instead)
            self._found.undecodable += failed
        text = self._newlines.decode(text, final)
        self._lines += text.count("\n")
        self._is_ascii = self._is_ascii and text.isascii()
        return text

    def _size(self, text: str, start: int) -> int:
        """The bytes of `text`, which begins at the byte `start`; of every encoding, a first text has a mark."""
        mark = len("".encode(self.encoding)) * bool(start)
        return len(unmarked(text, "").encode(self.encoding, "replace")) - mark + marked_bytes(text)

    def _wrong(self, error: UnicodeDecodeError) -> CorpusError:
        before = error.object[: error.start]
        line = 1 + self._lines + self._newlines.decode(before.decode(self.encoding, "ignore"), True).count("\n")
        offset = self._bytes - len(error.object) + error.start
        what = f"byte 0x{error.object[error.start]:02x} at offset {offset:,} (line {line:,})"
        # A UTF-8 text cut inside its last character, as by head -c; one in latin-1 may end alike.
        is_cut = error.reason == "unexpected end of data" and not (self._is_ascii and before.isascii())
        return wrong_encoding(self.file, codecs.lookup(self.encoding).name, offset, what, is_cut=is_cut)


# --- another encoding


def wrong_encoding(file: File, encoding: str, offset: int, what: str, *, is_cut: bool) -> CorpusError:
    """The error for a file of which not all bytes are of `encoding`; the first that is not, `what`, is at `offset`."""
    with contents(file) as chunks:
        failed, decoded = failures(chunks, encoding)
    stray = failed <= decoded * (1.0 if encoding.startswith("utf") else _STRAY)
    if stray and is_wide(encoding) and 0 in start_of(file, _SAMPLE):
        advice = errors_advice("The text is damaged there, or cut inside a character: ")
    elif guess := marked_encoding(file):
        advice = encoding_advice(file, guess)
    else:
        check_not_binary(file)
        with contents(file) as chunks:
            sample = first_beyond_ascii(chunks, offset)
        guess = guess_by_letters(sample)
        if is_cut or codecs.lookup(guess).name == encoding:
            advice = errors_advice("The text is damaged there, or cut inside a character: ")
        elif stray and not is_wide(encoding):
            mixed = " Encodings are mixed, so convert one of them first;" if failed > decoded * _MIXED else ""
            advice = errors_advice(f"The rest of it is {encoding.upper()}{'.' if mixed else ':'}{mixed} ")
        else:
            advice = encoding_advice(file, guess, reading(sample, guess))
    more = f", the first of {failed:,} that fail" if failed > 1 else ""
    return CorpusError(f"{file.name} is not {encoding.upper()}: {what}{more}.\n{advice}")


def is_wide(encoding: str) -> bool:
    """Whether every character has several bytes, as in UTF-16; in text, some of them are 0."""
    return "a".encode(encoding) != b"a"


def errors_advice(why: str = "") -> str:
    skip, replace = named("encoding_errors", "skip"), named("encoding_errors", "replace")
    return f"{why}{skip} leaves such bytes out, {replace} puts U+FFFD in their place."


def single_text_advice(data: bytes) -> str:
    """What to do about a text that is not UTF-8, where no encoding can be given."""
    failed, decoded = failures([data], "utf-8")
    marked = next(encoding for encoding, marks in ENCODINGS if data.startswith(marks))
    if marked == "utf-8" and 0 in data:
        wide = unmarked_utf16(data[:_SAMPLE])
        looks = "It looks binary: it contains NUL bytes. Give plain text."
        return f"Convert it: iconv -f {iconv_name(wide)} -t utf8" if wide else looks
    if marked == "utf-8" and failed <= decoded:
        return "Leave out what fails: iconv -c -f utf-8 -t utf-8"
    guess = guess_by_letters(first_beyond_ascii([data])) if marked == "utf-8" else marked
    return f"Convert it: iconv -f {iconv_name(guess)} -t utf8"


def value_advice(value: bytes, encoding: str) -> str:
    """What to do about one of several texts of bytes, of which not all are of `encoding`."""
    failed, decoded = failures([value], encoding)
    guess = guess_by_letters(value)
    if failed <= decoded or codecs.lookup(guess).name == codecs.lookup(encoding).name:
        return errors_advice()
    return f"Try {named('encoding', guess)}, which reads “{reading(first_beyond_ascii([value]), guess)}”."


def encoding_advice(file: File, guess: str, read: str = "") -> str:
    message = f"Try {named('encoding', guess)}" + (f", which reads “{read}”" if read else "")
    command = f"iconv -f {iconv_name(guess)} -t utf8 {shlex.quote(file.name)}"
    return f"{message}, or convert it: {command}" if can_convert(file) and guess != "utf-8" else f"{message}."


def iconv_name(encoding: str) -> str:
    return encoding.replace("-", "") if encoding.startswith(("utf", "latin")) else encoding


def can_convert(file: File) -> bool:
    return os.path.isfile(file.path) and not is_compressed(file.path)


def first_beyond_ascii(chunks: Iterable[bytes], after: int = 0) -> bytes:
    """A sample of a text, from the beginning of the line of its first byte beyond ASCII at or `after` an offset."""
    sample, size = b"", 0
    for chunk in chunks:
        sample, size = sample + chunk, size + len(chunk)
        if size <= after or sample.isascii():
            sample = sample[-_SAMPLE:]
        elif len(sample) > 3 * _SAMPLE:
            break
    found = re.compile(rb"[\x80-\xff]").search(sample, max(0, after - size + len(sample)))
    if found is None:
        return b""
    line = max(sample.rfind(sign, 0, found.start()) for sign in (b"\n", b"\r")) + 1
    return sample[line:][:_SAMPLE]


def reading(sample: bytes, encoding: str) -> str:
    """A few words of `sample` around its first letter beyond ASCII, for a person to judge an encoding."""
    text = "".join(sample.decode(encoding, "replace").splitlines()[:1])
    place = next((index for index, char in enumerate(text) if char > "\x7f"), 0)
    return escaped(text[max(0, place - _SHOWN) : place + _SHOWN].strip())


def marked_encoding(file: File) -> str | None:
    """The encoding of the file's byte order mark, or UTF-8 without one, if it can be decoded so."""
    start = start_of(file, 4)
    return next((name for name, marks in ENCODINGS if start.startswith(marks) and can_decode(file, name)), None)


def has_its_mark(file: File, encoding: str) -> bool:
    """Whether the file begins with the byte order mark that the encoding needs, if it needs one."""
    marks = dict(ENCODINGS[:2]).get(codecs.lookup(encoding).name)
    return marks is None or beginning(file).startswith(marks)


def without_mark(file: File, encoding: str) -> CorpusError:
    name, start = codecs.lookup(encoding).name, beginning(file)
    ordered = f"{name}-be" if start[:1] == b"\0" else f"{name}-le"
    fits = 0 in start and can_decode(file, ordered)
    with contents(file) as chunks:
        guess = ordered if fits else marked_encoding(file) or guess_by_letters(first_beyond_ascii(chunks))
    message = f"{file.name} does not begin with the byte order mark of {name.upper()}."
    return CorpusError(f"{message}\n{encoding_advice(file, guess)}")


def beginning(file: File) -> bytes:
    with contents(file) as chunks:
        return b"".join(islice(chunks, 1))


def start_of(file: File, size: int) -> bytes:
    with contents(file) as chunks:
        return bytes(islice(chain.from_iterable(chunks), size))


@contextmanager
def contents(file: File) -> Iterator[Iterator[bytes]]:
    """The bytes inside `file`, read again."""
    with Stored(file) as stored:
        yield decompress(stored, file.path, file.name)


def can_decode(file: File, encoding: str) -> bool:
    try:
        with contents(file) as chunks:
            deque(codecs.iterdecode(chunks, encoding), maxlen=0)
    except UnicodeError:
        return False
    return True


# --- binary data


def check_not_binary(file: File) -> None:
    size = controls = 0
    with contents(file) as chunks:
        for chunk in chunks:
            if 0 in chunk:
                raise with_nul(file, "ascii", size + chunk.index(0))
            size += len(chunk)
            controls += len(chunk) - len(chunk.translate(None, CONTROLS))
    if controls > size * _FEW:
        raise binary(file.name, f"{controls:,} of its {size:,} bytes are control characters")


def with_nul(file: File, encoding: str, offset: int) -> NotText:
    """The error for a file with a NUL byte at `offset`: binary data, UTF-16 without a mark, or text with NULs in it."""
    sign = f"NUL byte at offset {offset:,}"
    if is_wide(encoding):  # where a NUL is no single byte
        return binary(file.name, sign)
    start = start_of(file, _SAMPLE)
    if guess := unmarked_utf16(start):
        is_marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        about = "looks like UTF-16" + ("" if is_marked else " without a byte order mark")
        return NotText(f"{file.name} {about}: {sign}.\n{encoding_advice(file, 'utf-16' if is_marked else guess)}")
    size = nuls = controls = 0
    with contents(file) as chunks:
        for chunk in chunks:
            size, nuls = size + len(chunk), nuls + chunk.count(0)
            controls += len(chunk) - len(chunk.translate(None, CONTROLS))
    with contents(file) as chunks:
        failed, _ = failures(chunks, encoding)
    if max(controls - nuls, failed) > (size - nuls) * _FEW:
        return binary(file.name, sign)
    more = f", the first of {nuls:,}" if nuls > 1 else ""
    command = f"tr -d '\\0' < {shlex.quote(file.name)} > text.txt" if can_convert(file) else "tr -d '\\0'"
    return NotText(f"{file.name} looks binary: {sign}{more}.\nIf the rest of it is text, remove them: {command}")


def unmarked_utf16(sample: bytes) -> str | None:
    """The order of bytes in which a sample with NULs is UTF-16, if it is: of ASCII, every second byte is 0."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    encoding, nuls = ("utf-16-le", odd) if odd > even else ("utf-16-be", even)
    text = sample.decode(encoding, "replace")
    strange = sum(char == "\ufffd" or not (char.isprintable() or char.isspace()) for char in text)
    return encoding if nuls > len(text) * _FEW and max(strange, min(even, odd)) <= len(text) * _FEW else None


def binary(name: str, sign: str) -> NotText:
    return NotText(
        f"{name} looks binary: {sign}.\n"
        "Give plain text, .jsonl, .json or .parquet; each may be compressed (.gz, .bz2, .xz, .zst)."
    )
