"""Loads a tokenizer from its files: tokenizer.json, or vocab.json and merges.txt, and what names special tokens."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from tokenizers import AddedToken, models, processors
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.files import (
    CONFIG,
    DESCRIPTION,
    GENERATION,
    TOKENIZER,
    check_file,
    check_given_file,
    read_json_object,
)
from minigpt.errors import CheckpointError, brief
from minigpt.text.library_calls import Panic, quiet_panics
from minigpt.text.pre_tokenizer import set_prefix_space
from minigpt.text.tokenizer import GPT2_ROLES, ROLES, Tokenizer, byte_level_engine

VOCABULARY, MERGES = "vocab.json", "merges.txt"
ADDED, NAMED = "added_tokens.json", "special_tokens_map.json"
_OTHER_VOCABULARIES = ("vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
_CONVERSION = (
    "from transformers import AutoTokenizer; AutoTokenizer.from_pretrained({folder!r}).save_pretrained({folder!r})"
)
# Bytes. The file of the largest vocabulary that is made here, of a million tokens, has some ninety million; reading
# it takes sixteen times as much memory, and a second for each eight million.
LARGEST = 1 << 27
_LARGEST_SMALL_FILE = 1 << 24


@dataclass(frozen=True)
class Special:
    """What a folder says about its tokenizer beside the vocabulary.

    `added`: tokens by id, which occur in text unless they are special. `names`: tokens that never occur in text.
    `roles`, `ends` and `endless` are as in Tokenizer. If the vocabulary's file does not decide that, `prefix_space` is
    whether a blank is put before a text that does not begin with one, and `before` and `after` are the tokens that are
    put around a text.
    """

    added: Mapping[int, AddedToken] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=lambda: GPT2_ROLES)
    ends: tuple[tuple[int, ...], ...] = ()
    endless: bool = False
    prefix_space: bool | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def give(self, engine: Engine) -> None:
        """Add the tokens to `engine`. Raises CheckpointError for one that has, or would get, another id."""
        engine.add_tokens([token for _, token in sorted(self.added.items())])
        for number, token in sorted(self.added.items()):
            if engine.token_to_id(token.content) != number:
                raise CheckpointError(
                    f"The added token {brief(repr(token.content))} is declared with the id {number:,}, but the "
                    f"vocabulary gives it {engine.token_to_id(token.content)}."
                )
        names = dict.fromkeys((*self.names, *self.roles.values()))  # GPT-2's, where none are named, are in no file
        engine.add_special_tokens([name for name in names if engine.token_to_id(name) is not None])
        if self.before or self.after:
            engine.post_processor = self._around(engine)

    def _around(self, engine: Engine) -> processors.TemplateProcessing:
        tokens = {name: engine.token_to_id(name) for name in (*self.before, *self.after)}
        keys = {name: f"token{number}" for name, number in tokens.items() if number is not None}
        before, after = ([keys[name] for name in names if name in keys] for names in (self.before, self.after))
        return processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *after, *before, "$B", *after],
            special_tokens=[{"id": key, "ids": [tokens[name]], "tokens": [name]} for name, key in keys.items()],
        )


def tokenizer_from_file(path: Path, special: Special | None = None) -> Tokenizer:
    """Read a tokenizer.json. Raises CheckpointError if it is missing or damaged."""
    special = special or Special()
    try:
        text = path.read_text("utf-8")
        layout = json.loads(text)
        prefix = layout["model"].get("continuing_subword_prefix")
        # OpenAI's own upload of GPT-2 has no type; the library then takes the model for what its fields allow.
        is_bpe = layout["model"].get("type", "BPE") == "BPE" and "merges" in layout["model"]
        if special.prefix_space is not None and set_prefix_space(layout.get("pre_tokenizer"), special.prefix_space):
            text = json.dumps(layout)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a tokenizer file, or is damaged.") from error
    if is_bpe and prefix:  # with it, the library can read beyond the end of a token, and end the process
        raise CheckpointError(f"{path} is a BPE tokenizer with a continuing_subword_prefix, which is not supported.")
    return _made(lambda: Engine.from_str(text), path, special)


def tokenizer_from_vocabulary(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], path: Path, special: Special
) -> Tokenizer:
    """A tokenizer from a vocab.json, at `path`, and a merges.txt. Raises CheckpointError if they do not fit
    together.
    """

    def make() -> Engine:
        return byte_level_engine(models.BPE(vocab=dict(vocabulary), merges=list(merges)), special.prefix_space or False)

    return _made(make, path, special)


def _made(make: Callable[[], Engine], path: Path, special: Special) -> Tokenizer:
    try:
        with quiet_panics():
            engine = make()
            if isinstance(engine.model, models.BPE):
                engine.model.dropout = None  # with it, a text has other ids at each call
            special.give(engine)
            return Tokenizer(engine, special.roles, special.ends, special.endless)
    except (CheckpointError, MemoryError):
        raise
    except Panic as error:
        raise CheckpointError(f"{path} is damaged: the tokenizers library panics on it.") from error
    except Exception as error:  # the library raises nothing more precise
        raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read a tokenizer from whichever files hold it, and its added tokens from others. Raises CheckpointError."""
    special = _special(folder)
    path = folder / TOKENIZER
    if not path.exists() and not path.is_symlink() and (folder / VOCABULARY).exists():
        merges, vocabulary = list(_merges(folder / MERGES)), folder / VOCABULARY
        ids = _checked_ids(read_json_object(vocabulary, LARGEST), vocabulary)
        return tokenizer_from_vocabulary(ids, merges, vocabulary, special)
    others = [name for name in _OTHER_VOCABULARIES if (folder / name).exists()]
    if others and not path.exists():
        raise CheckpointError(
            f"{folder} has no {TOKENIZER}, only {others[0]}, which the package transformers can convert:\n"
            f"  python -c {quote(_CONVERSION.format(folder=str(folder)))}"
        )
    check_file(path, LARGEST)
    return tokenizer_from_file(path, special)


def given_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a folder, or in a tokenizer.json of any name. Raises CheckpointError."""
    if path.is_dir():
        return read_tokenizer(path)
    check_given_file(path, LARGEST)
    return tokenizer_from_file(path)


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that hold the tokenizer, or a GGUF file itself: the files for a fingerprint."""
    if folder.is_file():
        return [folder]
    if not (folder / TOKENIZER).exists() and (folder / VOCABULARY).exists():
        return [folder / VOCABULARY, folder / MERGES]
    return [folder / TOKENIZER]


def _checked_ids(ids: dict[str, Any], path: Path) -> dict[str, int]:
    """`ids`, the tokens of a file and their ids."""
    wrong = next((token for token, number in ids.items() if type(number) is not int or number < 0), None)
    if wrong is not None:
        raise CheckpointError(
            f"{path}: the id of {brief(repr(wrong))} is {brief(repr(ids[wrong]))}; an id is a whole number from 0 on."
        )
    return ids


def _merges(path: Path) -> Iterator[tuple[str, str]]:
    check_file(path, LARGEST)
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip("\r") and not line.startswith("#version"):
            pair = line.rstrip("\r").split(" ")
            if len(pair) != 2:
                raise CheckpointError(f"{path} line {number:,} is not a merge: two parts with a space between them.")
            yield pair[0], pair[1]


def _special(folder: Path) -> Special:
    """The contents of those special-token files that exist; most folders lack some."""
    description, named = _optional(folder / DESCRIPTION), _optional(folder / NAMED)
    given = {**named, **description}
    extra = [token for values in (named, description) for token in _listed(values.get("additional_special_tokens"))]
    names = [_name(value) for role, value in given.items() if role.endswith("_token")] + [_name(t) for t in extra]
    in_text = _checked_ids(_optional(folder / ADDED), folder / ADDED)
    added = {number: AddedToken(token, special=False) for token, number in in_text.items()}
    added |= _described(description, folder / DESCRIPTION)
    for number, token in added.items():
        if token.content in names:
            added[number] = AddedToken(token.content, special=True, normalized=False)
    is_gpt2s, has_file = _is_gpt2s(folder, description), (folder / TOKENIZER).exists()
    roles = _roles(given, is_gpt2s)
    return Special(
        added=added,
        names=tuple(dict.fromkeys(name for name in names if name)),
        roles=roles,
        ends=_ends(folder),
        before=() if has_file else _before(description, roles),
        endless=_optional(folder / CONFIG).get("eos_token_id", -1) is None,
        prefix_space=description.get("add_prefix_space") is True if is_gpt2s or not has_file else None,
    )


def _is_gpt2s(folder: Path, description: Mapping[str, Any]) -> bool:
    """Whether transformers 5.23 takes GPT2Tokenizer, the class of a GPT-2 for which no other is named.

    It has GPT-2's roles where none are named, and heeds add_prefix_space of tokenizer_config.json alone, in which
    silence means no (tokenization_auto.py, tokenization_gpt2.py).
    """
    named = description.get("tokenizer_class") or _optional(folder / CONFIG).get("tokenizer_class")
    return not isinstance(named, str) or named.removesuffix("Fast") == "GPT2Tokenizer"


def _before(description: Mapping[str, Any], roles: Mapping[str, str]) -> tuple[str, ...]:
    """The token that is put before a text; transformers 5.23 asks this of a tokenizer.json instead, where there is one
    (tokenization_utils_base.py).
    """
    return (roles["bos_token"],) if description.get("add_bos_token") is True and "bos_token" in roles else ()


def _roles(named: Mapping[str, Any], is_gpt2s: bool) -> dict[str, str]:
    """The names of tokens by their roles; null stands for none."""
    given = {role: _name(named[role]) for role in ROLES if role in named}
    return {role: name for role, name in {**(GPT2_ROLES if is_gpt2s else {}), **given}.items() if name}


def _ends(folder: Path) -> tuple[tuple[int, ...], ...]:
    """The ids at which transformers ends a text: of generation_config.json, else of config.json."""
    given = [_optional(folder / file).get("eos_token_id") for file in (GENERATION, CONFIG)]
    lists = [value if isinstance(value, list) else [value] for value in given]
    return tuple(tuple(i for i in ids if type(i) is int and 0 <= i < 1 << 32) for ids in lists)


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path, _LARGEST_SMALL_FILE) if path.exists() or path.is_symlink() else {}


def _described(description: Mapping[str, Any], where: Path) -> Iterator[tuple[int, AddedToken]]:
    """added_tokens_decoder: maps an id, as text, to its token."""
    tokens = description.get("added_tokens_decoder") or {}
    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    try:
        for number, token in tokens.items():
            yield int(number), AddedToken(token["content"], **{flag: bool(token.get(flag)) for flag in flags})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: added_tokens_decoder is not a table of ids and tokens.") from error


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _name(value: object) -> str:
    """The text of a token, which is stored as a string or as an object with one."""
    given = value.get("content") if isinstance(value, Mapping) else value
    return given if isinstance(given, str) else ""
