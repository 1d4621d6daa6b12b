"""The bytes that each token of a vocabulary stands for, whatever its neighbours."""

import json
import re
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer as Engine
from tokenizers import models

from minigpt.text.pre_tokenizer import layout_of


def _printable_bytes() -> dict[int, str]:
    """GPT-2's letter for every byte, in the order of its ids: printable Latin-1 stands for itself, the rest follows."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


BYTE_TO_LETTER = _printable_bytes()
LETTER_TO_BYTE = {letter: byte for byte, letter in BYTE_TO_LETTER.items()}
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a token of the decoder ByteFallback


class TokenBytes:
    """Maps an id to the bytes of its token.

    In a byte-level vocabulary, letters stand for bytes. In others, such as WordPiece and Unigram, they are what the
    tokenizer's decoder adds to a text for this token between two others: `##ing` is "ing", and `the` is " the". Those
    of an added token are its name, as it was typed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._known = engine, dict[int, bytes]()
        self._added = engine.get_added_tokens_decoder()
        self.is_byte_level = "ByteLevel" in json.dumps([layout_of(engine.pre_tokenizer), layout_of(engine.normalizer)])

    def __call__(self, token: int) -> bytes:
        data = self._known.get(token)
        if data is None:
            data = self._known[token] = self._bytes(token)
        return data

    def _bytes(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].content.encode()
        name = self._engine.id_to_token(token)
        if name is None:
            return f"<id {token}>".encode()
        return letters_to_bytes(name) if self.is_byte_level else self._decoded(token, name)

    def _decoded(self, token: int, name: str) -> bytes:
        if self._has_byte_tokens and (found := _BYTE.fullmatch(name)):
            return bytes.fromhex(found[1])
        (left, right), before, after = self._surroundings
        text = self._decode(left, token, right)
        if text.startswith(before) and text.endswith(after) and len(text) >= len(before + after):
            return text[len(before) : len(text) - len(after)].encode()
        return name.encode()

    @cached_property
    def _has_byte_tokens(self) -> bool:
        return "ByteFallback" in json.dumps(layout_of(self._engine.decoder))

    @cached_property
    def _surroundings(self) -> tuple[tuple[int, int], str, str]:
        """Two tokens that are a word or a part of one, and what the decoder makes of them around another.

        They differ, because the decoder CTC shows a repeated token once.
        """
        ids = {name: token for name, token in self._engine.get_vocab().items() if token not in self._added}
        first = sorted((not name.isalnum(), token) for name, token in ids.items())[:2] or [(True, 0)]
        left, right = first[0][1], first[-1][1]
        alone = self._decode(left)
        return (left, right), alone, self._decode(left, right).removeprefix(alone)

    def _decode(self, *ids: int) -> str:
        text: str = self._engine.decode(list(ids), skip_special_tokens=False)
        return text


def letters_to_bytes(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary, given by its letters."""
    if all(letter in LETTER_TO_BYTE for letter in token):
        return bytes(LETTER_TO_BYTE[letter] for letter in token)
    return token.encode()


def spells_bytes(engine: Engine) -> bool:
    """Whether the model of a byte-level tokenizer reads any text of which the vocabulary has all bytes.

    WordLevel and WordPiece know words as a whole, and with an `end_of_word_suffix` a byte has another token at the end.
    """
    model: Any = engine.model
    return isinstance(model, models.Unigram) or (isinstance(model, models.BPE) and not model.end_of_word_suffix)


def unknown_token(engine: Engine) -> int | None:
    """The id of the token that stands for whatever the vocabulary lacks, if there is one."""
    model: Any = engine.model
    if isinstance(model, models.Unigram):
        number: int | None = json.loads(model.__getstate__())["unk_id"]
        return number
    token: int | None = None if model.unk_token is None else engine.token_to_id(model.unk_token)
    return token
