"""Compiles tensor functions for their device at the first call."""

from collections.abc import Callable

import torch
from torch import Tensor

from minigpt.errors import ConfigError, named


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile `function` with `torch.compile`; its modules and the names of their weights stay the same.

    The first call takes seconds to minutes. It raises ConfigError if this machine cannot compile: a CPU needs a C++
    compiler.
    """
    made = torch.compile(function)

    def call(*tensors: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return made(*tensors)
        except TorchDynamoException as error:
            reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
            raise ConfigError(f"{named('compile')} does not work on this machine: {reason}\nLeave it out.") from error

    return call
