"""Describes a tokenizer for a page, whose script gives the same ids: templates/model/tokenizer.js.

What the script cannot compute exactly is refused here: other models than a byte-level BPE, other patterns than GPT-2's,
and normalizers that are not of Unicode.

The browser's Unicode is not the library's. tokenizers 0.23.3 cuts words by Unicode 16, in which the letters of Unicode
17, which browsers have, are not assigned; and it normalizes by Unicode 9. So a page holds what is not assigned in the
library, and what normalizing there leaves as it is.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers

from minigpt.errors import ConfigError
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_CODE_POINTS = range(0x110000)
_SURROGATES = range(0xD800, 0xE000)


def page_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer in plain values, for `new Tokenizer(...)` of templates/model/tokenizer.js.

    `names` of all tokens in GPT-2's letters, in the order of their `ids` (null where they count from 0), `merges` as
    pairs of places in `names`, one after the other, in the order in which they are applied; `added` tokens; sets of
    characters as gaps and lengths in turn. Raises ConfigError for a tokenizer that the script does not compute exactly.
    """
    layout = json.loads(tokenizer.to_json())
    model, words, forms = layout["model"], layout["pre_tokenizer"] or {}, list(_forms(layout["normalizer"]))
    _require_known(model, words, forms)
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    places = {name: place for place, name in enumerate(names)}
    ids = [model["vocab"][name] for name in names]
    unknown = places.get(model["unk_token"])
    holes = [letter for letter in BYTE_TO_LETTER.values() if letter not in places]
    _require(len(set(ids)) == len(ids), "two of its tokens have the same id")
    _require(not holes or not model["byte_fallback"], "it spells unknown bytes by other tokens")
    _require(not holes or (model["unk_token"] is None) == (unknown is None), "its unknown token is missing")
    return {
        "size": tokenizer.vocab_size,
        "endOfText": tokenizer.end_of_text,
        "stops": sorted(tokenizer.stops),
        "prefix": list(tokenizer.prefix),
        "names": names,
        "ids": None if ids == list(range(len(ids))) else ids,
        "merges": [places[name] for pair in model["merges"] for name in pair],
        "ignoresMerges": model["ignore_merges"],
        "unknown": unknown,
        "fusesUnknown": model["fuse_unk"],
        "added": list(_added(layout["added_tokens"], forms)),
        "readsSpecial": tokenizer.reads["special"],
        "form": forms[0] if forms else None,
        "prefixSpace": words["add_prefix_space"],
        "isSplit": words["use_regex"],
        "unassigned": _ranges(_unassigned()),
        "inert": _ranges({*_unassigned(), *_INERT}) if forms else [],
    }


def _require(is_met: bool, fault: str) -> None:
    if not is_met:
        raise ConfigError(f"A page cannot compute this model's tokenizer exactly: {fault}.")


def _require_known(model: Mapping[str, Any], words: Mapping[str, Any], forms: list[str]) -> None:
    kind = words.get("type")
    _require(model["type"] == "BPE", f"it is a {model['type']}, not a byte-level BPE")
    _require(kind == "ByteLevel", f"it cuts words as {kind or 'nothing'} does, not as GPT-2's ByteLevel")
    _require(not model["continuing_subword_prefix"], "its tokens have another spelling inside a word")
    _require(not model["end_of_word_suffix"], "its tokens have another spelling at the end of a word")
    wrong = next((form for form in forms if form not in _FORMS), None)
    _require(wrong is None, f"it changes a text by {wrong}, which is none of {', '.join(_FORMS)}")
    _require(len(forms) <= 1, "it normalizes a text more than once")


def _forms(normalizer: Mapping[str, Any] | None) -> Iterator[str]:
    """The names of the normalizers, those of a sequence one by one."""
    if normalizer and normalizer["type"] == "Sequence":
        for part in normalizer["normalizers"]:
            yield from _forms(part)
    elif normalizer:
        yield normalizer["type"]


def _added(tokens: Iterable[Mapping[str, Any]], forms: list[str]) -> Iterator[dict[str, Any]]:
    """Added tokens: `name` is what they stand for, and `text` what they are found by; flags are left out unless true."""
    normalizer = getattr(normalizers, forms[0])() if forms else None
    found = set()
    for token in tokens:
        name, is_normalized = token["content"], token["normalized"]
        text = normalizer.normalize_str(name) if normalizer and is_normalized else name
        _require((text, is_normalized) not in found, "two of its added tokens are read alike")
        found.add((text, is_normalized))
        flags = {
            "isNormalized": is_normalized,
            "isSpecial": token["special"],
            "isWord": token["single_word"],
            "takesLeft": token["lstrip"],
            "takesRight": token["rstrip"],
        }
        yield {"id": token["id"], "name": name, "text": text, **{flag: True for flag, is_set in flags.items() if is_set}}


@cache
def _unassigned() -> frozenset[int]:
    """The code points that are no characters in the library's Unicode, as its patterns have it."""
    unassigned = pre_tokenizers.Split(Regex(r"\p{Cn}"), "removed", invert=True)
    text = "".join(map(chr, (number for number in _CODE_POINTS if number not in _SURROGATES)))
    return frozenset(ord(found) for part, _ in unassigned.pre_tokenize_str(text) for found in part)


def _ranges(numbers: Iterable[int]) -> list[int]:
    """Ascending numbers as gaps and lengths in turn."""
    ranges: list[int] = []
    end = 0
    for number in sorted(numbers):
        if ranges and number == end:
            ranges[-1] += 1
        else:
            ranges += [number - end, 1]
        end = number + 1
    return ranges
