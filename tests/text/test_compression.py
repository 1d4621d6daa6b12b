"""What is compressed is never in memory as a whole, however few bytes it came in."""

import bz2
import gzip
import hashlib
import lzma
import sys
import tracemalloc
from pathlib import Path

import pytest

from minigpt.errors import CorpusError
from minigpt.text import compression, sources
from minigpt.text.corpus import read_corpus

LINE = b"the same line again and again\n"


def zst_compress(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.compress(data)
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zst_compress}
TIMES = {".gz": 500_000, ".bz2": 60_000, ".xz": 500_000, ".zst": 500_000}  # bz2 takes long to pack what repeats


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_much_in_few_bytes_comes_out_in_pieces(suffix: str) -> None:
    text = LINE * TIMES[suffix]
    data = COMPRESSORS[suffix](text)
    assert len(data) < len(text) / 100
    for parts in (1, 3):
        sizes, sha256 = list[int](), hashlib.sha256()
        for piece in compression.decompress([data * parts], f"a{suffix}", "a"):
            sizes.append(len(piece))
            sha256.update(piece)
        assert max(sizes) <= (1 << 18 if suffix != ".zst" else 1 << 22)
        assert sha256.digest() == hashlib.sha256(text * parts).digest()


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_what_is_read_of_it_is_not_held(suffix: str, tmp_path: Path) -> None:
    whole = LINE * 1_000_000 if suffix != ".bz2" else LINE * 10_000
    (file := tmp_path / f"a.txt{suffix}").write_bytes(
        COMPRESSORS[suffix](whole) * (len(LINE) * 1_000_000 // len(whole))
    )
    tracemalloc.start()
    corpus = read_corpus([str(file)])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.utf8_bytes == 30_000_000
    assert most < 15_000_000


def test_what_is_compressed_twice_comes_out_in_pieces_too() -> None:
    pieces = compression.decompress([gzip.compress(lzma.compress(b"x" * 15_000_000))], "a.xz.gz", "a")
    assert max(map(len, pieces)) <= 1 << 18


def test_zstandard_with_the_longest_window() -> None:
    """`cat FILE | zstd --long=31` writes such a frame; the libraries refuse it by default, and so does `zstd -d`."""
    text = b"the fox"
    magic, window, last_raw_block = (
        b"\x28\xb5\x2f\xfd",
        bytes([0, (31 - 10) << 3]),
        (1 | len(text) << 3).to_bytes(3, "little"),
    )
    frame = magic + window + last_raw_block + text
    assert b"".join(compression.decompress([frame], "a.zst", "a")) == text


def test_zstandard_needs_no_more_than_a_few_bytes_at_once() -> None:
    data = zst_compress(LINE * 1000)
    pieces = compression.decompress((data[i : i + 1] for i in range(len(data))), "a.zst", "a")
    assert b"".join(pieces) == LINE * 1000


# --- what follows the end


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
@pytest.mark.parametrize("size", [1, 3, 1 << 18])
@pytest.mark.parametrize("end", [b"\n", b"junk", b"\0\0junk", b"text that goes on " * 100])
def test_bytes_after_the_end_are_ignored_with_a_note(
    suffix: str, size: int, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gzip -d` (1.12) and `bzip2 -d` (1.0.8) write the text and warn of trailing garbage."""
    monkeypatch.setattr(sources, "_CHUNK", size)
    (file := tmp_path / f"a.txt{suffix}").write_bytes(COMPRESSORS[suffix](LINE) * 2 + end)
    corpus = read_corpus([str(file)])
    assert "".join(block.text for block in corpus.blocks()) == 2 * LINE.decode()
    assert corpus.sources[0].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    (note,) = corpus.notes
    number = len(end.lstrip(b"\0"))
    units = "1 byte after the end of the compressed text was" if number == 1 else f"{number:,} bytes after the end"
    assert note.startswith(f"{file}: {units}")


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_zeros_after_the_end_are_padding(suffix: str, tmp_path: Path) -> None:
    (file := tmp_path / f"a.txt{suffix}").write_bytes(COMPRESSORS[suffix](LINE) + b"\0" * 512)
    assert read_corpus([str(file)]).notes == ()


@pytest.mark.parametrize("suffix", [".xz", ".zst"])
def test_what_xz_and_zstd_refuse_after_the_end_is_refused(suffix: str, tmp_path: Path) -> None:
    """`xz -d` (5.4) and `zstd -d` (1.5) fail, so nobody has a text from such a file."""
    (file := tmp_path / f"a.txt{suffix}").write_bytes(COMPRESSORS[suffix](LINE) + b"junk")
    with pytest.raises(CorpusError, match=f"is damaged or not a {suffix} file: "):
        read_corpus([str(file)])


@pytest.mark.parametrize("end", [b"\x1f", b"\x1f\x8b\x08", gzip.compress(LINE, mtime=0)[:-4], b"\x1f\x8bjunk"])
def test_a_second_stream_that_is_cut_off_is_an_error(end: bytes, tmp_path: Path) -> None:
    (file := tmp_path / "a.txt.gz").write_bytes(gzip.compress(LINE) + end)
    with pytest.raises(CorpusError, match=r"is damaged or not a \.gz file: "):
        read_corpus([str(file)])
