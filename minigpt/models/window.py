"""Which tokens of a text a model sees, and how many windows of them at once."""

from typing import Any

from minigpt.settings import ModelConfig

_TOKENS = 8192  # scored at once
_TOKENS_CPU = 2048  # what lies between two products then stays in its cache: 1.15 times as fast at 6 x 384
_LOGITS = 1 << 25  # or fewer, where the vocabulary is large: 128 MiB of them


def window_start(length: int, context: int | None) -> int:
    """The index of the first token that a model with `context` positions sees when `length` tokens are known.

    GPT-2's positions are learned, so a full window cannot slide by one: its newer half is kept, prefilled again at
    positions 0, 1, ..., and grows from there. Sampling, scoring and every table use this one function, which is why
    they agree on the numbers for a prefix. Without a limit (None), a model sees all tokens.
    """
    if context is None or length <= context:
        return 0
    step = window_step(context)
    return -(-(length - context) // step) * step


def window_step(context: int) -> int:
    """The number of tokens by which a full window of `context` advances."""
    return context - context // 2


def windows_at_once(config: ModelConfig, device: Any) -> int:
    """The number of full windows that are best scored in one pass, without gradients, by the `type` of the device."""
    tokens = _TOKENS_CPU if device.type == "cpu" else _TOKENS
    return max(1, min(tokens, _LOGITS // config.vocab_size) // config.context)
