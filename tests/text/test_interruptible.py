"""What takes long inside a library leaves signals their way."""

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from tokenizers import trainers

from minigpt.text import learning
from minigpt.text.blocks import short_pieces
from minigpt.text.learning import SMALLEST_VOCABULARY, train_tokenizer
from minigpt.text.library_calls import interruptible
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer


def test_a_result_comes_out() -> None:
    assert interruptible(lambda left: ("whole", left())) == ("whole", False)


@pytest.mark.parametrize("error", [ValueError("no"), BaseException("a panic")])
def test_an_error_comes_out(error: BaseException) -> None:
    def fail(left: object) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        interruptible(fail)


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C raises, also where whoever started the tests had it ignored, as a shell does for what runs behind."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """What lets the work of a test end at last."""
    event = threading.Event()
    yield event
    event.set()


def test_a_signal_ends_the_waiting_and_the_work_is_told(ended: threading.Event) -> None:
    seen, over = [], threading.Event()

    def work(left: Callable[[], bool]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait()  # as a library would go on
        seen.append(left())
        over.set()

    with pytest.raises(KeyboardInterrupt):
        interruptible(work)
    ended.set()
    over.wait()
    assert seen == [True]


def test_a_tokenizer_that_is_being_learned_is_given_up(ended: threading.Event) -> None:
    def documents() -> Iterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait()
        while True:  # until nobody asks for more
            yield "once more "

    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        train_tokenizer("bpe", documents(), 300)
    (thread,) = (each for each in threading.enumerate() if each not in before)
    ended.set()
    thread.join()


def test_long_encoding_is_given_up(bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, ended: threading.Event) -> None:
    class Engine:
        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            ended.wait()

    monkeypatch.setattr(bpe._encoder, "_engine", Engine())
    with pytest.raises(KeyboardInterrupt):
        bpe.encode("x" * 100_000)


# Words without an end


@pytest.mark.parametrize("letters", ["ACGT", "._", " \t", "語字"])
def test_one_enormous_word_is_learned_in_parts(letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[str] = []

    class Engine:
        def train_from_iterator(self, texts: Iterator[str], trainer: object) -> None:
            parts.extend(texts)

        def to_str(self) -> str:
            return '{"model": {"merges": []}}'

    monkeypatch.setattr(learning, "byte_level_engine", lambda model: Engine())
    learning.learned_merges([letters * 50_000], 10)
    assert "".join(parts) == letters * 50_000
    assert max(map(len, parts)) <= 512


def test_words_of_a_usual_length_stay_whole() -> None:
    words = ["x" * 250, "Donaudampfschiffahrtsgesellschaft", "-" * 80, "a,b;c" * 50]
    parts = list(short_pieces(" ".join(words * 20)))
    assert [word for part in parts for word in part.split()] == words * 20


def test_where_there_are_spaces_the_same_is_learned(corpus: str) -> None:
    text = " ".join([corpus] * 20)
    ours = train_tokenizer("bpe", [text], 400).merges()
    engine = learning.byte_level_engine(learning.models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=399, initial_alphabet=list(learning.BYTE_TO_LETTER.values()), show_progress=False
    )
    engine.train_from_iterator([text], trainer)
    assert len(ours) == 400 - SMALLEST_VOCABULARY
    assert engine.token_to_id("".join(BYTE_TO_LETTER[b] for b in b"".join(ours[-1]))) == 398
