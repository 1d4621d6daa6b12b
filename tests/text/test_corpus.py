"""What each kind of argument is read as, and the whole message for each that cannot be read."""

import bz2
import codecs
import encodings
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import pkgutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

from minigpt.errors import ConfigError, CorpusError, PackageError
from minigpt.settings import TextFormat
from minigpt.text import compression, formats, json_texts, sources
from minigpt.text import corpus as corpus_module
from minigpt.text import encodings as text_encodings
from minigpt.text.corpus import Corpus, folder_name, read_corpus, without_repeats

TEXT = b"Once upon a time\nthere was a fox.\n"
TEXT_ZST = bytes.fromhex("28b52ffd20221101004f6e63652075706f6e20612074696d650a746865726520776173206120666f782e0a")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in its own folder, so that names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True, params=[1 << 18, 3], ids=["at once", "in chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a chunk of a file ends must make no difference, to what is read nor to what is told."""
    monkeypatch.setattr(sources, "_CHUNK", request.param)


def put(path: str, data: bytes | str = TEXT) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def put_parquet(path: str, **columns: Any) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def names(corpus: Corpus) -> list[str]:
    return [source.name for source in corpus.sources]


def texts(corpus: Corpus) -> tuple[str, ...]:
    """The documents, whole."""
    documents: list[str] = []
    for block in corpus.blocks():
        if block.begins:
            documents.append("")
        documents[-1] += block.text
    return tuple(documents)


def message(*specs: str, **how: Any) -> str:
    with pytest.raises((CorpusError, ConfigError, PackageError)) as caught:
        read_corpus(specs, TextFormat(**how))
    return str(caught.value)


def raising(error: Exception) -> Callable[..., Any]:
    def stand_in(*_: object, **__: object) -> Any:
        raise error

    return stand_in


def give_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# --- files


def test_a_file_is_one_document_with_its_hash_and_size() -> None:
    corpus = read_corpus([put("notes.txt")])
    assert corpus.name == "notes"
    assert texts(corpus) == (TEXT.decode(),)
    assert corpus.skipped == ()
    (source,) = corpus.sources
    assert (source.name, source.size, source.documents) == ("notes.txt", len(TEXT), 1)
    assert source.sha256 == hashlib.sha256(TEXT).hexdigest()


def test_characters_and_bytes_are_counted_over_all_documents() -> None:
    corpus = read_corpus([put("a.txt", "é€"), put("b.txt", "ab")])
    assert (corpus.characters, corpus.utf8_bytes) == (4, 7)


def test_the_mark_is_dropped_and_every_line_ends_in_a_newline() -> None:
    assert texts(read_corpus([put("dos.txt", b"\xef\xbb\xbfa\r\nb\rc\n")])) == ("a\nb\nc\n",)


def test_files_keep_the_order_in_which_they_are_given() -> None:
    assert names(read_corpus([put("b.txt"), put("a.txt")])) == ["b.txt", "a.txt"]


@pytest.mark.parametrize("again", ["notes.txt", "./notes.txt", "*.txt", ".", "link.txt", "file://{}/notes.txt"])
def test_a_file_reached_twice_is_read_once(folder: Path, again: str) -> None:
    put("notes.txt")
    os.symlink("notes.txt", "link.txt")
    assert names(read_corpus(["notes.txt", again.format(folder)])) == ["notes.txt"]


def test_two_files_with_the_same_text_are_two_documents() -> None:
    assert len(texts(read_corpus([put("a.txt"), put("b.txt")]))) == 2


def test_standard_input_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    give_standard_input(monkeypatch, TEXT)
    corpus = read_corpus(["-", "-"])
    assert (corpus.name, texts(corpus), names(corpus)) == ("stdin", (TEXT.decode(),), ["standard input"])


def test_a_pipe_with_a_name_is_read() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(TEXT,))
    writer.start()
    corpus = read_corpus(["pipe"])
    writer.join()
    assert texts(corpus) == (TEXT.decode(),)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("notes", "notes"),
        ("my notes (1)", "my-notes-1"),
        ("..hidden", "hidden"),
        ("-c", "c"),
        ("été", "été"),
        ("cafe\u0301", "café"),
        ("a/b\0\x1b", "a-b"),
        ("v1.2", "v1.2"),
        ("...", "corpus"),
        ("x" * 300, "x" * 60),
    ],
)
def test_the_name_suits_a_folder(label: str, name: str) -> None:
    assert folder_name(label) == name


# --- directories and globs


def test_a_directory_is_read_in_sorted_order_without_hidden_files() -> None:
    for path in ("texts/b.txt", "texts/a/z.md", "texts/.git/x", "texts/.hidden", "texts/c.txt"):
        put(path)
    corpus = read_corpus(["texts"])
    assert corpus.name == "texts"
    assert names(corpus) == ["texts/a/z.md", "texts/b.txt", "texts/c.txt"]


def test_a_directory_passes_over_what_is_not_text_and_says_so() -> None:
    put("texts/a.txt")
    put("texts/empty.txt", "")
    put("texts/photo.png", PNG)
    put("texts/noise", bytes(range(1, 256)) * 4)
    os.mkfifo("texts/pipe")
    os.symlink("nowhere", "texts/broken")
    corpus = read_corpus(["texts"])
    assert names(corpus) == ["texts/a.txt"]
    assert corpus.skipped == ("texts/noise", "texts/photo.png", "texts/broken", "texts/pipe")


def test_links_to_directories_are_not_followed() -> None:
    put("texts/a.txt")
    put("elsewhere/b.txt")
    os.symlink(".", "texts/loop")
    os.symlink("../elsewhere", "texts/away")
    corpus = read_corpus(["texts"])
    assert (names(corpus), corpus.skipped) == (["texts/a.txt"], ("texts/away", "texts/loop"))


def test_a_directory_that_is_named_may_be_a_link_or_the_current_one() -> None:
    put("texts/a.txt")
    os.symlink("texts", "link")
    assert names(read_corpus(["link"])) == ["link/a.txt"]
    assert read_corpus(["texts/.."]).name == Path.cwd().name


def test_text_in_another_encoding_is_an_error_in_a_directory_too() -> None:
    put("texts/a.txt")
    put("texts/b.txt", "déjà vu\n".encode("latin-1"))
    assert message("texts").startswith("texts/b.txt is not UTF-8: byte 0xe9 at offset 1 (line 1), the first of 2 that")


def test_a_directory_without_text_is_an_error() -> None:
    put("images/a.png", PNG)
    put("none/.hidden")
    assert message("images") == (
        "images contains no text. Files read, hidden ones aside: 1.\nGive a directory or file with text in it."
    )
    assert message("none").startswith("none contains no text. Files read, hidden ones aside: 0.")


def test_a_directory_that_may_not_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    put("texts/a.txt")
    monkeypatch.setattr(os, "scandir", raising(PermissionError(13, "Permission denied", "texts")))
    assert message("texts") == "texts cannot be read: Permission denied.\nTo see more: ls -ld texts"


def test_a_directory_whose_files_may_not_be_looked_at_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    put("texts/a.txt")
    monkeypatch.setattr(Path, "is_file", raising(PermissionError(13, "Permission denied")))
    assert message("texts").startswith("texts cannot be read: Permission denied.")


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("texts/*.txt", ["texts/a.txt"]),
        ("texts/**/*.txt", ["texts/a.txt", "texts/sub/b.txt"]),
        ("texts/**", ["texts/a.txt", "texts/sub/b.txt", "texts/sub/c.md"]),
        ("t*/sub", ["texts/sub/b.txt", "texts/sub/c.md"]),
        ("texts/[ab].txt", ["texts/a.txt"]),
        ("texts/.*/*.txt", ["texts/.hidden/d.txt"]),
    ],
)
def test_a_glob_finds_what_a_shell_would(folder: Path, glob: str, found: list[str]) -> None:
    for path in ("texts/a.txt", "texts/sub/b.txt", "texts/sub/c.md", "texts/.hidden/d.txt"):
        put(path)
    assert names(read_corpus([glob])) == found
    assert names(read_corpus([f"{folder}/{glob}"])) == [f"{folder}/{name}" for name in found]


def test_a_glob_is_called_after_the_folder_it_looks_in() -> None:
    put("texts/a.txt")
    assert read_corpus(["texts/**/*.txt"]).name == "texts"


def test_a_glob_passes_over_what_is_not_text_and_links_to_directories() -> None:
    put("a.txt")
    put("b.png", PNG)
    os.symlink(".", "loop")
    corpus = read_corpus(["*"])
    assert (names(corpus), corpus.skipped) == (["a.txt"], ("b.png", "loop"))


def test_what_is_no_glob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", raising(ValueError("'**' can only be an entire path component")))
    assert message("**.txt") == (
        "**.txt is not a glob: '**' can only be an entire path component.\nFor example: 'texts/**/*.txt'"
    )


def test_a_file_whose_name_has_brackets_is_that_file() -> None:
    put("notes[1].txt", "first")
    put("notes1.txt", "second")
    assert texts(read_corpus(["notes[1].txt"])) == ("first",)


def test_a_glob_without_a_match_is_an_error() -> None:
    assert message("*.md") == (
        "*.md matches no file.\nFor the .txt files of a directory and all below it: 'texts/**/*.txt'"
    )


# --- what is missing, unreadable, empty, or binary


def test_a_missing_file() -> None:
    assert message("notes.txt") == (
        "notes.txt does not exist.\nGive a text file, a directory, a glob, a URL, or - for standard input."
    )
    assert message("").startswith("'' does not exist.")


def test_names_in_messages_cannot_steer_the_terminal() -> None:
    assert message("a\x1b[2J\u202e\n\udcff.txt").startswith(r"a\x1b[2J\u202e\n\udcff.txt matches no file.")
    assert read_corpus([put("a\x1bb.txt")]).sources[0].name == r"a\x1bb.txt"


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    put("my notes.txt")
    monkeypatch.setattr(sources, "open", raising(PermissionError(13, "Permission denied")), raising=False)
    assert message("my notes.txt") == (
        "my notes.txt cannot be read: Permission denied.\nTo see more: ls -ld 'my notes.txt'"
    )


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert message("-") == "standard input is closed.\nPipe a text in: cat notes.txt | minigpt train -"


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"", "is empty"), (b" \n\t\r\n", "contains only white space"), (b"\xef\xbb\xbf", "contains only white space")],
)
def test_a_file_without_text(data: bytes, what: str) -> None:
    assert message(put("a.txt", data)) == f"a.txt {what}.\nGive a file with text."


def test_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    give_standard_input(monkeypatch, b"")
    assert message("-").startswith("standard input is empty.")


def test_a_binary_file() -> None:
    assert message(put("photo.png", PNG)) == (
        "photo.png looks binary: NUL byte at offset 8.\n"
        "Give plain text, .jsonl, .json or .parquet; each may be compressed (.gz, .bz2, .xz, .zst)."
    )


def test_a_binary_file_without_nul() -> None:
    assert "noise looks binary: 26 of its 255 bytes are control" in message(put("noise", bytes(range(1, 256))))


def test_a_corpus_of_one_character() -> None:
    assert message(put("a.txt", "aaa"), put("b.txt", "a")) == (
        "a.txt and b.txt contain only one character, 'a': there is nothing to learn.\nGive a text with more in it."
    )
    assert message("a.txt").startswith("a.txt contains only one character, 'a'")
    assert message("a.txt", "b.txt", put("c.txt", "aa")).startswith("a.txt and 2 others contain only one character")
    assert read_corpus(["a.txt", put("c.txt", "b")]).characters == 4
    assert read_corpus(["a.txt"], to_learn=False).characters == 3


def test_each_source_has_its_blocks() -> None:
    long = "a word and another\n" * 30_000  # more than one block
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("one", "two", " ", "three"))
    corpus = read_corpus([put("a.txt", long), put("b.jsonl", lines), put("c.txt", "last")])
    read = {source.name: [tuple(block) for block in blocks] for source, blocks in corpus.by_source()}
    assert list(read) == ["a.txt", "b.jsonl", "c.txt"]
    assert len(read["a.txt"]) > 1
    assert "".join(text for text, _ in read["a.txt"]) == long
    assert [begins for _, begins in read["a.txt"]] == [True] + [False] * (len(read["a.txt"]) - 1)
    assert read["b.jsonl"] == [("one", True), ("two", True), ("three", True)]
    assert read["c.txt"] == [("last", True)]


def test_a_source_that_grows_meanwhile_is_told() -> None:
    corpus = read_corpus([put("a.jsonl", '{"text": "one"}\n'), put("b.txt", "two")])
    put("a.jsonl", '{"text": "one"}\n' * 5)
    with pytest.raises(CorpusError, match="has changed while it was being read"):
        deque((deque(blocks) for _, blocks in corpus.by_source()), maxlen=0)


# --- a text that takes too long to read


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second goes by each time that somebody looks."""
    ticks = itertools.count()
    monkeypatch.setattr(corpus_module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


@pytest.mark.usefixtures("clock")
def test_in_a_given_time_the_beginning_is_read_and_read_again() -> None:
    text = "".join(f"line {number:09}\n" for number in range(100_000))
    put("a.txt.gz", gzip.compress(text.encode(), 1))
    put("b.txt", "never read")
    corpus = read_corpus(["a.txt.gz", "b.txt"], seconds=2.0)
    assert not corpus.whole
    assert names(corpus) == ["a.txt.gz"]
    (read,) = texts(corpus)
    assert text.startswith(read)
    assert 0 < corpus.characters == len(read) < len(text)
    assert texts(corpus) == (read,)


@pytest.mark.usefixtures("clock")
def test_one_block_is_read_in_no_time_at_all_and_what_has_changed_is_told() -> None:
    corpus = read_corpus([put("a.txt", "some words\n" * 100_000), put("b.txt")], seconds=0.0)
    assert 0 < corpus.characters < 1_100_000
    put("a.txt", "other word\n" * 100_000)
    with pytest.raises(CorpusError, match="has changed"):
        texts(corpus)


def test_with_time_enough_all_of_it_is_read() -> None:
    assert read_corpus([put("a.txt"), put("b.txt")], seconds=1e6).whole
    assert read_corpus([put("a.txt"), put("b.txt")]).whole


# --- encodings


def test_the_error_for_another_encoding_names_byte_offset_and_line() -> None:
    put("notes.txt", b"x" * 34 + b"\r\n" + (b"y" * 33 + b"\r\n") * 86 + b"z" * 25 + b"\xff more\n")
    assert message("notes.txt") == (
        "notes.txt is not UTF-8: byte 0xff at offset 3,071 (line 88).\n"
        f"Try encoding=latin-1, which reads “{'z' * 16}ÿ more”, or convert it: iconv -f latin1 -t utf8 notes.txt"
    )


def test_the_advice_quotes_the_name_for_the_shell() -> None:
    assert message(put("my notes.txt", b"\xe9t\xe9\n")).endswith("iconv -f latin1 -t utf8 'my notes.txt'")


def test_what_iconv_cannot_open_is_not_offered_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "is not UTF-8: byte 0xe9 at offset 0 (line 1), the first of 2 that fail.\n"
    told += "Try encoding=latin-1, which reads “été”."
    give_standard_input(monkeypatch, b"\xe9t\xe9\n")
    assert message("-") == f"standard input {told}"
    assert message(put("notes.txt.gz", gzip.compress(b"\xe9t\xe9\n"))) == f"notes.txt.gz {told}"


@pytest.mark.parametrize("data", [b"\xff" * 9, b"text\0" * 9, b"caf\xe9 " * 9])
def test_a_file_that_cannot_be_read_is_closed_at_once(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def watched(*arguments: Any) -> Any:
        opened.append(open(*arguments))  # noqa: SIM115 - what is tested closes it
        return opened[-1]

    monkeypatch.setattr(sources, "open", watched, raising=False)
    with pytest.raises(CorpusError) as caught:  # whose traceback still holds everything that was going on
        read_corpus([put("notes.txt", data)])
    assert caught.value.__traceback__
    assert opened
    assert all(stream.closed for stream in opened)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_of_another_encoding_is_recognised(encoding: str) -> None:
    put("notes.txt", "text\n".encode(encoding))
    assert f"Try encoding={encoding}, or convert it" in message("notes.txt")
    assert texts(read_corpus(["notes.txt"], TextFormat(encoding=encoding))) == ("text\n",)


def test_a_text_cut_inside_its_last_character() -> None:
    assert message(put("cut.txt", "naïve\n10 €".encode()[:-1])) == (
        "cut.txt is not UTF-8: byte 0xe2 at offset 10 (line 2), the first of 2 that fail.\n"
        "The text is damaged there, or cut inside a character: encoding_errors=skip leaves such bytes out, "
        "encoding_errors=replace puts U+FFFD in their place."
    )


def test_another_encoding_can_be_named() -> None:
    assert texts(read_corpus([put("notes.txt", b"d\xe9j\xe0")], TextFormat(encoding="latin-1"))) == ("déjà",)


def test_utf8_is_advised_where_the_named_encoding_is_wrong() -> None:
    assert message(put("notes.txt", "déjà"), encoding="ascii") == (
        "notes.txt is not ASCII: byte 0xc3 at offset 1 (line 1), the first of 4 that fail.\nTry encoding=utf-8."
    )


def test_a_nul_in_utf16_is_found_where_it_is() -> None:
    assert "NUL byte at offset 6." in message(put("a.txt", "Āa\0b".encode("utf-16")), encoding="utf-16")


CODECS = sorted(module.name for module in pkgutil.iter_modules(encodings.__path__))
ANY_BYTES = (b"d\xe9j\xe0 vu\r\n", "déjà 語\n".encode(), b"plain\n", b"a\0b", b"odd", b"\xff" * 5, bytes(range(256)))


@pytest.mark.parametrize("encoding", CODECS)
def test_every_codec_of_python_reads_its_own_text_and_tells_of_any_other(encoding: str) -> None:
    for data in ANY_BYTES:
        with suppress(CorpusError, ConfigError):
            read_corpus([put("a.txt", data)], TextFormat(encoding=encoding))
    text = "plain text, one two\n" * 5
    try:
        put("own.txt", text.encode(encoding))
        codecs.lookup(encoding)
    except Exception:  # no encoding, one that is no text's, or one of another system
        assert "is not an encoding" in message("own.txt", encoding=encoding)
        return
    if codecs.lookup(encoding).name in text_encodings.NOT_FOR_FILES:
        assert "is not an encoding" in message("own.txt", encoding=encoding)
    else:
        assert texts(read_corpus(["own.txt"], TextFormat(encoding=encoding))) == (text,)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_a_missing_mark_is_told_with_the_order_that_fits(encoding: str, order: str) -> None:
    put("notes.txt", "some text\n".encode(f"{encoding}-{order}"))
    told = message("notes.txt", encoding=encoding)
    assert told.startswith(f"notes.txt does not begin with the byte order mark of {encoding.upper()}.\n")
    assert f"Try encoding={encoding}-{order}, or convert it: iconv" in told
    assert texts(read_corpus(["notes.txt"], TextFormat(encoding=f"{encoding}-{order}"))) == ("some text\n",)


def test_a_text_that_is_no_utf16_at_all_is_told_what_it_is() -> None:
    told = message(put("notes.txt", b"plain text\n"), encoding="utf-16")
    assert told == "notes.txt does not begin with the byte order mark of UTF-16.\nTry encoding=utf-8."


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "idna", "punycode", "utf-7", "undefined", "", "\0"])
def test_what_is_no_encoding(encoding: str) -> None:
    assert message(put("a.txt"), encoding=encoding).endswith(
        " is not an encoding.\nTry utf-8, utf-16, latin-1 or cp1252."
    )


# --- compression


COMPRESSED = {
    ".gz": gzip.compress(TEXT),
    ".bz2": bz2.compress(TEXT),
    ".xz": lzma.compress(TEXT),
    ".zst": TEXT_ZST,
}


@pytest.mark.parametrize(("suffix", "data"), COMPRESSED.items(), ids=COMPRESSED)
class TestCompressed:
    def test_is_read_and_hashed_as_stored(self, suffix: str, data: bytes) -> None:
        corpus = read_corpus([put(f"fox.txt{suffix.upper()}", data)])
        assert (corpus.name, texts(corpus)) == ("fox", (TEXT.decode(),))
        assert corpus.sources[0].sha256 == hashlib.sha256(data).hexdigest()
        assert corpus.sources[0].size == len(data)

    def test_may_have_several_parts(self, suffix: str, data: bytes) -> None:
        assert texts(read_corpus([put(f"fox{suffix}", data + data)])) == (TEXT.decode() * 2,)

    @pytest.mark.parametrize("keep", [6, -3])
    def test_truncated(self, suffix: str, data: bytes, keep: int) -> None:
        told = message(put(f"fox{suffix}", data[:keep]))
        assert told.startswith(f"fox{suffix} is damaged or not a {suffix} file: ")
        assert told.endswith(".\nFetch or compress it again.")

    def test_not_that_at_all(self, suffix: str, data: bytes) -> None:
        assert f"damaged or not a {suffix} file" in message(put(f"fox{suffix}", TEXT))


def test_damage_inside() -> None:
    data = gzip.compress(TEXT * 50)
    assert "damaged" in message(put("fox.gz", data[:12] + b"\xff" * 8 + data[20:]))


def test_blanks_without_an_end_are_not_held() -> None:
    taken = 0

    def chunks() -> Iterator[str]:
        nonlocal taken
        for taken in range(1000):  # noqa: B007 - counted
            yield " \n" * 100_000

    assert next(formats.not_blank(chunks())).isspace()
    assert taken < 10


def test_a_line_of_json_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_texts, "_LONGEST", 100)
    put("a.jsonl", '{"text": "a"}\n' + json.dumps({"text": "b" * 300}))
    assert message("a.jsonl").startswith("a.jsonl line 2 has more than 100 characters, which are held in memory.\n")


def test_lines_of_json_may_be_compressed() -> None:
    corpus = read_corpus([put("tiny.jsonl.gz", gzip.compress(b'{"text": "a fox"}\n'))])
    assert (corpus.name, texts(corpus)) == ("tiny", ("a fox",))


def test_zst_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compression.DECOMPRESSORS, ".zst", raising(ImportError()))
    assert message(put("fox.zst", TEXT_ZST)) == (
        "fox.zst cannot be opened without the package zstandard, not installed here.\n"
        "From your clone of minigpt: pip install -e '.[zstd]'"
    )


# --- lines of JSON


def test_each_line_of_json_is_a_document() -> None:
    put("tiny.jsonl", '\ufeff{"text": "one\\r\\ntwo"}\r\n\n{"text": "déjà\u2028vu", "id": 1}\n{"text": " "}\n')
    corpus = read_corpus(["tiny.jsonl"])
    assert texts(corpus) == ("one\ntwo", "déjà\u2028vu")
    assert corpus.sources[0].documents == 2


def test_the_field_can_be_named() -> None:
    assert texts(read_corpus([put("a.jsonl", '{"story": "ab"}')], TextFormat(field="story"))) == ("ab",)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{'text': 1}", "is not valid JSON: Expecting property name enclosed in double quotes."),
        ('{"text": "cut', "is not valid JSON: Unterminated string starting at."),
        ("[" * 200_000, "is not valid JSON: "),
        ("1" * 5_000, "is not valid JSON: "),
        ('["text"]', "is a list, not a JSON object."),
        ("12.5", "is a number, not a JSON object."),
    ],
)
def test_a_line_that_is_no_object(line: str, told: str) -> None:
    text = message(put("a.jsonl", '{"text": "ab"}\n\n' + line))
    assert text.startswith(f"a.jsonl line 3 {told}")
    assert text.endswith('\nEach line must contain one object, such as {"text": "Once upon a time"}')


def test_a_line_without_the_field_names_those_there_are() -> None:
    assert message(put("a.jsonl", '{"id": 1, "a story": "ab"}')) == (
        'a.jsonl line 1 has no field "text". It has the fields "id", "a story".\nTry field=\'a story\''
    )
    assert message(put("b.jsonl", "{}")) == 'b.jsonl line 1 has no field "text". It has no fields.'


def test_many_fields_are_not_all_listed() -> None:
    record = json.dumps({f"f{index}": index for index in range(1_000)})
    assert message(put("a.jsonl", record)).endswith('"f19" and 980 more.')


@pytest.mark.parametrize(
    ("value", "kind"),
    [("1", "a number"), ("true", "true or false"), ("[]", "a list"), ("{}", "an object")],
)
def test_a_field_that_is_no_string(value: str, kind: str) -> None:
    told = message(put("a.jsonl", f'{{"text": {value}}}'))
    assert told == f'a.jsonl line 1: field "text" is {kind}, not a string. It has the fields "text".'


def test_a_line_with_null_has_no_text() -> None:
    corpus = read_corpus([put("a.jsonl", '{"text": "ab"}\n{"text": null}\n{"text": "cd"}\n')])
    assert (texts(corpus), corpus.sources[0].documents) == (("ab", "cd"), 2)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    assert texts(read_corpus([put("a.jsonl", r'{"text": "\ud83e\udd8a fox"}')])) == ("🦊 fox",)
    assert message(put("b.jsonl", r'{"text": "a \ud83e fox"}')) == (
        'b.jsonl line 1: field "text" contains \\ud83e, half of a surrogate pair.\nWrite both halves, or \\ufffd.'
    )


# --- parquet


def test_each_row_of_parquet_is_a_document() -> None:
    corpus = read_corpus([put_parquet("tiny.parquet", id=[1, 2, 3], text=["one\r\n", None, "two"])])
    assert (corpus.name, texts(corpus)) == ("tiny", ("one\n", "two"))


def test_a_column_may_be_a_dictionary() -> None:
    column = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    assert texts(read_corpus([put_parquet("tiny.parquet", story=column)], TextFormat(field="story"))) == ("a", "b", "a")


def test_parquet_without_the_column_names_those_there_are() -> None:
    assert message(put_parquet("tiny.parquet", id=[1], story=["ab"])) == (
        'tiny.parquet has no column "text". It has the columns "id", "story".\nTry field=story'
    )


def test_a_column_that_is_not_text() -> None:
    assert message(put_parquet("tiny.parquet", text=[1, 2])) == (
        'tiny.parquet: column "text" is int64, not text. It has the columns "text".'
    )


@pytest.mark.parametrize("rows", [[["ab"], ["cd", "ef"]], [{"text": "ab"}, {"text": "cd"}]])
def test_a_column_of_lists_or_structs_is_not_advised(rows: list[Any]) -> None:
    told = message(put_parquet("tiny.parquet", text=rows, story=["one", "two"]))
    assert told.startswith('tiny.parquet: column "text" is ')
    assert told.endswith('not text. It has the columns "text", "story".\nTry field=story')
    assert "Try" not in message(put_parquet("tiny.parquet", text=rows))
    assert "Try" not in message(put_parquet("tiny.parquet", other=rows))


def test_utf8_in_a_binary_column_is_text() -> None:
    assert texts(read_corpus([put_parquet("tiny.parquet", text=["déjà".encode(), None, b"vu"])])) == ("déjà", "vu")
    told = 'tiny.parquet: column "text" contains bytes that are not UTF-8 text.\n'
    assert message(put_parquet("tiny.parquet", text=["é\xff".encode() + b"\xff"])).startswith(f"{told}encoding_errors=")
    text = ["déjà vu".encode("latin-1")]
    assert message(put_parquet("tiny.parquet", text=text)) == f"{told}Try encoding=latin-1, which reads “déjà vu”."
    assert texts(read_corpus(["tiny.parquet"], TextFormat(encoding="latin-1"))) == ("déjà vu",)


def test_columns_of_every_kind_of_text_and_of_none() -> None:
    words, string = ["ab", None, "é"], pyarrow.string()
    kinds = [string, pyarrow.large_string(), pyarrow.string_view(), pyarrow.binary(), pyarrow.large_binary()]
    columns = [pyarrow.array([None if word is None else word.encode() for word in words]).cast(kind) for kind in kinds]
    columns += [column.dictionary_encode() for column in columns if "view" not in str(column.type)]
    for column in columns:
        corpus = read_corpus([put_parquet("tiny.parquet", text=column)])
        assert texts(corpus) == ("ab", "é")
        assert corpus.notes == ("tiny.parquet: 1 text is null and was skipped.",)
    values = [["ab"], ["cd"]]
    others = [
        pyarrow.array(values, pyarrow.large_list(string)),
        pyarrow.array(values, pyarrow.list_(string, 1)),
        pyarrow.array(values, pyarrow.list_(pyarrow.dictionary(pyarrow.int32(), string))),
        pyarrow.array([[("a", "b")], [("c", "d")]], pyarrow.map_(string, string)),
        pyarrow.array([{"text": {"text": "ab"}}, None]),
        pyarrow.nulls(2),
    ]
    for column in others:
        told = message(put_parquet("tiny.parquet", text=column))
        assert told.endswith(', not text. It has the columns "text".')


def test_damaged_parquet() -> None:
    whole = Path(put_parquet("tiny.parquet", text=["ab"])).read_bytes()
    for data in (whole[:-5], whole[:4] + b"\xff" * 30 + whole[34:], b""):
        told = message(put("tiny.parquet", data))
        assert told.startswith("tiny.parquet is damaged or not a .parquet file: ")


def test_parquet_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    put_parquet("tiny.parquet", text=["ab"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert message("tiny.parquet") == (
        "tiny.parquet cannot be opened without the package pyarrow, not installed here.\n"
        "From your clone of minigpt: pip install -e '.[parquet]'"
    )


# --- by URL


@pytest.fixture
def memory(folder: Path) -> Any:
    """fsspec's memory:// with a folder of this test's own name in it."""
    files = fsspec.filesystem("memory")
    for path, data in {"a.txt": TEXT, "sub/b.txt.gz": COMPRESSED[".gz"], "c.bin": PNG, ".git/d": TEXT}.items():
        files.pipe(f"/{folder.name}/{path}", data)
    yield f"memory://{folder.name}"
    files.rm(f"/{folder.name}", recursive=True)


def test_a_url_is_a_file(memory: str) -> None:
    corpus = read_corpus([f"{memory}/sub/b.txt.gz"])
    assert (corpus.name, texts(corpus), names(corpus)) == ("b", (TEXT.decode(),), [f"{memory}/sub/b.txt.gz"])


def test_a_url_is_a_directory(memory: str, folder: Path) -> None:
    corpus = read_corpus([memory])
    assert corpus.name == folder.name
    assert names(corpus) == [f"memory:///{folder.name}/a.txt", f"memory:///{folder.name}/sub/b.txt.gz"]
    assert corpus.skipped == (f"memory:///{folder.name}/c.bin",)


def test_a_url_is_a_glob(memory: str, folder: Path) -> None:
    corpus = read_corpus([f"{memory}/*.txt", f"{memory}/a.txt"])
    assert (corpus.name, names(corpus)) == (folder.name, [f"memory:///{folder.name}/a.txt"])
    assert message(f"{memory}/*.md").startswith(f"{memory}/*.md matches no file.")


def test_a_file_url_is_a_file_here(folder: Path) -> None:
    put("a.txt")
    assert names(read_corpus([f"file://{folder}/a.txt"])) == [f"{folder}/a.txt"]


def test_a_url_that_leads_nowhere(memory: str) -> None:
    assert message(f"{memory}/no.txt").startswith(f"{memory}/no.txt does not exist.")
    assert message("file:///no.txt").startswith("/no.txt does not exist.")


def test_an_unknown_protocol() -> None:
    assert message("nope://notes.txt") == (
        "nope://notes.txt cannot be opened: Protocol not known: nope.\n"
        "hf:// opens at once, https:// and s3:// with an extra, others with what fsspec asks for."
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "https://me:secret@example.com/a.txt?signature=1",
            "https://example.com/a.txt cannot be opened without aiohttp and requests, not installed here.\n"
            "From your clone of minigpt: pip install -e '.[https]'",
        ),
        (
            "s3://bucket/a.txt",
            "s3://bucket/a.txt cannot be opened without s3fs, not installed here.\n"
            "From your clone of minigpt: pip install -e '.[s3]'",
        ),
        ("gs://bucket/a.txt", "gs://bucket/a.txt cannot be opened: Please install gcsfs."),
    ],
)
def test_a_protocol_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    monkeypatch.setattr("fsspec.core.url_to_fs", raising(ImportError("Please install gcsfs")))
    assert message(url) == told


class Offline(fsspec.AbstractFileSystem):
    """A file system whose every question meets `error`."""

    protocol = "offline"
    error: Exception = ConnectionRefusedError(111, "Connection refused")

    def info(self, path: str, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("path", ["a.txt", "*.txt"])
def test_a_network_that_fails(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Offline(), path))
    monkeypatch.setattr(Offline, "ls", Offline.info)
    assert message(f"s3://bucket/{path}") == (
        f"s3://bucket/{path} cannot be read: Connection refused.\nCheck the address and the connection."
    )


def test_a_network_error_of_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(ClientError=type("ClientError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "aiohttp", library)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Offline(), url))
    monkeypatch.setattr(Offline, "error", library.ClientError("403, message='Forbidden'"))
    assert message("https://example.com/a.txt?key=1").startswith(
        "https://example.com/a.txt cannot be read: 403, message='Forbidden'."
    )


def test_the_query_of_a_web_address_is_no_glob_and_no_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Offline(), url))
    monkeypatch.setattr(Offline, "get_file", lambda self, path, target: Path(target).write_bytes(COMPRESSED[".gz"]))
    corpus = read_corpus(["https://example.com/fox.txt.gz?download=true"])
    assert (corpus.name, texts(corpus)) == ("fox", (TEXT.decode(),))
    assert names(corpus) == ["https://example.com/fox.txt.gz"]


# --- the text that comes with Python


def test_without_arguments_it_is_the_python_reference() -> None:
    corpus = read_corpus([])
    assert corpus.name == "python-reference"
    assert names(corpus) == ["Python's language reference (pydoc_data.topics)"]
    assert corpus.characters > 300_000
    assert corpus == read_corpus([])


def test_no_paragraph_of_the_reference_repeats() -> None:
    paragraphs = [part.strip() for text in texts(read_corpus([])) for part in text.split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs))
    assert all(paragraphs)


def test_the_first_of_each_paragraph_is_kept() -> None:
    topics = ["One\n***\n\n   indented\n\n\nlast\n", "last\n\nindented\n", "\nTwo\n\nOne\n***\n"]
    assert without_repeats(topics) == ("One\n***\n\n   indented\n\nlast\n", "Two\n")


def test_a_python_without_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert message() == (
        "This Python comes without pydoc_data.topics, the text to train on when none is given.\n"
        "Give a text of your own: minigpt train notes.txt"
    )
