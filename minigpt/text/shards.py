"""Token ids of a text that is split into training and validation: in memory, on disk, and cached."""

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minigpt.errors import CheckpointError, OutputError
from minigpt.records import Count, Several, read_object, record_of, to_plain
from minigpt.text.blocks import Block, Progress, counted, no_progress, utf8_length
from minigpt.text.corpus import Split
from minigpt.text.records import TextSource
from minigpt.text.tokenizer import Tokenizer

MANIFEST = "manifest.json"
_FORMAT = 1
_DTYPES = ("uint16", "uint32")
_SHARD = 1 << 26  # ids in a file, about
_SMALL = 1 << 20  # characters: so few are tokenized each time, in a second or two
_CACHED = 4  # texts, those used last
_IN_MEMORY = 1 << 24  # ids: so few are read rather than mapped


class Shards:
    """Ids on disk as one sequence, read on demand: `len`, [slice] and [array of positions].

    Pages are released after each read: they stay in the system's cache, but do not count as our memory.
    """

    def __init__(self, files: Sequence[Path], dtype: np.dtype) -> None:
        self.dtype = dtype
        self._maps = [_map(file) for file in files]
        self._shards = [np.frombuffer(each, dtype) for each in self._maps]
        self._starts = np.cumsum([0, *map(len, self._shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        found = self._slice(*index.indices(len(self))) if isinstance(index, slice) else self._gather(index)
        for each in self._maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                each.madvise(mmap.MADV_DONTNEED)
        return found

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        parts = [
            shard[max(0, start - first) : max(0, stop - first)]
            for shard, first in zip(self._shards, self._starts.tolist(), strict=False)
        ]
        return np.concatenate([np.zeros(0, self.dtype), *parts])[::step]

    def _gather(self, positions: np.ndarray) -> np.ndarray:
        found = np.empty(positions.shape, self.dtype)
        shard_of = np.searchsorted(self._starts, positions, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            found[here] = self._shards[number][positions[here] - self._starts[number]]
        return found


def _map(file: Path) -> mmap.mmap:
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


Ids = np.ndarray | Shards


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """A file of ids, as listed in the manifest."""

    file: str
    tokens: Several
    bytes: Several
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """The files of the training text and of the validation text."""

    train: tuple[ShardFile, ...]
    validation: tuple[ShardFile, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of a folder of ids, and what they were made from."""

    format: int
    dtype: str
    made_from: Mapping[str, Any]
    sources: tuple[TextSource, ...]
    train_bytes: Count
    shards: ShardFiles
    validation_bytes: Count | None = None  # an older minigpt did not count them


@dataclass(frozen=True)
class TokenData:
    """A corpus as ids, [N] uint16 or uint32. `validation` has fewer than two tokens if there is none.

    `train_bytes` and `validation_bytes`: the sizes of the texts in UTF-8; None where that is not known. `made_from`:
    the hashes and settings that determine the ids. `folder`: where they are, if they are on disk.
    """

    train: Ids
    validation: Ids
    train_bytes: int = 0
    validation_bytes: int | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[TextSource, ...] = ()
    folder: Path | None = None


def tokenize(
    tokenizer: Tokenizer, split: Split, folder: Path | None = None, progress: Progress = no_progress
) -> TokenData:
    """Tokenize both parts, with end-of-text between documents: in memory, or into shards in a new `folder`.

    `progress` receives characters. Raises OutputError if the disk is full.
    """
    validation = _Measured(counted(split.validation(), progress))
    parts = {
        "train": tokenizer.encode_blocks(counted(split.train(), progress)),
        "validation": tokenizer.encode_blocks(validation),
    }
    data = TokenData(
        train=np.zeros(0, tokenizer.dtype),
        validation=np.zeros(0, tokenizer.dtype),
        train_bytes=split.train_bytes,
        made_from=made_from(tokenizer, split),
        sources=split.corpus.sources + (split.held_out.sources if split.held_out else ()),
    )
    if folder is not None:
        with _writing(folder):
            _write(folder, data, parts, lambda: validation.utf8_bytes)
        return open_shards(folder)
    train, held_out = (np.concatenate([np.zeros(0, tokenizer.dtype), *batches]) for batches in parts.values())
    return replace(data, train=train, validation=held_out, validation_bytes=validation.utf8_bytes)


class _Measured:
    """Passes blocks on and adds up their size."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks, self.utf8_bytes = blocks, 0

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks:
            self.utf8_bytes += utf8_length(block.text)
            yield block


def validation_byte_counts(tokenizer: Tokenizer, data: TokenData) -> np.ndarray:
    """[V] bytes of the validation text for each occurrence of a token; 0 for end-of-text.

    They are the token's own or, where the tokenizer changes the text, their share of the text's.
    """
    lengths_V = tokenizer.byte_lengths()
    if tokenizer.is_lossless or data.validation_bytes is None or not len(data.validation):
        return lengths_V
    starts = range(0, len(data.validation), _SHARD)
    own = sum(int(lengths_V[data.validation[start : start + _SHARD]].sum()) for start in starts)
    return lengths_V * (data.validation_bytes / max(1, own))


def made_from(tokenizer: Tokenizer, split: Split) -> dict[str, Any]:
    """Everything that determines the ids, by content."""
    return {
        "text_sha256": split.corpus.sha256,
        "validation_text_sha256": split.held_out.sha256 if split.held_out else None,
        "val_fraction": None if split.held_out else split.fraction,
        "part": split.part,
        **({"pairs": True} if split.pairs else {}),
        "tokenizer_sha256": hashlib.sha256(tokenizer.to_json().encode()).hexdigest(),
    }


# --- on disk


def _write(
    folder: Path, data: TokenData, parts: Mapping[str, Iterable[np.ndarray]], validation_bytes: Callable[[], int | None]
) -> None:
    """Write files of raw little-endian ids, then the manifest; without it, they are incomplete."""
    folder.mkdir()
    files = {name: tuple(_write_part(folder, name, iter(batches))) for name, batches in parts.items()}
    manifest = Manifest(
        format=_FORMAT,
        dtype=data.train.dtype.name,
        made_from=data.made_from,
        sources=data.sources,
        train_bytes=data.train_bytes,
        shards=ShardFiles(**files),
        validation_bytes=validation_bytes(),
    )
    _write_synced(folder / MANIFEST, [json.dumps(to_plain(manifest), indent=2, ensure_ascii=False).encode()])


def _write_part(folder: Path, name: str, batches: Iterator[np.ndarray]) -> Iterator[ShardFile]:
    for number, first in enumerate(batches):
        file = folder / f"{name}-{number:05}.bin"
        size, sha256 = _write_synced(file, _up_to_a_shard(chain((first,), batches)))
        yield ShardFile(file=file.name, tokens=size // first.itemsize, bytes=size, sha256=sha256)


def _up_to_a_shard(batches: Iterator[np.ndarray]) -> Iterator[bytes]:
    size = 0
    for ids in batches:
        yield ids.tobytes()
        size += len(ids)
        if size >= _SHARD:
            return


def _write_synced(file: Path, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Write and sync a file; returns its size and SHA-256."""
    size, sha256 = 0, hashlib.sha256()
    with file.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            sha256.update(chunk)
            size += len(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return size, sha256.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`. Raises CheckpointError if there is none, or one of another version."""
    path = folder / MANIFEST
    values = read_object(path)
    if values.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is of another version of minigpt, or is damaged.")
    return record_of(Manifest, values, path)


def open_shards(folder: Path) -> TokenData:
    """The ids in `folder`, mapped if there are many. Raises CheckpointError if a file is missing or has changed."""
    manifest = read_manifest(folder)
    if manifest.dtype not in _DTYPES:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: dtype is not one of {', '.join(_DTYPES)}.")
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    try:
        parts = [
            Shards([_checked(folder, shard, dtype.itemsize) for shard in shards], dtype)
            for shards in (manifest.shards.train, manifest.shards.validation)
        ]
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}.") from error
    are_many = sum(map(len, parts)) > _IN_MEMORY
    train, validation = (part if are_many else part[:] for part in parts)
    return TokenData(
        train,
        validation,
        manifest.train_bytes,
        manifest.validation_bytes,
        manifest.made_from,
        sources=manifest.sources,
        folder=folder,
    )


def _checked(folder: Path, shard: ShardFile, itemsize: int) -> Path:
    file = folder / Path(shard.file).name
    if shard.bytes != shard.tokens * itemsize:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: {file.name} cannot have as many bytes as it says.")
    if (size := file.stat().st_size) != shard.bytes:
        raise CheckpointError(f"{file} has {size:,} bytes, and should have {shard.bytes:,}: it is damaged.")
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != shard.sha256:
            raise CheckpointError(f"{file} is damaged: its contents have changed since they were written.")
    return file


def keep_shards(data: TokenData, folder: Path) -> TokenData:
    """Move the shards of `data` to `folder`, or write them there: completely or not at all. Raises OutputError."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with _writing(folder, temporary):
        if data.folder is not None:
            shutil.move(data.folder, folder)
        else:
            parts = {"train": data.train[:], "validation": data.validation[:]}
            written = {name: [ids] if len(ids) else [] for name, ids in parts.items()}
            _write(temporary, data, written, lambda: data.validation_bytes)
            os.replace(temporary, folder)
    return replace(data, folder=folder)


def made_before(folders: Iterable[Path], wanted: Mapping[str, Any]) -> Iterator[Path]:
    """Those of `folders` whose ids are made from `wanted`, according to their manifests."""
    for folder in folders:
        with suppress(CheckpointError):  # of another version, or no manifest
            if read_manifest(folder).made_from == wanted:
                yield folder


def reuse_shards(folder: Path, target: Path) -> TokenData:
    """Copy the ids in `folder` to `target`, by hard links if possible. Raises CheckpointError if they are damaged."""
    with _writing(target):
        shutil.copytree(folder, target, copy_function=_link_or_copy)
    try:
        return open_shards(target)
    except CheckpointError:
        shutil.rmtree(target)
        open_shards(folder)  # names the damaged file
        raise


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


@contextmanager
def _writing(folder: Path, *temporary: Path) -> Iterator[None]:
    """Turns an OSError into an OutputError, and removes incomplete files."""
    try:
        yield
    except OSError as error:
        for each in (folder, *temporary):
            shutil.rmtree(each, ignore_errors=True)
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error


# --- the cache


def cache_folder() -> Path:
    """minigpt/tokens in XDG_CACHE_HOME, by default in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "minigpt" / "tokens"


def cached_tokens(tokenizer: Tokenizer, split: Split, progress: Progress = no_progress) -> TokenData:
    """Like `tokenize`: in memory if the text is small, otherwise mapped from the cache, and added to it if missing.

    A cached entry was made from the same text, split and tokenizer; a damaged one is replaced. `progress` receives
    characters. Raises OutputError.
    """
    if split.characters <= _SMALL:
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
        raise OutputError(f"{message}\nTo cache tokens elsewhere, set XDG_CACHE_HOME.") from error
    return open_shards(folder)


def _forget(cache: Path) -> None:
    """Remove all but the last `_CACHED` entries; a process that reads one of them still has its pages."""
    used = dict[Path, float]()
    for folder in cache.glob("[!.]*"):
        with suppress(OSError):  # another process has removed it
            used[folder] = folder.stat().st_mtime
    for folder in sorted(used, key=used.__getitem__)[:-_CACHED]:
        shutil.rmtree(folder, ignore_errors=True)
