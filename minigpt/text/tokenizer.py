"""Byte-level BPE as in GPT-2: encodes any string into ids and decodes them without loss."""

import json
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Engine

from minigpt.errors import CheckpointError, CorpusError, brief, escaped
from minigpt.text.blocks import SAFE_CUT, Block, pieces, whole_documents
from minigpt.text.library_calls import Panic, interruptible, panics_raised, quiet_panics
from minigpt.text.pre_tokenizer import has_prefix_space, layout_of, safe_cut, set_prefix_space

END_OF_TEXT = "<|endoftext|>"
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
GPT2_ROLES: Mapping[str, str] = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)

_BATCH = 1 << 20  # characters encoded at once: the library needs about a hundred bytes for each token of them
_LONG = 1 << 16  # characters: more take so long that a thread of its own costs nothing beside it


def _printable_bytes() -> dict[int, str]:
    """GPT-2's letter for every byte, in the order of its ids: printable Latin-1 stands for itself, the rest follows."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


BYTE_TO_LETTER = _printable_bytes()
LETTER_TO_BYTE = {letter: byte for byte, letter in BYTE_TO_LETTER.items()}


class Tokenizer:
    """A byte-level BPE tokenizer.

    Every id from 0 to `vocab_size` - 1 has bytes, which do not depend on its neighbours: a text can be decoded while it
    is generated. `encode` and `encode_blocks` turn text into ids, one text or a stream of documents; `token_bytes`,
    `decode_bytes` and `decode` turn ids into text. `end_of_text` is the id that separates documents, `stops` are those
    at which a sample ends, and `beginning` is the one from which a text is predicted that nothing precedes.

    `roles`: names of tokens by their roles (of ROLES), of which those that exist count; without an eos_token, GPT-2's
    separates documents. `ends`: lists of ids, of which the first that holds a token of the vocabulary gives the
    `stops`; without one, a sample ends at `end_of_text`. An `endless` tokenizer may lack all of these: there are no
    `stops` then, and a newline separates documents.
    """

    def __init__(
        self,
        engine: Engine,
        roles: Mapping[str, str] = GPT2_ROLES,
        ends: Iterable[Sequence[int]] = (),
        endless: bool = False,
    ) -> None:
        self._engine = engine
        self._engine.encode_special_tokens = True  # "<|endoftext|>" in a user's text is thirteen ordinary characters
        self._engine.no_truncation()  # a fine-tuned model's file may hold the limits of its training
        self._engine.no_padding()
        self._bytes: dict[int, bytes] = {}
        self._words: list[tuple[str, int]] = []  # sorted, once they are asked for
        self.roles = {role: name for role, name in roles.items() if engine.token_to_id(name) is not None}
        known = [[token for token in ids if engine.id_to_token(token) is not None] for ids in ends]
        stops = next(filter(None, known), [])
        end = _first_known(engine, [self.roles.get("eos_token"), END_OF_TEXT], stops)
        if end is None and not endless:
            raise CheckpointError(_NO_END)
        self.end_of_text = _separator(engine) if end is None else end
        self.end_of_text_name = None if end is None else engine.id_to_token(end)
        self.stops = frozenset(stops or ([] if end is None else [end]))
        bos = self.token_of("bos_token")  # before a text that nothing precedes, as lm-evaluation-harness has it
        self.beginning = self.end_of_text if bos is None else bos
        self.vocab_size: int = 1 + max(engine.get_vocab(with_added_tokens=True).values())  # ids may have gaps
        self._added = engine.get_added_tokens_decoder()
        self._holes = _missing_bytes(engine)
        self._safe_cut = safe_cut(engine)
        self._limit: int | None = None

    def limit(self, vocab_size: int) -> None:
        """Have no ids from `vocab_size` on, which a model lacks: no text with them is encoded."""
        self._limit = self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; no end-of-text is added or parsed.

        Raises CorpusError if the tokenizer has no token for a part of the text, or none for all of it.
        """
        ids = [
            token for batch in self._batches([Block(text, True)]) for piece in self._encoded(batch) for token in piece
        ]
        if text and not ids:
            raise _without_tokens(text)
        return ids

    def _encoded(self, batch: Sequence[Block]) -> Iterator[list[int]]:
        """The ids of each block; none for a block that the tokenizer drops entirely, such as white space."""
        texts = [text for text, _ in batch]
        work = partial(self._engine.encode_batch_fast, texts, add_special_tokens=False)
        is_long = sum(map(len, texts)) > _LONG
        try:
            with panics_raised():
                encoded = interruptible(lambda left: work()) if is_long else work()
        except MemoryError:
            raise
        except Panic as error:
            raise CheckpointError("The tokenizer is damaged: the tokenizers library panics on this text.") from error
        except Exception as error:  # an unknown token, that the vocabulary lacks, where the alphabet has a hole
            for text in texts:
                self._check_spelled(text, [])
            raise CorpusError(f"This model's tokenizer cannot read the text: {error}.") from error
        for text, piece in zip(texts, encoded, strict=True):
            self._check_spelled(text, piece.ids)
            yield piece.ids

    def _check_spelled(self, text: str, ids: Sequence[int]) -> None:
        """Raise CorpusError if `ids` lack a part of `text` for which the vocabulary has no token."""
        if self._limit is not None and any(token >= self._limit for token in ids):
            found = self._engine.encode(text, add_special_tokens=False)
            places = zip(found.ids, found.offsets, strict=True)
            raise _without_tokens(next(text[start:end] for token, (start, end) in places if token >= self._limit))
        if not self._holes:
            return
        normalizer = self._engine.normalizer
        read = text if normalizer is None else normalizer.normalize_str(text)
        if not self._holes.isdisjoint(read.encode()) and self.decode_bytes(ids) != read.encode():
            raise _without_tokens(next(char for char in read if not self._holes.isdisjoint(char.encode())))

    def whole(self, blocks: Iterable[Block]) -> Iterable[Block]:
        """`blocks`, or whole documents where this tokenizer could give other ids for the blocks of one."""
        return blocks if self._safe_cut is SAFE_CUT else whole_documents(blocks)

    def _batches(self, blocks: Iterable[Block]) -> Iterator[list[Block]]:
        """Parts of `blocks`, in batches; the first starts no new document, because nothing precedes it.

        The parts are small where the tokenizer gives the same ids for them as for the whole, and documents otherwise.
        """
        batch: list[Block] = []
        size, is_first = 0, True
        for block in self.whole(blocks):
            parts = [block.text] if self._safe_cut is None else pieces(block.text, self._safe_cut)
            for number, text in enumerate(parts):
                batch.append(Block(text, block.begins and number == 0 and not is_first))
                is_first = False
                size += len(text)
                if size >= _BATCH:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    @property
    def used_size(self) -> int:
        """All ids that known characters can have, and those that begin or end a text, are less than this."""
        special = {token for token, added in self._added.items() if added.special}
        ids = set(self._engine.get_vocab(with_added_tokens=True).values()) - special
        used = {token for token in ids if _is_text(self.token_bytes(token))}  # not a part of a character
        return 1 + max(used | {self.end_of_text, self.beginning})

    @property
    def prefix_space(self) -> bool:
        """Whether a blank is put before a text that does not begin with one."""
        return has_prefix_space(self._engine)

    @property
    def cuts_as_gpt2(self) -> bool:
        """Whether the vocabulary, the merges and `prefix_space` are all there is to know, as in a GPT-2's tokenizer."""
        words, model = layout_of(self._engine), self._engine.model
        options = (model.unk_token, model.continuing_subword_prefix, model.end_of_word_suffix, model.byte_fallback)
        return (
            words.get("type") == "ByteLevel"
            and words["use_regex"]
            and self._engine.normalizer is None
            and not any(options)
            and not model.ignore_merges
        )

    @property
    def dtype(self) -> np.dtype:
        """The type of ids on disk and in memory: little-endian uint16 if the vocabulary fits, otherwise uint32."""
        return np.dtype("<u2" if self.vocab_size <= 1 << 16 else "<u4")

    def encode_blocks(self, blocks: Iterable[Block]) -> Iterator[np.ndarray]:
        """The ids of all blocks, with end-of-text between documents; only a few blocks are in memory.

        Raises CorpusError as `encode` does.
        """
        first, has_token = "", False
        for batch in self._batches(blocks):
            rows = (
                chain((self.end_of_text,) if begins else (), ids)
                for (_, begins), ids in zip(batch, self._encoded(batch), strict=True)
            )
            ids_N = np.fromiter(chain.from_iterable(rows), self.dtype)
            first, has_token = first or batch[0].text, has_token or bool((ids_N != self.end_of_text).any())
            yield ids_N
        if first and not has_token:
            raise _without_tokens(first)

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """The ids of all documents in one array, end-of-text between them."""
        parts = list(self.encode_blocks(Block(document, begins=True) for document in documents))
        return np.concatenate(parts) if parts else np.zeros(0, self.dtype)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; for end-of-text and other added tokens, the bytes of its name."""
        data = self._bytes.get(token)
        if data is None:
            added = self._added.get(token)  # as it was typed, while the letters of all others stand for bytes
            name = added.content if added else self._engine.id_to_token(token) or f"<id {token}>"
            data = self._bytes[token] = name.encode() if added else _letters_to_bytes(name)
        return data

    def longer_tokens(self, data: bytes) -> list[int]:
        """The ids of the longer tokens that begin with `data` (one byte or more); added tokens are excluded."""
        if not self._words:
            self._words = sorted(item for item in self._engine.get_vocab().items() if item[1] not in self._added)
        start = "".join(map(BYTE_TO_LETTER.__getitem__, data))
        first, end = (bisect_left(self._words, (start + letter,)) for letter in ("\0", chr(sys.maxunicode)))
        return sorted(token for _, token in self._words[first:end] if token < self.vocab_size)

    def token_of(self, role: str) -> int | None:
        """The id of the token with this role (of ROLES), if there is one."""
        token: int | None = self._engine.token_to_id(self.roles[role]) if role in self.roles else None
        return token

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(map(self.token_bytes, ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; invalid bytes become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def merges(self) -> list[tuple[bytes, bytes]]:
        """Pairs of adjacent tokens to merge, in the order in which they were learned and are applied."""
        pairs = json.loads(self._engine.to_str())["model"]["merges"]
        return [(_letters_to_bytes(left), _letters_to_bytes(right)) for left, right in pairs]

    def byte_lengths(self) -> np.ndarray:
        """[V] bytes of text per token; end-of-text counts 0."""
        lengths = np.array([len(self.token_bytes(token)) for token in range(self.vocab_size)])
        if self.stops:
            lengths[self.end_of_text] = 0
        return lengths

    def to_json(self) -> str:
        """The contents of tokenizer.json."""
        text: str = self._engine.to_str(pretty=True)
        return text

    @classmethod
    def from_file(cls, path: Path, special: "Special | None" = None) -> "Tokenizer":
        """Read a tokenizer.json. Raises CheckpointError if it is missing, damaged, or not byte-level BPE."""
        special = special or Special()
        try:
            text = path.read_text("utf-8")
            layout = json.loads(text)
            # OpenAI's own upload of GPT-2 has no type; the library then takes the model for what its fields allow.
            is_bpe = layout["model"].get("type", "BPE") == "BPE"
            byte_level = is_bpe and "ByteLevel" in json.dumps(layout["pre_tokenizer"])
            if special.prefix_space is not None and set_prefix_space(layout["pre_tokenizer"], special.prefix_space):
                text = json.dumps(layout)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path} is not a tokenizer file, or is damaged.") from error
        # Of WordPiece. With it the library reads beyond the end of tokens, and ends the process.
        if not byte_level or layout["model"].get("continuing_subword_prefix"):
            raise _not_byte_level(path)
        return cls._made(lambda: Engine.from_str(text), path, special)

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], path: Path, special: "Special"
    ) -> "Tokenizer":
        """A tokenizer from a vocab.json, at `path`, and a merges.txt. Raises CheckpointError if they do not fit
        together.
        """

        def make() -> Engine:
            return byte_level_engine(
                models.BPE(vocab=dict(vocabulary), merges=list(merges)), special.prefix_space or False
            )

        return cls._made(make, path, special)

    @classmethod
    def _made(cls, make: Callable[[], Engine], path: Path, special: "Special") -> "Tokenizer":
        try:
            with quiet_panics():
                engine = make()
                if not isinstance(engine.model, models.BPE):  # a file without a type can hold any
                    raise _not_byte_level(path)
                engine.model.dropout = None  # with it, a text has other ids at each call
                special.give(engine)
                return cls(engine, special.roles, special.ends, special.endless)
        except (CheckpointError, MemoryError):
            raise
        except Panic as error:
            raise CheckpointError(f"{path} is damaged: the tokenizers library panics on it.") from error
        except Exception as error:  # the library raises nothing more precise
            raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error


@dataclass(frozen=True)
class Special:
    """What a folder says about its tokenizer beside the vocabulary.

    `added`: tokens by id, which occur in text unless they are special. `names`: tokens that never occur in text.
    `roles`, `ends` and `endless` are as in Tokenizer. `prefix_space`: whether a blank is put before a text that does
    not begin with one, if the vocabulary's file does not decide that. `around`: what adds tokens to both ends of a
    text, likewise.
    """

    added: Mapping[int, AddedToken] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=lambda: GPT2_ROLES)
    ends: tuple[tuple[int, ...], ...] = ()
    endless: bool = False
    prefix_space: bool | None = None
    around: processors.PostProcessor | None = None

    def give(self, engine: Engine) -> None:
        """Add the tokens to `engine`. Raises CheckpointError for one that has, or would get, another id."""
        if self.around is not None:
            engine.post_processor = self.around
        engine.add_tokens([token for _, token in sorted(self.added.items())])
        for number, token in sorted(self.added.items()):
            if engine.token_to_id(token.content) != number:
                raise CheckpointError(
                    f"The added token {brief(repr(token.content))} is declared with the id {number:,}, but the "
                    f"vocabulary gives it {engine.token_to_id(token.content)}."
                )
        names = dict.fromkeys((*self.names, *self.roles.values()))  # GPT-2's, where none are named, are in no file
        engine.add_special_tokens([name for name in names if engine.token_to_id(name) is not None])


def byte_level_engine(model: models.BPE, prefix_space: bool = False) -> Engine:
    """The library's tokenizer that cuts words as GPT-2 does, with this model."""
    engine = Engine(model)
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=True)
    engine.decoder = decoders.ByteLevel()
    return engine


def _first_known(engine: Engine, names: Iterable[str | None], ids: Iterable[int]) -> int | None:
    """The id of the first of these tokens that exists, as the end of a text."""
    known = (*(engine.token_to_id(name) for name in names if name), *ids)
    return next((token for token in known if token is not None), None)


_NO_END = (
    f"The tokenizer has no {END_OF_TEXT} token, which separates documents in a GPT-2, and its folder names no "
    "other end of a text: eos_token in tokenizer_config.json, or eos_token_id in config.json."
)


def _separator(engine: Engine) -> int:
    """What separates documents where no token ends a text: a newline, or the first token."""
    newline: int | None = engine.token_to_id(BYTE_TO_LETTER[0x0A])
    return min(engine.get_vocab(with_added_tokens=True).values()) if newline is None else newline


def _missing_bytes(engine: Engine) -> frozenset[int]:
    """The bytes for which the vocabulary has no token; for GPT-2's, none."""
    special = {number for number, token in engine.get_added_tokens_decoder().items() if token.special}
    ids = {byte: engine.token_to_id(letter) for byte, letter in BYTE_TO_LETTER.items()}
    return frozenset(byte for byte, number in ids.items() if number is None or number in special)


def _not_byte_level(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is not a byte-level BPE tokenizer, the kind that GPT-2 has.")


def _without_tokens(text: str) -> CorpusError:
    quoted = escaped(text if len(text) <= 40 else text[:39] + "…")
    return CorpusError(f'This model\'s tokenizer has no token for "{quoted}", so the model cannot read the text.')


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _letters_to_bytes(token: str) -> bytes:
    if all(letter in LETTER_TO_BYTE for letter in token):
        return bytes(LETTER_TO_BYTE[letter] for letter in token)
    return token.encode()
