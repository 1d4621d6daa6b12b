"""Which tokens a tokenizer itself puts before and after a text, as transformers 5.23 has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import TOKENIZER, read_json_object
from minigpt.checkpoint.tokenizer_files import DESCRIPTION
from minigpt.errors import CheckpointError


@dataclass(frozen=True)
class Around:
    """The ids before and after a text."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def tokens_around(layout: Mapping[str, Any], folder: Path, bos: int | None) -> Around:
    """What the post-processor of a tokenizer.json, `layout`, adds to a text.

    Where `folder` has no tokenizer.json, add_bos_token of tokenizer_config.json says whether it is `bos`; beside one,
    transformers ignores that. Raises CheckpointError.
    """
    if not (folder / TOKENIZER).exists() and (folder / DESCRIPTION).is_file():
        adds = read_json_object(folder / DESCRIPTION).get("add_bos_token") is True
        return Around((bos,) if adds and bos is not None else ())
    try:
        return _of(layout["post_processor"] or {})
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"{folder / TOKENIZER}: the post_processor is damaged.") from error


def _of(processor: Mapping[str, Any]) -> Around:
    kind = processor.get("type")
    if kind == "Sequence":
        around = Around()
        for part in map(_of, processor["processors"]):
            around = Around(part.before + around.before, around.after + part.after)
        return around
    if kind in ("BertProcessing", "RobertaProcessing"):
        return Around((processor["cls"][1],), (processor["sep"][1],))
    if kind == "TemplateProcessing":
        sides: list[list[int]] = [[]]
        for part in processor["single"]:
            if "SpecialToken" in part:
                sides[-1] += processor["special_tokens"][part["SpecialToken"]["id"]]["ids"]
            else:  # the text itself
                sides.append([])
        return Around(tuple(sides[0]), tuple(sides[1]))
    return Around()
