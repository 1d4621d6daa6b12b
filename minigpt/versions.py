"""The versions of minigpt and of the packages that it computes with."""


def version(package: str) -> str:
    """The version of an installed package."""
    from importlib.metadata import version  # which imports an e-mail parser, so only where a version is told

    return version(package)
