"""`minigpt --version`."""

import typer


def print_version(wanted: bool) -> None:
    """Print the versions of minigpt and of what computes with it, and exit, if `wanted`."""
    if wanted:
        from importlib.metadata import version

        print(f"minigpt {version('minigpt')} (torch {version('torch')}, tokenizers {version('tokenizers')})")
        raise typer.Exit
