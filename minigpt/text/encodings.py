"""Which encoding a text is in: names that can be given, byte order marks, and a guess by frequent letters."""

import codecs
import re
from collections.abc import Iterable

from minigpt.errors import ConfigError, brief, escaped, named

# Codecs that Python keeps for domain names, mail and its own source; their text may hold lone surrogates.
NOT_FOR_FILES = ("idna", "punycode", "utf-7", "unicode-escape", "raw-unicode-escape")
ENCODINGS = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),  # before utf-16: FF FE 00 00 begins with FF FE
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ("utf-8", b""),
)
FALLBACK = "latin-1"  # which accepts any bytes
MARKING = "minigpt-marking"  # an error handler of codecs, see `mark_errors`
MARKED = re.compile("[\udc00-\udfff]")

_WESTERN = "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœÀÁÂÄÅÆÇÈÉÊËÎÓÔÖØÙÚÜŒ«»¡¿°£€“”‘’„–—…•"
_CENTRAL = "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽőűöüŐŰÖÜâăîşţ«»“”‘’„–—…"
_CYRILLIC, _KANA = "оеаинтсрвлкм", "のにはをたがでてとしれさいるなっりんかま"
_KOREAN = "이다는의가을에고하지은로도기한를들어리서자아그나사인시해대여게만일보정"
_SIMPLIFIED, _TRADITIONAL = "的一是不了人我在有他这中大来上国们到", "的一是不了人我在有他這中大來上國們到"
# Encodings, the frequent letters of their languages, and the share that these are of a text's letters beyond ASCII.
_LATIN = (
    ("latin-1", _WESTERN, 1.0),
    ("cp1252", _WESTERN, 1.0),
    ("cp1250", _CENTRAL, 1.0),
    ("iso8859-2", _CENTRAL, 1.0),
    ("macintosh", _WESTERN, 1.0),
    ("cp850", _WESTERN, 1.0),
)
_OTHERS = (
    ("cp1251", _CYRILLIC, 0.7),
    ("koi8-r", _CYRILLIC, 0.7),
    ("cp866", _CYRILLIC, 0.7),
    ("iso8859-5", _CYRILLIC, 0.7),
    ("cp1253", "αοιετσνηρςκπ", 0.7),
    ("cp1255", "יוהלאתרמבשנםכד", 0.8),
    ("cp1256", "ايلمنوترةب", 0.7),
    ("cp874", "านรอกเงมยล่", 0.55),
    ("shift_jis", _KANA, 0.35),
    ("euc-jp", _KANA, 0.35),
    ("euc-kr", _KOREAN, 0.45),
    ("gb18030", _SIMPLIFIED, 0.18),
    ("big5", _TRADITIONAL, 0.18),
)
_LIKELY = 0.5  # of that share


def check_encoding(encoding: str) -> None:
    """Raise ConfigError unless `encoding` names a text encoding that Python knows."""
    try:
        "a".encode(encoding)  # codecs.lookup would also take zip and hex
        known = codecs.lookup(encoding).name not in NOT_FOR_FILES
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ConfigError(
            f"{named('encoding', brief(escaped(encoding)))} is not an encoding.\nTry utf-8, utf-16, latin-1 or cp1252."
        )


def guess_by_letters(sample: bytes) -> str:
    """The encoding of bytes, not UTF-8, in which the letters beyond ASCII are most often frequent ones; or FALLBACK.

    In Latin scripts no more than two such letters stand together, in the others they are whole words.
    """
    beyond = re.findall(rb"[\x80-\xff]+", sample)
    in_words = sum(len(run) for run in beyond if len(run) > 2)
    found = _best(sample, _OTHERS) if 2 * in_words > sum(map(len, beyond)) else None
    return found or _best(sample, _LATIN) or FALLBACK


def _best(sample: bytes, candidates: Iterable[tuple[str, str, float]]) -> str | None:
    best, found = _LIKELY, None
    for encoding, letters, usual in candidates:
        text = sample.decode(encoding, "replace")
        beyond = [char for char in text if char > "\x7f"]
        score = sum(char in letters for char in beyond) / (usual * max(1, len(beyond)))
        if score > best:
            best, found = score, encoding
    return found


def mark_errors() -> str:
    """Makes MARKING known as an error handler, and returns it: each sequence of N undecodable bytes becomes the lone
    surrogate U+DC00 + N, which no text has; Python's own handlers do not tell how many bytes there were.
    """
    codecs.register_error(MARKING, _mark)
    return MARKING


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return chr(0xDC00 + min(error.end - error.start, 0x3FF)), error.end


def marked_bytes(text: str) -> int:
    """The number of undecodable bytes in a `text` decoded with MARKING."""
    return 0 if text.isascii() else sum(ord(mark[0]) - 0xDC00 for mark in MARKED.finditer(text))


def unmarked(text: str, instead: str) -> str:
    """`text` with `instead` in place of each undecodable sequence."""
    return MARKED.sub(instead, text)


def failures(chunks: Iterable[bytes], encoding: str) -> tuple[int, int]:
    """How many bytes of a text are not of `encoding`, and how many of its characters beyond ASCII are."""
    if codecs.lookup(encoding).name == "utf-8":
        return _utf8_failures(chunks)
    failed = decoded = 0
    for text in codecs.iterdecode(chunks, encoding, mark_errors()):
        failed += marked_bytes(text)
        decoded += _beyond_ascii(unmarked(text, ""))
    return failed, decoded


def _utf8_failures(chunks: Iterable[bytes]) -> tuple[int, int]:
    """`failures` without a call for each: whole texts in other encodings are judged by it."""
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    failed = decoded = 0
    for chunk in chunks:
        text = decoder.decode(chunk)
        failed += len(chunk) - len(text.encode())
        decoded += _beyond_ascii(text)
    return failed, decoded  # a character that is cut off has failed too


def _beyond_ascii(text: str) -> int:
    return 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
