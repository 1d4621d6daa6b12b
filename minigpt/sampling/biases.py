"""Converts biases that name a token by its text into biases by id, as the filter needs them."""

from collections.abc import Iterable

from minigpt.errors import ConfigError, brief, named
from minigpt.settings import TokenBias
from minigpt.text.arguments import single_token
from minigpt.text.tokenizer import Tokenizer


def read_biases(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[TokenBias, ...]:
    """The biases in `texts`, such as ` the=-2` or `#262=-2`. Raises ConfigError."""
    return token_biases(tokenizer, map(_parted, texts))


def token_biases(tokenizer: Tokenizer, amounts: Iterable[tuple[str, float]]) -> tuple[TokenBias, ...]:
    """Pairs of a token's id and its bias. Raises ConfigError for a text that is not one token, or given twice."""
    found: dict[int, float] = {}
    for text, amount in amounts:
        try:
            token = single_token(tokenizer, text)
        except ConfigError as error:
            raise ConfigError(f"{named('bias')}: {error.message}") from error
        if token in found:
            raise ConfigError(f"{named('bias')} names the token {brief(text)!r} twice: give it one number.")
        found[token] = amount
    return tuple(found.items())


def _parted(text: str) -> tuple[str, float]:
    token, _, number = text.rpartition("=")
    try:
        return token, float(number)
    except ValueError as error:
        needed = f"{named('bias')} needs a token and a number, as in ' the=-2'"
        raise ConfigError(f"{needed}, not {brief(text)!r}.") from error
