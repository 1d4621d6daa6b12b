"""What may be shown when: never half a character, never the beginning of a stop string."""

import random

import pytest

from minigpt.sampling.engine import TextStream


def fed(pieces: list[bytes], stop: list[str]) -> list[bytes]:
    """What each piece releases, up to a stop, and what the flush does."""
    stream, released = TextStream(stop), []
    for piece in pieces:
        released.append(stream.feed(piece))
        if stream.stopped:
            break
    return [*released, stream.flush()]


def bytes_of(text: str) -> list[bytes]:
    return [bytes([b]) for b in text.encode()]


@pytest.mark.parametrize(
    ("pieces", "stop", "released"),
    [
        ([b"a", b"bc"], [], [b"a", b"bc", b""]),
        ([b"ab", b"cd"], ["x"], [b"ab", b"cd", b""]),
        ([b"ab", b"cd"], ["bc"], [b"a", b"", b""]),  # across two tokens
        ([b"a", b"b", b"c", b"d"], ["bcd"], [b"a", b"", b"", b"", b""]),  # across three
        ([b"abcd"], ["bc"], [b"a", b""]),  # within one
        ([b"ab", b"bd"], ["bc"], [b"a", b"bbd", b""]),  # began, and was not
        ([b"aab"], ["aaab"], [b"aab", b""]),
        ([b"aa", b"a", b"a", b"b"], ["aab"], [b"", b"a", b"a", b"", b""]),  # each a may begin it
        ([b"ab", b"ab", b"ac"], ["abac"], [b"", b"ab", b"", b""]),  # a beginning inside a beginning
        ([b"a", b"b"], ["abc"], [b"", b"", b"ab"]),  # the text ends within
        ([b"x1", b"2y"], ["12", "x"], [b"", b""]),  # the earlier of two
        ([b"abc"], ["c", "ab"], [b"", b""]),
        ([b"ab", b"c"], ["abd", "bc"], [b"", b"a", b""]),  # two may begin, the later one does
        ([b"\n", b"\n"], ["\n\n"], [b"", b"", b""]),
        ([b"one\n", b"two"], ["\n\n"], [b"one", b"\ntwo", b""]),
        ([b"a", b""], ["ab"], [b"", b"", b"a"]),
    ],
)
def test_stop_strings(pieces: list[bytes], stop: list[str], released: list[bytes]) -> None:
    assert fed(pieces, stop) == released


@pytest.mark.parametrize(
    ("pieces", "released"),
    [
        ([b"\xc3", b"\xa9"], [b"", b"\xc3\xa9", b""]),
        ([b"\xf0", b"\x9f\x98", b"\x80!"], [b"", b"", "😀!".encode(), b""]),
        ([b"a\xe2\x82", b"\xacb"], [b"a", "€b".encode(), b""]),
        ([b"\xe2\x82"], [b"", b"\xe2\x82"]),  # the text ends within
        ([b"\xe2", b"a"], [b"", b"\xe2a", b""]),  # never to be a character: passed on
        ([b"\xff", b"a"], [b"\xff", b"a", b""]),
        ([b"\x80\x80", b"\xc3"], [b"\x80\x80", b"", b"\xc3"]),
        ([b"\xc3\xa9\xc3", b"\xa9"], ["é".encode(), "é".encode(), b""]),
        ([b"\xf0\x9f\x98\x80\xf0\x9f", b"\x98\x80"], ["😀".encode(), "😀".encode(), b""]),
    ],
)
def test_half_characters_are_held(pieces: list[bytes], released: list[bytes]) -> None:
    assert fed(pieces, []) == released


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("añb", "ñ", "a"),
        ("aéñb", "ñ", "aé"),  # é and ñ begin with the same byte
        ("x😀😃y", "😃", "x😀"),
        ("→←↑", "↑", "→←"),
        ("€", "₭", "€"),
        ("日本語", "語", "日本"),
    ],
)
def test_stop_strings_of_several_bytes_a_character(text: str, stop: str, shown: str) -> None:
    released = fed(bytes_of(text), [stop])
    assert b"".join(released).decode() == shown
    assert all(part.decode() is not None for part in released)  # each part is whole characters


@pytest.mark.parametrize("seed", range(30))
def test_any_cut_into_tokens_shows_the_same_text(seed: int) -> None:
    """Against the plain way: find the first stop in the whole text."""
    rng = random.Random(seed)
    text = "".join(rng.choices("abé😀→\n", k=40))
    stops = ["".join(rng.choices("abé😀→", k=rng.randint(2, 4))) for _ in range(rng.randint(0, 3))]
    data, pieces = text.encode(), []
    while data:
        size = rng.randint(1, 5)
        pieces.append(data[:size])
        data = data[size:]
    released = fed(pieces, stops)
    # Several stops: the one that is complete first ends the text.
    ends = [(text.encode().find(s.encode()) + len(s.encode()), s) for s in stops if s in text]
    if len(ends) <= 1:
        expected = text[: text.index(ends[0][1])] if ends else text
        assert b"".join(released).decode() == expected
    for part in released[:-1]:
        part.decode()  # whole characters, or it raises
    assert not any(stop in b"".join(released).decode() for stop in stops)


def test_stopped_says_that_a_stop_has_appeared() -> None:
    stream = TextStream(["ab"])
    assert stream.feed(b"xa") == b"x"
    assert not stream.stopped
    assert stream.feed(b"b") == b""
    assert stream.stopped
    assert stream.flush() == b""
