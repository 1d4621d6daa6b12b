"""The name of a model on the Hugging Face Hub in; a folder with its safetensors and JSON, and nothing else, out.

huggingface_hub does the work, with its own progress, cache, token and variables: HF_HOME, HF_TOKEN, HF_HUB_OFFLINE.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.checkpoint.runs import WEIGHTS
from minigpt.checkpoint.tensors import INDEX
from minigpt.errors import CheckpointError

SHORT_NAMES = {
    **{name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    "distilgpt2": "distilbert/distilgpt2",
}
_DESCRIPTION = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", INDEX,
]  # fmt: skip
_WEIGHTS = [WEIGHTS, "model-*.safetensors"]
_NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+|[a-z0-9-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubModel:
    """A repository, and the branch, tag or commit in it; the main branch where none is named."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def as_hub_model(name: str) -> HubModel | None:
    """`owner/name`, `owner/name@revision`, or the short name of a GPT-2; None for what can only be a path.

    So is what begins with a folder that is there: a mistyped path asks no one else.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    repository, revision = match["repository"], match["revision"]
    if "/" not in repository:
        return HubModel(SHORT_NAMES[repository], revision) if repository in SHORT_NAMES else None
    return None if Path(repository).parent.exists() else HubModel(repository, revision)


def pinned(name: str, folder: Path) -> str:
    """The name under which the very files of `folder` will be found again: for a model of the Hub, with its commit."""
    model = as_hub_model(name)
    if model is None or folder.parent.name != "snapshots":
        return name
    return str(HubModel(model.repository, folder.name))


def fetch(model: HubModel, check: Callable[[Path], object] = lambda folder: None) -> Path:
    """The folder of `model` in the library's cache. What is there already is taken as it is, without asking the Hub.

    `check` is called with the folder before the weights are fetched: one that raises spares them. Raises
    CheckpointError where the Hub does not give it.
    """
    kept = _kept(model)
    if kept is not None:
        return kept
    folder = _download(model, _DESCRIPTION)
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{model} has no config.json on the Hub, so it is no model that can be loaded.")
    check(folder)
    folder = _download(HubModel(model.repository, folder.name), _WEIGHTS, told=model)  # of the same commit
    if not _has_weights(folder):
        raise CheckpointError(
            f"{model} has no safetensors on the Hub, and other files of weights can run programs. If you trust who "
            f"made them, this converts them:\n  {_converting(model)}"
        )
    return folder


def _kept(model: HubModel) -> Path | None:
    """The folder in the cache, if it is whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = [*_DESCRIPTION, *_WEIGHTS]
    try:
        found = snapshot_download(
            model.repository, revision=model.revision, allow_patterns=patterns, local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError, OSError):  # not there, or no name: the Hub will say so
        return None
    return Path(found) if _has_weights(Path(found)) else None


def _has_weights(folder: Path) -> bool:
    return (folder / WEIGHTS).exists() or ((folder / INDEX).exists() and any(folder.glob(_WEIGHTS[1])))


def _download(model: HubModel, patterns: list[str], told: HubModel | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model.repository, revision=model.revision, allow_patterns=patterns))
    except Exception as error:  # those of the network libraries beneath have no base in common
        raise CheckpointError(_reason(error, told or model)) from error


def _reason(error: Any, model: HubModel) -> str:
    """What happened, in one sentence, and what to do."""
    from huggingface_hub import errors

    first = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{model} is gated: ask for access at https://huggingface.co/{model.repository}, and then name yourself "
            "with: hf auth login (or HF_TOKEN)."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{model.repository} is no folder here, and no model on the Hub that may be seen from here.\n"
            "If it is private, name yourself with: hf auth login (or HF_TOKEN)."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{model.repository} has no branch, tag or commit {model.revision} on the Hub."
    if isinstance(error, errors.LocalEntryNotFoundError):
        if isinstance(error.__cause__, errors.OfflineModeIsEnabled):
            return f"{model} is no folder here and not in the Hub's cache, and HF_HUB_OFFLINE forbids to fetch it."
        return (
            f"{model} is no folder here and not in the Hub's cache, and the Hub cannot be reached "
            f"({first.removeprefix('Got: ')})."
        )
    if isinstance(error, errors.HfHubHTTPError):
        return f"{model} could not be fetched; the Hub answered: {first}"
    return f"{model} could not be fetched: {first}"


def _converting(model: HubModel) -> str:
    revision = "" if model.revision is None else f", revision={model.revision!r}"
    code = "; ".join(f"{kind}.from_pretrained({model.repository!r}{revision}).save_pretrained('OUT')" for kind in "MT")
    return f'python -c "from transformers import GPT2LMHeadModel as M, AutoTokenizer as T; {code}"'
