"""Token ids of a split text, cached on disk where tokenizing takes long."""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from minigpt.errors import CheckpointError, OutputError
from minigpt.text.blocks import Progress, unheard
from minigpt.text.shards import TokenData, made_before, made_from, open_shards, tokenize
from minigpt.text.split import Split
from minigpt.text.tokenizer import Tokenizer

SMALL = 1 << 20  # characters: tokenized anew each time, in a second or two
KEPT = 4  # texts: those used last


def cache_folder() -> Path:
    """minigpt/tokens in XDG_CACHE_HOME, by default in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "minigpt" / "tokens"


def cached_tokens(tokenizer: Tokenizer, split: Split, progress: Progress = unheard) -> TokenData:
    """Like `tokenize`: in memory if the text is small, otherwise mapped from the cache, and added to it if missing.

    A cached entry was made from the same text, split and tokenizer; a damaged one is replaced. `progress` receives
    characters. Raises OutputError.
    """
    if split.characters <= SMALL:
        return tokenize(tokenizer, split, progress=progress)
    wanted = made_from(tokenizer, split)
    folder = cache_folder() / hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
    for older in made_before([folder], wanted):
        with suppress(CheckpointError, OSError):
            os.utime(older)
            return open_shards(older)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
            tokenize(tokenizer, split, Path(temporary) / "ids", progress)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                os.replace(Path(temporary) / "ids", folder)
            except OSError:  # another process was quicker: its ids are the same
                if not any(made_before([folder], wanted)):
                    raise
        _forget(folder.parent)
    except OSError as error:
        message = f"{folder.parent} cannot be written: {error.strerror or error}."
        raise OutputError(f"{message}\nXDG_CACHE_HOME names another place for what is kept.") from error
    return open_shards(folder)


def _forget(cache: Path) -> None:
    """Remove all but the last `KEPT` entries; a process that reads one of them still has its pages."""
    used = dict[Path, float]()
    for folder in cache.glob("[!.]*"):
        with suppress(OSError):  # another process has removed it
            used[folder] = folder.stat().st_mtime
    for folder in sorted(used, key=used.__getitem__)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
