"""MINIGPT_* variables, used for flags that are not given."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from minigpt.errors import brief
from minigpt.settings import FileAndModel, Machine, settings_of

VARIABLES = {
    name: about.variable
    for kind in (FileAndModel, Machine)
    for name, about in settings_of(kind).items()
    if about.variable
}


def blamed(settings: Collection[str], final: Mapping[str, Any]) -> str:
    """A sentence about those of the `settings` that a variable gave, if its value was used."""
    given = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
    names = [name for name, value in given.items() if name in settings and value == str(final.get(name))]
    set_here = ", ".join(f"{VARIABLES[name]} is {brief(given[name] or '')}" for name in names)
    return f"{set_here}." if names else ""
