"""The README's file tree against the disk: every file is named once, with its purpose, and every name exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def described() -> dict[str, str]:
    """Path -> purpose, from the tree in the README; a folder's path ends in /."""
    section = (ROOT / "README.md").read_text("utf-8").split("## The files")[1]
    tree = section.split("```")[1].strip("\n").splitlines()
    paths, folders = {}, []
    for line in tree:
        indent, name, purpose = re.fullmatch(r"( *)(\S+) *(.*)", line).groups()
        depth = len(indent) // 2
        folders[depth:] = [name] if name.endswith("/") else []
        paths["".join(folders[:depth]) + name] = purpose
    return paths


def on_disk(folder: str) -> set[str]:
    files = (ROOT / folder).rglob("*")
    made = {"__pycache__", ".so", ".pyd"}  # by Python and by pip
    names = {str(path.relative_to(ROOT)) for path in files if path.is_file() and not made & {*path.parts, path.suffix}}
    return {name for name in names if name.count("/") == 1 or not name.endswith("/__init__.py")}


def test_every_file_is_in_the_tree() -> None:
    assert {path for path in described() if not path.endswith("/")} == on_disk("minigpt") | on_disk("scripts")


def test_every_folder_in_the_tree_exists() -> None:
    folders = [path for path in described() if path.endswith("/")]
    assert len(folders) > 5
    assert [path for path in folders if not (ROOT / path).is_dir()] == []


def test_every_entry_has_a_purpose_in_one_line() -> None:
    assert [path for path, purpose in described().items() if not 0 < len(purpose) <= 72 and path not in BARE] == []


BARE = {"minigpt/", "scripts/"}  # their files say it
