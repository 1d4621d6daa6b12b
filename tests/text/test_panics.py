"""A stand-in breaks down as a library in Rust does: that becomes an ordinary error, and standard error is kept."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest

from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.errors import CheckpointError
from minigpt.text import tokenizer as module
from minigpt.text.library_calls import Panic, panics_raised, quiet_panics
from minigpt.text.tokenizer import Tokenizer


class PanicException(BaseException):
    """As the library's own, which cannot be imported."""


PanicException.__module__ = "pyo3_runtime"


def break_down(*given: object, **more: object) -> None:
    os.write(2, b"thread '<unnamed>' panicked at bpe.rs\nstack backtrace:\n" * 100)
    raise PanicException("range end index 18446744073709550620 out of range")


def test_a_panic_is_an_ordinary_error_without_a_trace(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", file=sys.stderr)
    with pytest.raises(Panic, match="range end index") as caught, quiet_panics():
        break_down()
    print("after", file=sys.stderr)
    assert isinstance(caught.value, Exception)
    assert capfd.readouterr().err == "before\nafter\n"


def test_what_is_said_meanwhile_comes_after(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_panics():
        os.write(2, b"ours\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "ours\n"


def test_other_errors_are_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"ours\n")
        raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"), quiet_panics():
        fail()
    assert capfd.readouterr().err == "ours\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_passes_through(error: type[BaseException]) -> None:
    with pytest.raises(error), quiet_panics():
        raise error


def test_without_a_standard_error_it_works_too() -> None:
    with _closed_standard_error(), pytest.raises(Panic), quiet_panics():
        break_down()


@contextmanager
def _closed_standard_error() -> Iterator[None]:
    kept = os.dup(2)
    os.close(2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_a_damaged_file_is_named(
    bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(bpe.to_json(), "utf-8")
    monkeypatch.setattr(module.Engine, "from_str", break_down, raising=True)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged: the tokenizers library panics"):
        tokenizer_from_file(path)
    assert capfd.readouterr().err == ""


def test_so_is_one_that_would_end_the_process(bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    whole = bpe.to_json()
    path.write_text(whole.replace('"continuing_subword_prefix": null', '"continuing_subword_prefix": "##"'), "utf-8")
    assert path.read_text("utf-8") != whole
    monkeypatch.setattr(module.Engine, "from_str", lambda text: pytest.fail("the library must not see it"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is a BPE tokenizer with a continuing_subword_prefix"):
        tokenizer_from_file(path)


def test_a_text_over_which_the_library_breaks_down(bpe: Tokenizer) -> None:
    class Broken:
        encode_batch_fast = staticmethod(break_down)

    encoder = copy(bpe._encoder)
    encoder._engine = Broken()
    with pytest.raises(CheckpointError, match="the tokenizers library panics on this text"):
        list(encoder.batch(["abc"]))
    with pytest.raises(Panic), panics_raised():
        break_down()
