"""The versions of minigpt and of the packages that it computes with."""


def version(package: str) -> str:
    """The version of an installed package, or "none"."""
    # It imports an e-mail parser, so only where a version is told.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
