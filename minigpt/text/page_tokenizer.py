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
from minigpt.text.pre_tokenizer import parts_of
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_BLOCK = 1 << 11  # code points at once: the library converts places in a long text slowly
_SURROGATES = range(0xD800, 0xE000)

# Characters that Unicode 10 to 17 normalize or reorder, and what these are composed of.
_NEWER = (
    "7FD 897-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1ADD 1AE0-1AEB 1DF6-1DFA 32FF A7F1-A7F4 A82C AB69 "
    "105C9 105D2 105DA 105E4 10781-10785 10787-107B0 107B2-107BA 10D24-10D27 10D69-10D6D 10EAB-10EAC "
    "10EFA-10EFB 10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B 11382-11385 1138B 1138E 11390-11391 113B8 "
    "113BB 113C2 113C5 113C7-113C9 113CE-113D0 1145E 11839-1183A 11930 11935 11938 1193D-1193E 11943 119E0 "
    "11A34 11A47 11A99 11D42 11D44-11D45 11D97 11F41-11F42 1611E-16129 1612F 16D63 16D67-16D6A 16FF0-16FF1 "
    "1CCD6-1CCF9 1E030-1E06D 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF 1E6E3 1E6E6 "
    "1E6EE-1E6EF 1E6F5 1F16C 1FBF0-1FBF9 "
)
_INERT = tuple(range(int(part.split("-")[0], 16), int(part.split("-")[-1], 16) + 1) for part in _NEWER.split())


def page_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer in plain values, for `new Tokenizer(...)` of templates/model/tokenizer.js.

    `names` of all tokens in GPT-2's letters, in the order of their `ids` (null where they count from 0), `merges` as
    pairs of places in `names`, one after the other, in the order in which they are applied; `added` tokens; sets of
    characters as gaps and lengths in turn. Raises ConfigError for a tokenizer that the script does not compute exactly.
    """
    layout = json.loads(tokenizer.to_json())
    model, added = layout["model"], layout["added_tokens"]
    words, form = _known(layout)
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
        "added": list(_added(added, form)),
        "readsSpecial": tokenizer.reads["special"],
        "form": form,
        "prefixSpace": words["add_prefix_space"],
        "isSplit": words["use_regex"],
        "unassigned": _gaps(_unassigned()),
        "inert": _gaps([*_unassigned(), *_INERT]) if form else [],
    }


def _require(is_met: bool, fault: str) -> None:
    if not is_met:
        raise ConfigError(f"A page cannot compute this model's tokenizer exactly: {fault}.")


def _known(layout: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """How words are cut, and the form to which a text is normalized."""
    model = layout["model"]
    words = list(parts_of(layout["pre_tokenizer"]))
    forms = [part["type"] for part in parts_of(layout["normalizer"], "normalizers")]
    kinds = " and ".join(part["type"] for part in words) or "nothing"
    wrong = next((form for form in forms if form not in _FORMS), None)
    _require(model["type"] == "BPE", f"it is a {model['type']}, not a byte-level BPE")
    _require(kinds == "ByteLevel", f"it cuts words by {kinds}, not by GPT-2's ByteLevel alone")
    _require(not model["continuing_subword_prefix"], "its tokens have another spelling inside a word")
    _require(not model["end_of_word_suffix"], "its tokens have another spelling at the end of a word")
    _require(wrong is None, f"it changes a text by {wrong}, which is none of {', '.join(_FORMS)}")
    _require(len(forms) <= 1, "it normalizes a text more than once")
    return words[0], forms[0] if forms else None


def _added(tokens: Iterable[Mapping[str, Any]], form: str | None) -> Iterator[dict[str, Any]]:
    """Added tokens: `name` is what they stand for, `text` what they are found by; flags that are false are left out."""
    normalizer = getattr(normalizers, form)() if form else None
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
        yield {
            "id": token["id"],
            "name": name,
            "text": text,
            **{flag: True for flag, is_set in flags.items() if is_set},
        }


@cache
def _unassigned() -> tuple[range, ...]:
    """The code points that are no characters in the library's Unicode, as its patterns have it."""
    unassigned = pre_tokenizers.Split(Regex(r"\p{Cn}+"), "removed", invert=True)
    return tuple(
        range(first + start, first + end)
        for first in range(0, 0x110000, _BLOCK)
        if first not in _SURROGATES
        for _, (start, end) in unassigned.pre_tokenize_str("".join(map(chr, range(first, first + _BLOCK))))
    )


def _gaps(ranges: Iterable[range]) -> list[int]:
    """The numbers of these ranges as gaps and lengths in turn."""
    gaps: list[int] = []
    end = 0
    for each in sorted(ranges, key=lambda each: each.start):
        start, stop = max(end, each.start), max(end, each.stop)
        if gaps and start == end:
            gaps[-1] += stop - start
        else:
            gaps += [start - end, stop - start]
        end = stop
    return gaps
