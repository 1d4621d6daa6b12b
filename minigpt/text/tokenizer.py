"""Encodes any string into ids and decodes them: byte-level BPE as in GPT-2, without loss, and tokenizers of others."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import chain, islice, product
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers

from minigpt.errors import CheckpointError, CorpusError, named
from minigpt.text.blocks import SAFE_CUT, Block, pieces, whole_documents
from minigpt.text.encoder import Encoder, without_tokens
from minigpt.text.pre_tokenizer import has_prefix_space, layout_of, safe_cut
from minigpt.text.token_bytes import BYTE_TO_LETTER, TokenBytes, letters_to_bytes

END_OF_TEXT = "<|endoftext|>"
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
GPT2_ROLES: Mapping[str, str] = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)

_BATCH = 1 << 20  # characters encoded at once: the library needs about a hundred bytes for each token of them


class Encoded(NamedTuple):
    """The ids of a text [N], and how many of its bytes each stands for [N]: none for those put before it."""

    ids: list[int]
    byte_counts: list[int]


class Tokenizer:
    """A byte-level BPE tokenizer as GPT-2's, or another of the tokenizers library.

    Every id from 0 to `vocab_size` - 1 has bytes, `token_bytes(id)`, which do not depend on its neighbours: a text can
    be decoded while it is generated. `encode` and `encode_blocks` turn text into ids, one text or a stream of
    documents; `decode_bytes` and `decode` turn ids into text. `end_of_text` is the id that separates documents, `stops`
    are those at which a sample ends, and `beginning` is the one from which a text is predicted that nothing precedes.
    `prefix` is what the tokenizer itself puts before every text, and `suffix` what it would put after one that ends.

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
        self._engine.no_truncation()  # a finetuned model's file may hold the limits of its training
        self._engine.no_padding()
        self.token_bytes = TokenBytes(engine)
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
        self.prefix, self.suffix = _around(engine)
        self.reads = {"special": False, "no_bos": False}  # how a prompt is read
        self.ends_prompts = False  # whether end-of-text follows a prompt, as it follows a source
        self.vocab_size: int = 1 + max(engine.get_vocab(with_added_tokens=True).values())  # ids may have gaps
        self._added = engine.get_added_tokens_decoder()
        self._safe_cut = safe_cut(engine)
        self._encoder = Encoder(engine, self.token_bytes)

    def limit(self, vocab_size: int) -> None:
        """Drop the ids from `vocab_size` on, which the model lacks; what they stand for in a text is lost."""
        self._encoder.limit = self.vocab_size = vocab_size

    def reading(self, *, special: bool, no_bos: bool) -> "Tokenizer":
        """This tokenizer, which reads the names of special tokens as these tokens, or puts nothing before a text."""
        if not special and not no_bos:
            return self
        other = copy(self)
        other.reads, other.prefix = {"special": special, "no_bos": no_bos}, () if no_bos else self.prefix
        other._safe_cut = None if special else self._safe_cut
        other._encoder = copy(self._encoder)
        other._encoder.special = special
        return other

    def of_sources(self) -> "Tokenizer":
        """This tokenizer, for a model that reads a whole source: end-of-text follows a prompt."""
        other = copy(self)
        other.ends_prompts = True
        return other

    def readings(self) -> Iterator["Tokenizer"]:
        """The ways in which a prompt can be read, the usual one first."""
        for special, no_bos in product((False, True), repeat=2):
            yield self.reading(special=special, no_bos=no_bos)

    def special_names(self, text: str) -> list[str]:
        """The names of special tokens that are read as letters in `text`."""
        names = [token.content for token in self._added.values() if token.special and token.content in text]
        return [] if self.reads["special"] else names

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; no end-of-text is added or parsed.

        Raises CorpusError if the tokenizer has a token for no part of the text; `lost` names single characters.
        """
        ids = self.encode_any(text)
        if self._encoder.is_unread(text, ids):
            raise without_tokens(text)
        return ids

    def encode_any(self, text: str) -> list[int]:
        """Like `encode`, but a text for no part of which there is a token has no ids, or unknown ones."""
        parts = (part for batch in self._batches([Block(text, True)]) for part in self._encode_batch(batch))
        return [token for part in parts for token in part]

    def encode_whole(self, text: str) -> list[int]:
        """Like `encode`, but a single character without a token raises CorpusError too."""
        ids = self.encode(text)
        if lost := self.lost(text):
            raise without_tokens(lost[0])
        return ids

    def encode_prompt(self, text: str) -> "Encoded":
        """What the model reads of a prompt; for an empty one, the id from which a text is generated."""
        if self.ends_prompts:
            text = text.strip()
        ids = self.encode(text)
        if self.ends_prompts and self.end_of_text in ids:
            raise CorpusError(
                f"The source has {self.end_of_text_name} inside, which would end it: "
                f"leave it out, or {named('special')}."
            )
        byte_counts = self.byte_counts(text, ids).tolist()
        if self.ends_prompts:
            return Encoded([*ids, self.end_of_text], [*byte_counts, 0])
        first = self.prefix if ids or self.prefix else (self.end_of_text,)
        return Encoded([*first, *ids], [*[0] * len(first), *byte_counts])

    def _encode_batch(self, batch: Sequence[Block]) -> Iterator[list[int]]:
        return self._encoder.batch([block.text for block in batch])

    @property
    def is_complete(self) -> bool:
        """Whether there is a token for every byte of any text."""
        return self._encoder.is_complete

    @property
    def is_lossless(self) -> bool:
        """Whether the bytes of the tokens of any text are those of the text."""
        return self._encoder.is_lossless

    def byte_counts(self, text: str, ids: Sequence[int]) -> np.ndarray:
        """[N] bytes of `text` that each of its `ids`, as encoded, stands for: their sum is that of the text."""
        return self._encoder.byte_counts(text, ids)

    def lost(self, text: str) -> str:
        """The characters of `text` for which there is no token, in their order."""
        return self._encoder.lost(text)

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
        words, model = layout_of(self._engine.pre_tokenizer), self._engine.model
        if not isinstance(model, models.BPE):
            return False
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
        nothing, first, has_token = [self.end_of_text, self._encoder.unknown or self.end_of_text], "", False
        for batch in self._batches(blocks):
            rows = (
                chain((self.end_of_text,) if begins else (), ids)
                for (_, begins), ids in zip(batch, self._encode_batch(batch), strict=True)
            )
            ids_N = np.fromiter(chain.from_iterable(rows), self.dtype)
            first, has_token = first or batch[0].text, has_token or not np.isin(ids_N, nothing).all()
            yield ids_N
        if first and not has_token:
            raise without_tokens(first)

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """The ids of all documents in one array, end-of-text between them."""
        parts = list(self.encode_blocks(Block(document, begins=True) for document in documents))
        return np.concatenate(parts) if parts else np.zeros(0, self.dtype)

    def longer_tokens(self, data: bytes) -> list[int]:
        """The ids of the longer tokens that begin with `data` (one byte or more); added tokens are excluded."""
        if self.token_bytes.is_byte_level:
            start = "".join(map(BYTE_TO_LETTER.__getitem__, data))
            found = [token for name, token in self._vocabulary.items() if name.startswith(start) and name != start]
        else:
            ids = self._vocabulary.values()
            found = [i for i in ids if self.token_bytes(i).startswith(data) and self.token_bytes(i) != data]
        return sorted(token for token in found if token not in self._added and token < self.vocab_size)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        vocabulary: dict[str, int] = self._engine.get_vocab(with_added_tokens=False)
        return vocabulary

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
        """Pairs of adjacent tokens that BPE merges, in the order in which they were learned and are applied."""
        pairs = json.loads(self._engine.to_str())["model"].get("merges", ())
        return [(letters_to_bytes(left), letters_to_bytes(right)) for left, right in pairs]

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


def _around(engine: Engine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the post-processor puts before a text and after it."""
    for text in chain("a", islice(engine.get_vocab(), 100)) if engine.post_processor else ():  # one that has tokens
        encoding = engine.encode(text)
        is_put = [sequence is None for sequence in encoding.sequence_ids]
        if not all(is_put):
            before, after = is_put.index(False), is_put[::-1].index(False)
            return tuple(encoding.ids[:before]), tuple(encoding.ids[len(is_put) - after :])
    return (), ()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
