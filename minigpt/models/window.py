"""Which tokens of a text a model sees."""


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
