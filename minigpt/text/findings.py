"""What a pass over a file finds beside its text, and the notes about it."""

import codecs
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from minigpt.errors import named
from minigpt.settings import TextFormat

# How the files of other tools mark the end of a document.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>", "<eos>")
_SEVERAL = 2  # a text may mention one
_DONE = {"replace": "replaced by U+FFFD", "skip": "left out"}


@dataclass
class Findings:
    """Counts over one pass over a file; `ends` only of a text that is not split."""

    undecodable: int = 0  # bytes
    trailing: int = 0  # bytes after the end of what is compressed
    nulls: int = 0
    empty_sides: int = 0  # pairs without a source or a target
    splits: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    is_plain_json: bool = False

    def count_ends(self, text: str) -> None:
        """Count the marks of ENDS in a part of the text."""
        for end in ENDS:
            if found := text.count(end):
                self.ends[end] += found


def reading_notes(files: Mapping[str, Findings], how: TextFormat) -> tuple[str, ...]:
    """Sentences about what was left out of `files`, or changed in them."""
    encoding, done = codecs.lookup(how.encoding).name.upper(), _DONE.get(how.encoding_errors, "")
    trailing = "after the end of the compressed text"
    undecodable, ends, nulls, empty_sides = (
        {name: getattr(found, what) for name, found in files.items()}
        for what in ("undecodable", "trailing", "nulls", "empty_sides")
    )
    sentences = [
        _counted(undecodable, f"byte that is not {encoding} was {done}", f"bytes that are not {encoding} were {done}"),
        _counted(ends, f"byte {trailing} was ignored", f"bytes {trailing} were ignored"),
        _counted(nulls, "text is null and was skipped", "texts are null and were skipped"),
        _counted(empty_sides, "pair has an empty side and was skipped", "pairs have an empty side and were skipped"),
    ]
    if plain := [name for name, found in files.items() if found.is_plain_json]:
        verb = "is" if len(plain) == 1 else "are"
        sentences.append(f"{_names(plain)} {verb} read as plain text: no array of objects or of texts.")
    if how.split_on is not None and not any(found.splits for found in files.values()):
        hint = " In most shells, $'\\n' is a line break." if "\\n" in how.split_on else ""
        sentences.append(f"{named('split_on', shlex.quote(how.split_on))} occurs nowhere in the text.{hint}")
    return tuple(filter(None, sentences))


def separator_note(files: Mapping[str, Findings]) -> str:
    """A sentence about a text full of marks at which it could be split, or nothing."""
    ends: Counter[str] = sum((found.ends for found in files.values()), Counter())
    end, count = next(iter(ends.most_common(1)), ("", 0))
    if count < _SEVERAL:
        return ""
    names = [name for name, found in files.items() if found.ends[end]]
    return (
        f"{_names(names)} contain{'s' if len(names) == 1 else ''} {end} {count:,} times, which the model reads as "
        f"{len(end)} ordinary characters. If it separates documents, add {named('split_on', shlex.quote(end))}."
    )


def _counted(counts: Mapping[str, int], one: str, several: str) -> str:
    names, total = [name for name, count in counts.items() if count], sum(counts.values())
    return f"{_names(names).rstrip(',')}: {total:,} {one if total == 1 else several}." if total else ""


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} files, such as {names[0]},"
