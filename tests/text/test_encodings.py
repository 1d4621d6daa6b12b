"""Bytes that are not of the encoding: what is advised, by how much of the text fails, and what replace and skip do."""

import bz2
import codecs
import encodings
import gzip
import io
import lzma
import pkgutil
import random
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from minigpt.errors import ConfigError, CorpusError
from minigpt.settings import TextFormat
from minigpt.text import sources
from minigpt.text.corpus import Corpus, read_corpus
from minigpt.text.encodings import guess_by_letters
from minigpt.text.formats import read_text

RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
CHINESE = "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。\n"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.\n"
SKIP_OR_REPLACE = "encoding_errors=skip leaves such bytes out, encoding_errors=replace puts U+FFFD in their place."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in its own folder, so that names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=[1 << 18, 3], ids=["at once", "in chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_CHUNK", request.param)


def put(path: str, data: bytes) -> str:
    Path(path).write_bytes(data)
    return path


def message(path: str, **how: str) -> str:
    with pytest.raises((CorpusError, ConfigError)) as caught:
        read_corpus([path], TextFormat(**how))
    told = str(caught.value)
    del caught  # whose traceback holds the file that was being read
    return told


def text_of(corpus: Corpus) -> str:
    return "".join(block.text for block in corpus.blocks())


# --- what is advised


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("text", [RUSSIAN, CHINESE, GREEK, "déjà vu, naïve café\n"])
def test_one_stray_byte_is_no_reason_for_another_encoding(text: str) -> None:
    before = (text * 2).encode()
    told = message(put("a.txt", before + b"\xff" + text.encode()))
    assert told == (
        f"a.txt is not UTF-8: byte 0xff at offset {len(before):,} (line 3).\nThe rest of it is UTF-8: {SKIP_OR_REPLACE}"
    )


def test_the_bytes_that_fail_are_counted_over_the_whole_file() -> None:
    told = message(put("a.txt", (RUSSIAN.encode() + b"\x80\x81") * 5_000))
    offset = len(RUSSIAN.encode())
    assert told.startswith(f"a.txt is not UTF-8: byte 0x80 at offset {offset} (line 2), the first of 10,000 that fail.")
    assert told.endswith(SKIP_OR_REPLACE)


@pytest.mark.usefixtures("chunk")
def test_a_text_in_two_encodings_is_told_so() -> None:
    half = message(put("a.txt", (RUSSIAN * 3).encode() + (RUSSIAN * 2).encode("cp1251")))
    assert half.endswith(
        f"The rest of it is UTF-8. Encodings are mixed, so convert one of them first; {SKIP_OR_REPLACE}"
    )
    most = message(put("a.txt", RUSSIAN.encode() + (RUSSIAN * 2).encode("cp1251")))
    assert "Try encoding=cp1251, which reads “Все счастливые с”" in most


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        ("Садок вишневий коло хати, хрущі над вишнями гудуть, плугатарі з плугами йдуть", "cp1251"),
        (GREEK, "cp1253"),
        ("כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.", "cp1255"),
        ("يولد جميع الناس أحرارا متساوين في الكرامة والحقوق", "cp1256"),
        ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ", "cp874"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "shift_jis"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "euc-jp"),
        ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.", "euc-kr"),
        (CHINESE, "gb18030"),
        ("人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。", "big5"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren, größer, süß.", "latin-1"),
        ("été", "latin-1"),
        ("I don’t know “that” — he said…", "cp1252"),
        ("Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw", "cp1250"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren, größer, süß.", "cp850"),
    ],
)
def test_a_text_in_another_encoding_is_told_which(text: str, encoding: str) -> None:
    assert guess_by_letters(text.encode(encoding)) == encoding
    told = message(put("a.txt", b"2 + 2 = 4\n" * 9 + text.encode(encoding)))
    assert f"Try encoding={encoding}, which reads “" in told
    assert told.split("“")[1].split("”")[0][:5] in text
    assert f"iconv -f {encoding.replace('latin-1', 'latin1')} -t utf8 a.txt" in told
    assert text_of(read_corpus(["a.txt"], TextFormat(encoding=encoding))).endswith(text)


def test_a_prompt_with_a_stray_byte() -> None:
    with pytest.raises(CorpusError) as caught:
        read_text(put("a.txt", RUSSIAN.encode() + b"\xff"))
    assert str(caught.value).endswith("Leave out what fails: iconv -c -f utf-8 -t utf-8")
    with pytest.raises(CorpusError) as caught:
        read_text(put("a.txt", RUSSIAN.encode("cp1251")))
    assert str(caught.value).endswith("Convert it: iconv -f cp1251 -t utf8")
    with pytest.raises(CorpusError) as caught:
        read_text(put("a.txt", ("café au lait\n" * 9).encode("utf-16-le")))
    assert str(caught.value).endswith("Convert it: iconv -f utf16le -t utf8")
    with pytest.raises(CorpusError) as caught:
        read_text(put("a.txt", bytes(range(256))))
    assert str(caught.value).endswith("It looks binary: it contains NUL bytes. Give plain text.")


# --- replace and skip

DAMAGED = b"\xff" + RUSSIAN.encode() * 2 + b"\xf0\x9f\x98 cut\r\n\xed\xa0\x80" + CHINESE.encode() + b"\xe4\xba"
PACKED = {".txt": bytes, ".txt.gz": gzip.compress, ".txt.bz2": bz2.compress, ".txt.xz": lzma.compress}


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize(("errors", "handler"), [("replace", "replace"), ("skip", "ignore")])
@pytest.mark.parametrize("suffix", PACKED)
def test_undecodable_bytes_are_replaced_or_skipped_as_python_does(suffix: str, errors: str, handler: str) -> None:
    put(f"a{suffix}", PACKED[suffix](DAMAGED))
    corpus = read_corpus([f"a{suffix}"], TextFormat(encoding_errors=errors))
    assert text_of(corpus) == DAMAGED.decode("utf-8", handler).replace("\r\n", "\n")
    done = "replaced by U+FFFD" if errors == "replace" else "left out"
    assert corpus.notes == (f"a{suffix}: 9 bytes that are not UTF-8 were {done}.",)


def test_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xffcd")))
    corpus = read_corpus(["-"], TextFormat(encoding_errors="skip"))
    assert (text_of(corpus), corpus.notes) == ("abcd", ("standard input: 1 byte that is not UTF-8 was left out.",))


def test_lines_of_json_and_parquet_too() -> None:
    how = TextFormat(encoding_errors="replace")
    assert text_of(read_corpus([put("a.jsonl", b'{"text": "a\xffb"}')], how)) == "a\ufffdb"
    assert text_of(read_corpus([put("a.json", b'["a\xffb", "c"]')], how)) == "a\ufffdbc"
    damaged = pyarrow.Array.from_buffers(  # one string, "a\xffb", which pyarrow does not check
        pyarrow.string(), 1, [None, pyarrow.py_buffer(bytes([0, 0, 0, 0, 3, 0, 0, 0])), pyarrow.py_buffer(b"a\xffb")]
    )
    for column in ([b"a\xffb"], damaged):
        pyarrow.parquet.write_table(pyarrow.table({"text": column}), "a.parquet")
        corpus = read_corpus(["a.parquet"], how)
        assert text_of(corpus) == "a\ufffdb"
        assert corpus.notes == ("a.parquet: 1 byte that is not UTF-8 was replaced by U+FFFD.",)


def test_the_rest_of_another_encoding_can_be_kept_too() -> None:
    told = message(put("a.txt", (RUSSIAN * 3).encode("utf-16") + b"\x00\xd8"), encoding="utf-16")
    assert told.endswith(f"The text is damaged there, or cut inside a character: {SKIP_OR_REPLACE}")
    assert message("a.txt").endswith("Try encoding=utf-16, or convert it: iconv -f utf16 -t utf8 a.txt")
    put("b.txt", ("日本語の文章です。\n" * 50).encode("cp932") + b"\x81\n")
    assert message("b.txt", encoding="cp932").endswith(SKIP_OR_REPLACE)
    assert text_of(read_corpus(["b.txt"], TextFormat(encoding="cp932", encoding_errors="skip"))).endswith("。\n\n")


def test_several_files_are_one_note() -> None:
    corpus = read_corpus([put("a.txt", b"ab\xff"), put("b.txt", b"\xffcd")], TextFormat(encoding_errors="skip"))
    assert corpus.notes == ("2 files, such as a.txt: 2 bytes that are not UTF-8 were left out.",)
    assert read_corpus([put("a.txt", b"ab \xef\xbf\xbd")], TextFormat(encoding_errors="replace")).notes == ()


CODECS = sorted(module.name for module in pkgutil.iter_modules(encodings.__path__))
ANY_BYTES = (b"d\xe9j\xe0 vu\r\n", "déjà 語\n".encode(), b"odd", b"\xff" * 5, b"\x1b$B!\x7f\xff", bytes(range(1, 256)))


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("encoding", CODECS)
def test_every_codec_of_python_replaces_and_skips(encoding: str) -> None:
    for data in ANY_BYTES:
        for errors, handler in (("replace", "replace"), ("skip", "ignore")):
            with suppress(CorpusError, ConfigError):
                corpus = read_corpus([put("a.txt", data)], TextFormat(encoding=encoding, encoding_errors=errors))
                decoder = codecs.getincrementaldecoder(encoding)(handler)
                whole = decoder.decode(data, True).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
                assert text_of(corpus) == whole


def test_memory_stays_flat_however_many_bytes_fail(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes((b"a line of a text " * 6 + b"\xff\n") * 300_000)
    tracemalloc.start()
    corpus = read_corpus(["a.txt"], TextFormat(encoding_errors="replace"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.characters == 104 * 300_000
    assert corpus.notes == ("a.txt: 300,000 bytes that are not UTF-8 were replaced by U+FFFD.",)
    assert most < 15_000_000


# --- NUL bytes


TEXTS = ["Once upon a time there was a fox.\n" * 50, RUSSIAN * 20]


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told(text: str, encoding: str) -> None:
    told = message(put("a.txt", text.encode(encoding)))
    offset = text.encode(encoding).index(0)
    assert told.startswith(f"a.txt looks like UTF-16 without a byte order mark: NUL byte at offset {offset}.\n")
    assert f"Try encoding={encoding}, or convert it: iconv" in told
    assert text_of(read_corpus(["a.txt"], TextFormat(encoding=encoding))) == text


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_with_nuls_in_it_is_told_how_to_remove_them(text: str) -> None:
    data = text.encode() + b"\0\0" + text.encode() + b"\0"
    assert message(put("my notes.txt", data)) == (
        f"my notes.txt looks binary: NUL byte at offset {len(text.encode()):,}, the first of 3.\n"
        "If the rest of it is text, remove them: tr -d '\\0' < 'my notes.txt' > text.txt"
    )
    assert message(put("a.txt.gz", gzip.compress(data))).endswith("remove them: tr -d '\\0'")
    assert message(put("a.txt", text.encode() + b"\0" * 100_000)).endswith("tr -d '\\0' < a.txt > text.txt")


def test_what_is_binary_is_not_told_to_remove_them() -> None:
    for data in (random.Random(1).randbytes(10_000), bytes(range(256)) * 9, b"\x7fELF\2\1\1" + bytes(range(40)) * 20):
        assert message(put("a.bin", data)).endswith("each may be compressed (.gz, .bz2, .xz, .zst).")
