"""Characters in, ids out, and back: byte-level BPE as in GPT-2, so that every string round-trips.

Two kinds share one format, and so load elsewhere as ordinary GPT-2 tokenizers:

    bpe   merges learned from the corpus (Sennrich et al., 2016; Radford et al., 2019)
    char  merges only inside each multi-byte character that the corpus holds: one token per known character, and the
          bytes, or the known beginning of them, for the others

The ids are GPT-2's: the 256 bytes first, in its order, then the merges, end-of-text last.
"""

import json
import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from minigpt.config import TOKENIZERS, require, require_choice
from minigpt.errors import CheckpointError, brief
from minigpt.text.blocks import Block, pieces, utf8_length

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257  # 256 bytes and end-of-text
LARGEST_VOCABULARY = 1 << 20  # four times the largest in use; the trainer reserves room for all of it at once

_BATCH = 1 << 20  # characters encoded at once: the library needs about a hundred bytes for each token of them


def _printable_bytes() -> dict[int, str]:
    """GPT-2's letter for every byte, in the order of its ids: printable Latin-1 stands for itself, the rest follows."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


BYTE_TO_LETTER = _printable_bytes()
LETTER_TO_BYTE = {letter: byte for byte, letter in BYTE_TO_LETTER.items()}


class Tokenizer:
    """A byte-level BPE tokenizer. Every id from 0 to `vocab_size` - 1 has bytes; `end_of_text` is one of them.

    `end_of_text_name`: how it is written, where it is not GPT-2's own.
    """

    def __init__(self, engine: Engine, end_of_text_name: str = END_OF_TEXT) -> None:
        self._engine = engine
        self._engine.encode_special_tokens = True  # "<|endoftext|>" in a user's text is thirteen letters
        self._engine.no_truncation()  # a fine-tuned model's file may hold the limits of its training
        self._engine.no_padding()
        self._bytes: dict[int, bytes] = {}
        self._words: list[tuple[str, int]] = []  # sorted, once they are asked for
        end_of_text = engine.token_to_id(end_of_text_name)
        if end_of_text is None:
            raise CheckpointError(f"The tokenizer has no {END_OF_TEXT} token, which separates documents in a GPT-2.")
        self.end_of_text: int = end_of_text
        self.end_of_text_name = end_of_text_name
        self.vocab_size: int = 1 + max(engine.get_vocab(with_added_tokens=True).values())  # ids may have gaps

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; no end-of-text is added, and none is read out of it."""
        encoded = self._engine.encode_batch_fast(pieces(text), add_special_tokens=False)
        return [token for piece in encoded for token in piece.ids]

    @property
    def dtype(self) -> np.dtype:
        """Of ids on disk and in memory: little-endian uint16 where the vocabulary fits, uint32 else."""
        return np.dtype("<u2" if self.vocab_size <= 1 << 16 else "<u4")

    def encode_blocks(self, blocks: Iterable[Block]) -> Iterator[np.ndarray]:
        """The ids of all blocks, a few at a time, end-of-text between documents; only so many are in memory."""
        for batch in _batches(blocks):
            encoded = self._engine.encode_batch_fast([text for text, _ in batch], add_special_tokens=False)
            rows = (
                chain((self.end_of_text,) if begins else (), piece.ids)
                for (_, begins), piece in zip(batch, encoded, strict=True)
            )
            yield np.fromiter(chain.from_iterable(rows), self.dtype)

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """The ids of all documents in one row, end-of-text between them."""
        parts = list(self.encode_blocks(Block(document, begins=True) for document in documents))
        return np.concatenate(parts) if parts else np.zeros(0, self.dtype)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; the letters of its name for end-of-text and other added tokens."""
        data = self._bytes.get(token)
        if data is None:
            data = self._bytes[token] = _letters_to_bytes(self._engine.id_to_token(token) or f"<id {token}>")
        return data

    def longer_tokens(self, data: bytes) -> list[int]:
        """The ids of the tokens that begin with `data` (one byte or more) and go on; added tokens are no text."""
        if not self._words:
            added = self._engine.get_added_tokens_decoder()
            self._words = sorted(item for item in self._engine.get_vocab().items() if item[1] not in added)
        start = "".join(map(BYTE_TO_LETTER.__getitem__, data))
        first, end = (bisect_left(self._words, (start + letter,)) for letter in ("\0", chr(sys.maxunicode)))
        return sorted(token for _, token in self._words[first:end])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(map(self.token_bytes, ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not whole characters become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def merges(self) -> list[tuple[bytes, bytes]]:
        """Pairs of neighbours that become one, in the order in which they were learned and are applied."""
        pairs = json.loads(self._engine.to_str())["model"]["merges"]
        return [(_letters_to_bytes(left), _letters_to_bytes(right)) for left, right in pairs]

    def byte_lengths(self) -> np.ndarray:
        """[V] bytes of text per token; end-of-text, which is no text, counts 0."""
        lengths = np.array([len(self.token_bytes(token)) for token in range(self.vocab_size)])
        lengths[self.end_of_text] = 0
        return lengths

    def to_json(self) -> str:
        """The contents of tokenizer.json."""
        text: str = self._engine.to_str(pretty=True)
        return text

    @classmethod
    def from_file(cls, path: Path, special: "Special | None" = None) -> "Tokenizer":
        """Read a tokenizer.json. Raises CheckpointError if it is missing, damaged, or not byte-level BPE."""
        try:
            text = path.read_text("utf-8")
            layout = json.loads(text)
            byte_level = layout["model"]["type"] == "BPE" and "ByteLevel" in json.dumps(layout["pre_tokenizer"])
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path} is not a tokenizer file, or is damaged.") from error
        if not byte_level:
            raise CheckpointError(f"{path} is not a byte-level BPE tokenizer, the kind that GPT-2 has.")
        return cls._made(lambda: Engine.from_str(text), path, special or Special())

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], path: Path, special: "Special"
    ) -> "Tokenizer":
        """What a vocab.json, at `path`, and a merges.txt say. Raises CheckpointError where they do not fit."""

        def make() -> Engine:
            return _engine(models.BPE(vocab=dict(vocabulary), merges=list(merges)), special.prefix_space)

        return cls._made(make, path, special)

    @classmethod
    def _made(cls, make: Callable[[], Engine], path: Path, special: "Special") -> "Tokenizer":
        try:
            engine = make()
            special.give(engine)
            name = END_OF_TEXT if engine.token_to_id(END_OF_TEXT) is not None else special.end_of_text
            return cls(engine, name)
        except CheckpointError:
            raise
        except Exception as error:  # the library raises nothing more precise
            raise CheckpointError(f"{path} is not a tokenizer that can be read: {error}") from error


@dataclass(frozen=True)
class Special:
    """What a folder says of its tokenizer beside the vocabulary.

    `added`: tokens by id, which text becomes part of unless they are special. `end_of_text`: the name of the token that
    ends a text, where GPT-2's is not there. `names`: tokens that no text becomes part of.
    """

    added: Mapping[int, AddedToken] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    end_of_text: str = END_OF_TEXT
    prefix_space: bool = False

    def give(self, engine: Engine) -> None:
        """Raises CheckpointError for a token that has, or would get, another id."""
        engine.add_tokens([token for _, token in sorted(self.added.items())])
        for number, token in sorted(self.added.items()):
            if engine.token_to_id(token.content) != number:
                raise CheckpointError(
                    f"The added token {brief(repr(token.content))} is said to have the id {number:,}, but the "
                    f"vocabulary gives it {engine.token_to_id(token.content)}."
                )
        engine.add_special_tokens([name for name in self.names if engine.token_to_id(name) is not None])


def train_tokenizer(kind: str, documents: Iterable[str], vocab_size: int | None = None) -> Tokenizer:
    """Make a tokenizer of `kind` for the documents, which are gone through once.

    `vocab_size`: for bpe, all tokens, end-of-text included (the corpus may be too short to fill it); by default it is
    chosen from the length of the corpus. char takes what the corpus holds.
    """
    check_tokenizer(kind, vocab_size)
    if kind == "char":
        return _tokenizer(_character_merges(documents))
    size = vocab_size
    if size is None:
        documents = list(documents)
        size = default_vocab_size(sum(map(utf8_length, documents)))
    return _tokenizer(_learned_merges(documents, size - SMALLEST_VOCABULARY))


def check_tokenizer(kind: str, vocab_size: int | None) -> None:
    """Raise ConfigError where `train_tokenizer` could make none of this kind and size."""
    require_choice("--tokenizer", kind, TOKENIZERS)
    require(
        kind != "char" or vocab_size is None,
        "--vocab-size goes with --tokenizer bpe: char takes one token per character.",
    )
    size = SMALLEST_VOCABULARY if vocab_size is None else vocab_size
    require(
        SMALLEST_VOCABULARY <= size <= LARGEST_VOCABULARY,
        f"--vocab-size must be {SMALLEST_VOCABULARY} or more (256 bytes and end-of-text) and at most "
        f"{LARGEST_VOCABULARY:,}, not {size:,}.",
    )


def default_vocab_size(utf8_bytes: int) -> int:
    """The power of two nearest to the square root of the corpus's bytes, from 1,024 to 32,768.

    1,024 measured better than 512 on 0.4 MB (2.07 bits per byte against 2.26 after equal steps); a larger text can
    teach more tokens.
    """
    return 1 << min(15, max(10, round(math.log2(max(1, utf8_bytes)) / 2)))


def bytes_per_token(documents: Sequence[str], sizes: Iterable[int]) -> dict[int, float]:
    """How well a bpe tokenizer of each of the `sizes` (vocabularies) compresses text like `documents`.

    Merges are learned from every other 1,000 characters and counted on the others; sizes that the text cannot fill are
    left out.
    """
    parts = [d[i : i + 1000] for d in documents for i in range(0, len(d), 1000)]
    merges = _learned_merges(parts[::2], max(sizes := list(sizes)) - SMALLEST_VOCABULARY)
    counted = parts[1::2] or parts
    whole = sum(map(utf8_length, counted))
    fitting = [size for size in sizes if size - SMALLEST_VOCABULARY <= len(merges)] or [min(sizes)]
    tokenizers = {size: _tokenizer(merges[: size - SMALLEST_VOCABULARY]) for size in fitting}
    return {size: whole / max(1, len(t.encode_documents(["".join(counted)]))) for size, t in tokenizers.items()}


def _learned_merges(documents: Iterable[str], count: int) -> list[tuple[str, str]]:
    engine = _engine(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + count,
        initial_alphabet=list(BYTE_TO_LETTER.values()),
        show_progress=False,
    )
    engine.train_from_iterator((piece for document in documents for piece in pieces(document)), trainer)
    return [(left, right) for left, right in json.loads(engine.to_str())["model"]["merges"]]


def _character_merges(documents: Iterable[str]) -> list[tuple[str, str]]:
    """Merges that build each multi-byte character from its bytes, left to right, shared beginnings once."""
    characters = sorted({c for document in documents for c in set(document) if ord(c) > 0x7F})
    merges: dict[tuple[str, str], None] = {}
    for character in characters:
        letters = "".join(BYTE_TO_LETTER[b] for b in character.encode())
        for _, end in pairwise(range(len(letters) + 1)):
            if end >= 2:
                merges[letters[: end - 1], letters[end - 1]] = None
    return list(merges)


def _tokenizer(merges: list[tuple[str, str]]) -> Tokenizer:
    # Two merges can build the same token; it has one id.
    tokens = dict.fromkeys([*BYTE_TO_LETTER.values(), *(left + right for left, right in merges), END_OF_TEXT])
    engine = _engine(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    engine.add_special_tokens([END_OF_TEXT])
    return Tokenizer(engine)


def _engine(model: models.BPE, prefix_space: bool = False) -> Engine:
    engine = Engine(model)
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=True)
    engine.decoder = decoders.ByteLevel()
    return engine


def _batches(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Small parts of `blocks`, many at once; none begins a document at the very start, where nothing is to separate."""
    batch: list[Block] = []
    size, is_first = 0, True
    for block in blocks:
        for number, text in enumerate(pieces(block.text)):
            batch.append(Block(text, block.begins and number == 0 and not is_first))
            is_first = False
            size += len(text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _letters_to_bytes(token: str) -> bytes:
    if all(letter in LETTER_TO_BYTE for letter in token):
        return bytes(LETTER_TO_BYTE[letter] for letter in token)
    return token.encode()
