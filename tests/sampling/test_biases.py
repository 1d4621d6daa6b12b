"""Biases by the texts of tokens: which ids they are of, and what is told where a text is not one token."""

import pytest

from minigpt.errors import ConfigError
from minigpt.sampling.filters import read_biases, token_biases
from minigpt.text.tokenizer import Tokenizer


def test_a_text_becomes_the_id_of_its_token(bpe: Tokenizer) -> None:
    (the,) = bpe.encode(" the")
    (equals,) = bpe.encode("=")
    assert read_biases(bpe, [" the=-2", "#7=0.5", "==3"]) == ((the, -2.0), (7, 0.5), (equals, 3.0))
    assert token_biases(bpe, {" the": 1.5}.items()) == ((the, 1.5),)
    assert read_biases(bpe, []) == ()


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["zyx=1"], 'bias=: "zyx" is 3 tokens of this vocabulary'),
        (["=1"], "bias=: A token is needed"),
        (["#100000=1"], "#100000 is not a token"),
        (["the"], "bias= needs a token and a number, as in ' the=-2', not 'the'"),
        (["the="], "bias= needs a token and a number"),
        (["the=x"], "bias= needs a token and a number"),
        (["#7=1", "#7=2"], "bias= names the token '#7' twice"),
    ],
)
def test_what_is_no_bias_is_refused_with_what_to_type(bpe: Tokenizer, texts: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_biases(bpe, texts)
    assert told in str(caught.value)
