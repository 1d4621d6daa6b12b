"""One token by its text or its number, and what is said of anything else."""

import re

import pytest

from minigpt.errors import ConfigError
from minigpt.text.arguments import single_token
from minigpt.text.tokenizer import Tokenizer

EURO = (158, 224, 105)  # its bytes, in the order of GPT-2's letters for bytes


def test_every_token_can_be_named_by_its_number(bpe: Tokenizer) -> None:
    assert [single_token(bpe, f"#{token}") for token in range(bpe.vocab_size)] == list(range(bpe.vocab_size))


def test_a_text_that_is_one_token_is_that_token(bpe: Tokenizer) -> None:
    for text in ("a", " ", "\n", " the", "#"):
        assert bpe.token_bytes(single_token(bpe, text)) == text.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an empty text"),
        ("#320", "from 0 to 319"),
        ("#999999999", "from 0 to 319"),
        ("zzzz", '"zzzz" is 4 tokens of this vocabulary: "z" + "z" + "z" + "z"'),
        ("#-1", "3 tokens"),
        ("x" * 50, '"x" ...'),
        ("\x1b[31m", '"\\x1b"'),
        ("€", f'"€" is 3 tokens of this vocabulary: {" + ".join(f"#{token}" for token in EURO)}.\nName one of these'),
    ],
)
def test_anything_else_is_refused_with_how_it_is_cut(bpe: Tokenizer, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        single_token(bpe, text)
    assert said in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_missing_space_is_suggested(bpe: Tokenizer) -> None:
    words = [bpe.token_bytes(token).decode("utf-8", "replace") for token in range(256, 319)]
    word = next(w for w in words if w.startswith(" ") and w.isascii() and len(bpe.encode(w[1:])) > 1)
    with pytest.raises(ConfigError, match=re.escape(f'"{word}", with a space before it, is one')):
        single_token(bpe, word[1:])
