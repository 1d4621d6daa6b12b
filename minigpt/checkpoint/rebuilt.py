"""Checks an export's tokenizer before it is kept: rebuilt as other programs will, it must cut a hard text alike.

A tokenizer that comes out differently is the worst fault of an export, because every number after it is wrong, and
nothing says so.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.files import DESCRIPTION, TOKENIZER, read_json_object
from minigpt.errors import CorpusError, MinigptError, OutputError, brief
from minigpt.text.library_calls import panics_raised, quiet_panics
from minigpt.text.tokenizer import Tokenizer, byte_level_engine

Encode = Callable[[str], list[int]]

_HARD = (
    "The quick brown fox, isn't it? I'LL we've they'd you're I'm. don’t 'S 'twas",
    "12 345 6789 0x1F 3.14159 1,000,000 1e-9 ½ ²³ Ⅷ ٣٤ ৪৫ 12th",
    "a  b   c    d     e \t f\t\tg  \n\n h\n\n\n i \r\n j\r k \u00a0 l \u3000 m \u2028n ",
    "   leading and trailing   ",
    "\n\n\t\t  \n",
    "def f(x):\n    return {'a': [1, 2], \"b\": x**2 != 3}  # _snake_case CamelCase\n",
    "https://example.org/a?b=c&d=%20#e user@example.org <p class='x'>&amp;</p> \\n \\\\ $x^2$",
    "Straße ÄÖÜ naïve cafe\u0301 Ångström ﬁ ſ İstanbul ıI Ǆ ΌΣΟΣ ὀδυσσεύς",
    "Привет, мир! Їжак. Հայերեն. ქართული.",
    "שָׁלוֹם עולם مرحبا بالعالم می\u200cخواهم",
    "हिन्दी में किताब বাংলা தமிழ் ภาษาไทย ဗမာ ខ្មែរ",
    "速い茶色の狐は怠け者の犬を飛び越える。快速的棕色狐狸！ 한국어 \u1112\u1161\u11ab",
    "😀👩\u200d👩\u200d👧👍🏽🇩🇪 ❤\ufe0f 1\ufe0f\u20e3 \U0001f9ff\U000e0041",
    "\x00\x01\x07\x1b[31m\x7f\x85\x9f \u00ad\u200b\u2060\ufeff \ue000 \ufffd",
    "…—–‘’“”«»•·×÷≠≤≥∑∫√∞ ←→ ␣ĠĊ€£¥ ☃ ♞ ⌘ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ﷽",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa !!!!!!!!!!!! ---------- ....... ==>",
    "<|endoftext|> <|im_start|>user [INST] <s> </s> <pad> [PAD] [UNK] <unk>",
)
_MOST_ADDED, _MOST_PAIRED, _LONGEST_NAME = 1000, 100, 200
_LONG = 1 << 16  # characters; enough for a tokenizer that is given a text in parts


def check_folder(folder: Path, tokenizer: Tokenizer) -> None:
    """Raise OutputError unless transformers 5.23 would read the same tokens and ids from `folder`."""
    where = f"transformers would read another tokenizer from {folder}"
    engine = _built(lambda: as_transformers_reads(folder), where)
    if _added(json.loads(engine.to_str())) != _added(json.loads(tokenizer.to_json())):
        raise OutputError(f"{where}, with other added tokens. It is not written.")
    engine.encode_special_tokens = True
    _compare(lambda text: engine.encode(text, add_special_tokens=False).ids, tokenizer, where)


def as_transformers_reads(folder: Path) -> Engine:
    """The tokenizer of `folder` as transformers 5.23 makes it, from tokenizer.json and tokenizer_config.json.

    GPT2Tokenizer takes vocabulary, merges, post-processor and added tokens from tokenizer.json, add_prefix_space from
    tokenizer_config.json, and all else is GPT-2's (tokenization_gpt2.py, and convert_to_native_format in
    tokenization_utils_tokenizers.py). PreTrainedTokenizerFast takes tokenizer.json as it is.
    """
    layout, description = read_json_object(folder / TOKENIZER), read_json_object(folder / DESCRIPTION)
    added = [_as_token(token) for token in layout["added_tokens"]]
    stored = Engine.from_str(json.dumps(layout))
    if description["tokenizer_class"] == "GPT2Tokenizer":
        merges = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in layout["model"]["merges"]]
        engine = byte_level_engine(
            models.BPE(vocab=layout["model"]["vocab"], merges=merges), description["add_prefix_space"]
        )
        if stored.post_processor is not None:
            engine.post_processor = stored.post_processor
    else:
        engine = stored
    names = {token.content for token in added}
    roles = [name for role, name in description.items() if role.endswith("_token") and isinstance(name, str)]
    engine.add_tokens(added)
    engine.add_tokens([AddedToken(name, special=True) for name in dict.fromkeys(roles) if name not in names])
    return engine


def _as_token(values: Mapping[str, Any]) -> AddedToken:
    return AddedToken(**{key: value for key, value in values.items() if key != "id"})


def _added(layout: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sorted(layout["added_tokens"], key=lambda token: int(token["id"]))


def check_gguf(
    names: Sequence[str], merges: Sequence[str], in_text: Sequence[str], tokenizer: Tokenizer, where: Path
) -> None:
    """Raise OutputError unless llama.cpp, with the split "gpt-2", would give the ids of `tokenizer`.

    `names`: all tokens by id. `merges`: pairs, with a blank between the two. `in_text`: the names of added tokens that
    a text can hold; llama.cpp looks for the longest first.
    """
    vocabulary = {name: number for number, name in enumerate(names)}
    pairs = [(merge[: merge.index(" ", 1)], merge[merge.index(" ", 1) + 1 :]) for merge in merges]
    known = [pair for pair in pairs if all(name in vocabulary for name in (*pair, "".join(pair)))]
    otherwise = f"llama.cpp would read other tokens from {where}"
    engine = _built(lambda: byte_level_engine(models.BPE(vocab=vocabulary, merges=known)), otherwise)
    longest_first = sorted(in_text, key=lambda name: len(name.encode()), reverse=True)

    def encode(text: str) -> list[int]:
        return [number for part in _parted(text, longest_first, vocabulary) for number in _ids(part)]

    def _ids(part: str | int) -> list[int]:
        return [part] if isinstance(part, int) else engine.encode(part, add_special_tokens=False).ids

    short = [name for name in in_text if len(name) <= _LONGEST_NAME]
    _compare(encode, tokenizer, otherwise, list(_overlaps(short[:_MOST_PAIRED])))


def _built(make: Callable[[], Engine], otherwise: str) -> Engine:
    try:
        with quiet_panics():
            return make()
    except (MinigptError, MemoryError):
        raise
    except Exception as error:  # the library raises nothing more precise
        raise OutputError(f"{otherwise}: {error}. It is not written.") from error


def _overlaps(names: Sequence[str]) -> Iterator[str]:
    """Texts in which the end of one name is the beginning of another."""
    for first in names:
        for second in names:
            shared = next((n for n in range(1, min(len(first), len(second))) if first.endswith(second[:n])), 0)
            if shared:
                yield first + second[shared:]


def _parted(text: str, names: Sequence[str], ids: Mapping[str, int]) -> list[str | int]:
    """The ids of `names` in a text, and the parts between them; earlier names come first."""
    parts: list[str | int] = [text]
    for name in (name for name in names if name in text):
        found: list[str | int] = []
        for part in parts:
            if isinstance(part, str):
                first, *others = part.split(name)
                found += [first, *(piece for other in others for piece in (ids[name], other))]
            else:
                found.append(part)
        parts = found
    return parts


def _compare(encode: Encode, tokenizer: Tokenizer, otherwise: str, more: Sequence[str] = ()) -> None:
    """Raise OutputError, beginning with `otherwise`, where `encode` gives other ids than `tokenizer`."""
    names = [token["content"] for token in _added(json.loads(tokenizer.to_json()))]
    short = [name for name in names if len(name) <= _LONGEST_NAME][:_MOST_ADDED]
    spelled = [text for name in short for text in (f"a{name}b", f" {name}  {name}\n")]
    read = []
    for text in (*_HARD, *spelled, *more):
        try:
            text = text.translate(dict.fromkeys(map(ord, tokenizer.lost(text))))  # whatever other programs make of it
            ids = tokenizer.encode(text)
        except CorpusError:  # the vocabulary has no token for any of it
            continue
        read.append(text)
        _check(encode, text, ids, otherwise)
    whole = "".join(read)
    long = whole * (1 + _LONG // max(1, len(whole)))
    _check(encode, long, tokenizer.encode(long), otherwise)


def _check(encode: Encode, text: str, ids: list[int], otherwise: str) -> None:
    try:
        with panics_raised():
            same = encode(text) == ids
    except MemoryError:
        raise
    except Exception:  # such as a token that is unknown there
        same = False
    if not same:
        raise OutputError(f"{otherwise}: {brief(repr(text))} would be cut differently. It is not written.")
