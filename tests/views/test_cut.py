"""A text's tokens, whole and in order, with the merges that built each."""

from minigpt.text.tokenizer import Tokenizer
from minigpt.views.tokenization import cut


def test_the_tokens_are_the_encoders_and_their_bytes_the_texts(tokenizer: Tokenizer, hard_string: str) -> None:
    tokens = cut(tokenizer, hard_string)
    assert [token.id for token in tokens] == tokenizer.encode(hard_string)
    assert [token.position for token in tokens] == list(range(len(tokens)))
    assert b"".join(bytes.fromhex(token.bytes) for token in tokens) == hard_string.encode()
    for token in tokens:
        assert token.text is None or token.text.encode() == bytes.fromhex(token.bytes)
        if token.merges:
            assert token.merges[-1].left + token.merges[-1].right == token.bytes
        else:
            assert len(token.bytes) == 2  # one byte


def test_a_character_is_built_from_its_bytes(char: Tokenizer) -> None:
    (token,) = cut(char, "€")
    assert [(merge.left, merge.right) for merge in token.merges] == [("e2", "82"), ("e282", "ac")]
    assert token.merges[0].number < token.merges[1].number
