"""Encodes texts by the tokenizers library, and accounts for their bytes: what each token stands for, what is lost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from tokenizers import Encoding
from tokenizers import Tokenizer as Engine

from minigpt.errors import CheckpointError, CorpusError, escaped
from minigpt.text.library_calls import Panic, interruptible, panics_raised
from minigpt.text.pre_tokenizer import has_prefix_space, keeps_text
from minigpt.text.token_bytes import BYTE_TO_LETTER, TokenBytes, spells_bytes, unknown_token

T = TypeVar("T")
_LONG = 1 << 16  # characters: more take so long that a thread of its own costs nothing beside it


class Encoder:
    """The library's tokenizer, whose errors become ours.

    `special`: whether the names of special tokens in a text are read as these tokens. `limit`: ids from there on, which
    a model lacks, are left out, and what they stand for is lost. `unknown`: the id of whatever the vocabulary lacks.
    """

    def __init__(self, engine: Engine, token_bytes: TokenBytes) -> None:
        self._engine, self._token_bytes = engine, token_bytes
        self.special = False
        self.limit: int | None = None
        self._added = engine.get_added_tokens_decoder()
        self.unknown = unknown_token(engine)
        self._holes = _missing_bytes(engine) if token_bytes.is_byte_level else frozenset[int]()
        self._spells_bytes = token_bytes.is_byte_level and spells_bytes(engine)
        self._keeps_text = keeps_text(engine)
        self._lost: dict[str, bool] = {}  # by character

    def is_unread(self, text: str, ids: Iterable[int]) -> bool:
        """Whether `ids`, those of `text`, hold nothing of it."""
        return bool(text) and all(token == self.unknown and not self._is_named(token, text) for token in ids)

    def _is_named(self, token: int, text: str) -> bool:
        """Whether a special token is read because its name is in `text`."""
        return self.special and token in self._added and self._added[token].content in text

    def batch(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The ids of each text; none for one that the tokenizer drops entirely, such as white space."""
        work = partial(self._engine.encode_batch_fast, texts, add_special_tokens=False)
        for encoding in self._run(work, texts):
            ids: list[int] = encoding.ids
            yield ids if self.limit is None else [token for token in ids if token < self.limit]

    def _encoding(self, text: str) -> Encoding:
        """The ids of `text`, and where in it they begin and end."""
        return self._run(partial(self._engine.encode, text, add_special_tokens=False), [text])

    def _run(self, work: Callable[[], T], texts: Sequence[str]) -> T:
        """Let the library encode `texts`; its errors become ours."""
        is_long = sum(map(len, texts)) > _LONG
        self._engine.encode_special_tokens = not self.special  # "<|endoftext|>" in a text is thirteen letters
        try:
            with panics_raised():
                return interruptible(lambda left: work()) if is_long else work()
        except MemoryError:
            raise
        except Panic as error:
            raise CheckpointError("The tokenizer is damaged: the tokenizers library panics on this text.") from error
        except Exception as error:  # an unknown token, that the vocabulary lacks, where the alphabet has a hole
            if lost := next(filter(self._is_lost, "".join(texts)), ""):
                raise without_tokens(lost) from error
            raise CorpusError(f"This model's tokenizer cannot read the text: {error}.") from error

    @property
    def is_complete(self) -> bool:
        """Whether there is a token for every byte of any text."""
        return self._spells_bytes and self._keeps_text and not self._holes and self.limit is None

    @property
    def is_lossless(self) -> bool:
        """Whether the bytes of the tokens of any text are those of the text."""
        takes_blanks = any(token.lstrip or token.rstrip for token in self._added.values())
        return self.is_complete and not (self._engine.normalizer or has_prefix_space(self._engine) or takes_blanks)

    def byte_counts(self, text: str, ids: Sequence[int]) -> np.ndarray:
        """[N] bytes of `text` that each of its `ids`, as encoded, stands for: their sum is that of the text.

        They are those of the tokens, unless the tokenizer changes the text. Then a token stands for what precedes its
        end in the text, as the library has it (Encoding.offsets), and follows that of the token before it; of several
        that end there, as the bytes of one character do, the last one stands for all.
        """
        own_N = np.array([len(self._token_bytes(token)) for token in ids], np.int64)
        if self.is_lossless:
            return own_N
        ends_N = np.maximum.accumulate(np.array([end for _, (_, end) in self._places(text)], np.int64))
        ends_N[-1:] = len(text)
        code_points_M = np.frombuffer(text.encode("utf-32-le"), "<u4")
        sizes_M = 1 + sum((code_points_M >= first).astype(np.int64) for first in (0x80, 0x800, 0x10000))
        before_M = np.concatenate([[0], np.cumsum(sizes_M)])
        is_last_N = np.diff(ends_N, append=len(text) + 1) > 0
        counts_N = np.zeros(len(ids), np.int64)
        counts_N[is_last_N] = np.diff(before_M[ends_N[is_last_N]], prepend=0)
        return counts_N

    def lost(self, text: str) -> str:
        """The characters of `text` for which there is no token, in their order.

        What a normalizer removes is not lost: it is meant to go. Nor is white space between the words of a tokenizer.
        """
        if self.is_complete:
            return ""
        if not self._spells_bytes:
            return self._unread(text)
        normalizer = self._engine.normalizer
        read = text if normalizer is None else normalizer.normalize_str(text)
        whole = self._decoded(token for token, _ in self._places(text)) == read
        # An added token can have letters that no other has.
        return "" if whole else "".join(char for char in read if self._is_lost(char))

    def _unread(self, text: str) -> str:
        """The characters of `text` that are in no token, or in an unknown one."""
        is_read, is_unknown = np.zeros(len(text), bool), np.zeros(len(text), bool)
        for token, (start, end) in self._places(text):
            is_lost = token == self.unknown and not self._is_named(token, text[start:end])
            (is_unknown if is_lost else is_read)[start:end] = True
        # A mark that is put before a word lies over its first character.
        lost = (
            i for i in np.flatnonzero(is_unknown | ~is_read).tolist() if is_unknown[i] or not self._is_dropped(text, i)
        )
        return "".join(text[i] for i in lost if not text[i].isspace())

    def _is_dropped(self, text: str, place: int) -> bool:
        """Whether the normalizer adds nothing for a character, as for an accent that it joins to the letter before."""
        if self._engine.normalizer is None:
            return False
        before, after = (self._engine.normalizer.normalize_str(text[max(0, place - 4) : place + n]) for n in (0, 1))
        return len(after) <= len(before)

    def _places(self, text: str) -> Iterator[tuple[int, tuple[int, int]]]:
        """Each id of `text`, and where in it the token begins and ends."""
        encoding = self._encoding(text)
        for token, place in zip(encoding.ids, encoding.offsets, strict=True):
            if self.limit is None or token < self.limit:
                yield token, place

    def _is_lost(self, char: str) -> bool:
        """Whether a byte-level vocabulary has no tokens for all bytes of a character."""
        known = self._lost.get(char)
        if known is None:
            try:
                ids = self._engine.encode(char, add_special_tokens=False).ids
            except Exception:  # an unknown token, that the vocabulary lacks
                ids = []
            text = self._decoded(token for token in ids if self.limit is None or token < self.limit)
            is_meant = char.isspace() and not self._keeps_text
            known = self._lost[char] = not text.endswith(char) and not is_meant
        return known

    def _decoded(self, ids: Iterable[int]) -> str:
        return b"".join(map(self._token_bytes, ids)).decode("utf-8", "replace")


def _missing_bytes(engine: Engine) -> frozenset[int]:
    """The bytes for which the vocabulary has no token; for GPT-2's, none."""
    special = {number for number, token in engine.get_added_tokens_decoder().items() if token.special}
    ids = {byte: engine.token_to_id(letter) for byte, letter in BYTE_TO_LETTER.items()}
    return frozenset(byte for byte, number in ids.items() if number is None or number in special)


def without_tokens(text: str) -> CorpusError:
    """The error for a text, or a part of one, for which there is no token."""
    quoted = escaped(text if len(text) <= 40 else text[:39] + "…")
    return CorpusError(f'This model\'s tokenizer has no token for "{quoted}", so the model cannot read the text.')
