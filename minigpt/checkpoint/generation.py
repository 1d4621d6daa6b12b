"""How a model is meant to be sampled: generation_config.json, which minigpt keeps in what it makes of the model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import CONFIG, GENERATION, LARGEST_CONFIG, read_json_object

_LARGEST = 1 << 20  # bytes; a list of every token of GPT-2's has half of them
_LENGTHS = ("max_length", "max_new_tokens")
_SOURCE = "_from_model_config"  # with it, transformers 4 reads config.json instead

# Without a generation_config.json, transformers 5.23 takes these from config.json (GenerationConfig.from_model_config).
_IN_CONFIG = (
    "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "decoder_start_token_id", "diversity_penalty",
    "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "eos_token_id",
    "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty", "force_words_ids", "forced_bos_token_id",
    "forced_eos_token_id", "guidance_scale", "length_penalty", "max_length", "max_new_tokens", "max_time", "min_length",
    "min_new_tokens", "min_p", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
    "pad_token_id", "penalty_alpha", "remove_invalid_values", "renormalize_logits", "repetition_penalty",
    "sequence_bias", "stop_strings", "suppress_tokens", "temperature", "top_h", "top_k", "top_p", "typical_p",
)  # fmt: skip


def read_generation(folder: Path) -> dict[str, Any]:
    """The settings of a model's folder; what JSON cannot hold, such as NaN, is left out. Raises CheckpointError."""
    path = folder / GENERATION
    if path.exists() or path.is_symlink():
        values = read_json_object(path, _LARGEST)
    else:
        values = {
            key: value for key, value in read_json_object(folder / CONFIG, LARGEST_CONFIG).items() if key in _IN_CONFIG
        }
    return {
        key: value for key, value in values.items() if key != _SOURCE and value is not None and _storable(key, value)
    }


def _storable(*values: Any) -> bool:
    try:
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # NaN, infinity, or half a character
        return False
    return True


def generation_to_json(given: Mapping[str, Any], ids: Mapping[str, Any], context: int) -> dict[str, Any]:
    """The contents of generation_config.json: the settings `given`, with the tokenizer's `ids` of special tokens.

    Without a limit for the length, it is `context`: transformers' pipeline writes 256 tokens otherwise, beyond the
    positions of a short context.
    """
    limit = {} if any(key in given for key in _LENGTHS) else {"max_length": context}
    ends = {"eos_token_id"} if _same(given.get("eos_token_id"), ids.get("eos_token_id")) else set()
    return {**given, **{key: value for key, value in ids.items() if key not in ends}, **limit}


def _same(given: Any, ours: Any) -> bool:
    """Whether two lists hold the same ids, in any order; one id stands for a list of it."""
    lists = [value if isinstance(value, list) else [value] for value in (given, ours)]
    return lists[0] == lists[1] or sorted(map(str, lists[0])) == sorted(map(str, lists[1]))


def within(given: Mapping[str, Any], context: int, before: int) -> dict[str, Any]:
    """The settings for a model that has fewer positions than `before`: max_length is at most `context`."""
    length = given.get("max_length")
    too_long = context < before and type(length) is int and length > context
    return {**given, **({"max_length": context} if too_long else {})}
