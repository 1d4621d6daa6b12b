"""MINIGPT_* variables, which stand for flags that are not given: an error in; the variables that it is about, out."""

import os
import re
from collections.abc import Mapping
from typing import Any

from minigpt.errors import brief

VARIABLES = {"checkpoint": "MINIGPT_CHECKPOINT", "device": "MINIGPT_DEVICE", "threads": "MINIGPT_THREADS"}


def blamed(message: str, final: Mapping[str, Any]) -> str:
    """`message`, and the variables whose values it is about, where those are the ones that were used."""
    named = [variable for name, variable in VARIABLES.items() if _is_about(message, name, final.get(name), variable)]
    told = ", ".join(f"{variable} is {brief(os.environ[variable])}" for variable in named)
    return f"{message}\n{told}." if named else message


def _is_about(message: str, name: str, value: Any, variable: str) -> bool:
    if value is None or str(value) != os.environ.get(variable):
        return False
    return re.search(rf"--{name}(?![\w-])", message) is not None or (name == "checkpoint" and str(value) in message)
