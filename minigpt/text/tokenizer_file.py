"""Makes a tokenizer of its files: tokenizer.json, or GPT-2's older vocab.json and merges.txt."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import AddedToken, models, processors
from tokenizers import Tokenizer as Engine

from minigpt.errors import CheckpointError, brief
from minigpt.text.library_calls import Panic, quiet_panics
from minigpt.text.pre_tokenizer import set_prefix_space
from minigpt.text.tokenizer import GPT2_ROLES, Tokenizer, byte_level_engine


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
    return _tokenizer(lambda: Engine.from_str(text), path, special)


def tokenizer_from_vocabulary(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], path: Path, special: Special
) -> Tokenizer:
    """A tokenizer from a vocab.json, at `path`, and a merges.txt. Raises CheckpointError if they do not fit
    together.
    """

    def make() -> Engine:
        return byte_level_engine(models.BPE(vocab=dict(vocabulary), merges=list(merges)), special.prefix_space or False)

    return _tokenizer(make, path, special)


def _tokenizer(make: Callable[[], Engine], path: Path, special: Special) -> Tokenizer:
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
