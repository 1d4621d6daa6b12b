"""Escapes names from outside for messages, and holds the advice that messages share."""

from minigpt.errors import PackageError, brief


def escaped(name: str) -> str:
    """`name` with control characters, bidi controls and lone surrogates escaped as in a Python string."""
    safe = (char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in name)
    return "".join(safe) or "''"


def listed(names: list[str], most: int = 20) -> str:
    """The first `most` of `names`, in quotes on one line."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(f'"{brief(escaped(name))}"' for name in names[:most]) + more


def needs_extra(name: str, packages: str, extra: str) -> PackageError:
    """The error for `name`, which needs `packages`; `extra` is the name in pyproject.toml that installs them."""
    return PackageError(
        f"{name} cannot be opened without {packages}, not installed here.\n"
        f"From your clone of minigpt: pip install -e '.[{extra}]'"
    )
