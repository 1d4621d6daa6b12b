"""Downloads a model from the Hugging Face Hub: its safetensors and JSON, and nothing else.

huggingface_hub does the work, with its own progress, cache, token and variables: HF_HOME, HF_TOKEN, HF_HUB_OFFLINE.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import CONFIG, DESCRIPTION, GENERATION, INDEX, TOKENIZER, WEIGHTS
from minigpt.checkpoint.tensors import weight_files
from minigpt.checkpoint.tokenizer_files import ADDED, MERGES, NAMED, VOCABULARY, tokenizer_files
from minigpt.errors import CheckpointError

SHORT_NAMES = {
    **{name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    "distilgpt2": "distilbert/distilgpt2",
}
_DESCRIPTION = (GENERATION, TOKENIZER, DESCRIPTION, NAMED, ADDED, VOCABULARY, MERGES)
_LOG_IN = "log in with: hf auth login (or HF_TOKEN)."
_NAME = re.compile(r"(?!.*\.\.)(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+|[a-z0-9-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubModel:
    """A repository, and a branch, tag or commit in it; by default the main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def as_hub_model(name: str) -> HubModel | None:
    """Parse `owner/name`, `owner/name@revision`, or the short name of a GPT-2; None for what can only be a path.

    A name that begins with an existing folder is a path too, so a mistyped path causes no request.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    repository, revision = match["repository"], match["revision"]
    if "/" not in repository:
        return HubModel(SHORT_NAMES[repository], revision) if repository in SHORT_NAMES else None
    return None if Path(repository).parent.exists() else HubModel(repository, revision)


def pinned(name: str, folder: Path) -> str:
    """The name that always finds the files of `folder` again: for a model of the Hub, with its commit."""
    model = as_hub_model(name)
    if model is None or folder.parent.name != "snapshots":
        return name
    return str(HubModel(model.repository, folder.name))


def fetch(model: HubModel, check: Callable[[Path], object] = lambda folder: None) -> Path:
    """The folder of `model` in the Hub library's cache, downloaded if necessary; no request is made for cached files.

    `check` is called with the folder once its config.json is there; if it raises, the rest is not downloaded. Raises
    CheckpointError if the Hub does not provide the model.
    """
    try:
        return _cached(model) or _downloaded(model, check)
    except CheckpointError:
        raise
    except Exception as error:  # those of the network libraries beneath have no base in common
        raise CheckpointError(_reason(error, model)) from error


def _cached(model: HubModel) -> Path | None:
    """The folder in the cache, if it is complete; other programs may have downloaded only some of its files."""
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(model.repository, CONFIG, revision=model.revision)
        folder = Path(config).parent if isinstance(config, str) else None
        whole = folder and all(path.exists() for path in [*weight_files(folder), *tokenizer_files(folder)])
    except (ValueError, CheckpointError):  # the Hub could not have such a name, or the index of the weights is damaged
        return None
    return folder if whole else None


def _downloaded(model: HubModel, check: Callable[[Path], object]) -> Path:
    """Download the files one by one in this thread, so that Ctrl-C ends it at once."""
    from huggingface_hub import HfApi, hf_hub_download

    # Asked first, because it fails at once without a network; hf_hub_download would retry for half a minute.
    info = HfApi().model_info(model.repository, revision=model.revision)
    there = {file.rfilename for file in info.siblings or ()}
    if CONFIG not in there:
        raise CheckpointError(f"{model} has no {CONFIG} on the Hub, so it is not a model that can be loaded.")
    folder = Path(hf_hub_download(model.repository, CONFIG, revision=model.revision)).parent
    check(folder)
    commit = folder.name  # the commit of all files, even if the branch moves meanwhile
    for name in [name for name in _DESCRIPTION if name in there]:
        hf_hub_download(model.repository, name, revision=commit)
    if not there & {WEIGHTS, INDEX}:
        raise CheckpointError(
            f"{model} has no safetensors on the Hub, and other files of weights can run programs. If you trust who "
            f"made them, this converts them:\n  {_converting(model)}"
        )
    if WEIGHTS not in there:
        hf_hub_download(model.repository, INDEX, revision=commit)
    for path in weight_files(folder) if WEIGHTS not in there else [folder / WEIGHTS]:
        hf_hub_download(model.repository, path.name, revision=commit)
    return folder


def _reason(error: Any, model: HubModel) -> str:
    """What happened, in one sentence, and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{model} is gated: ask for access at https://huggingface.co/{model.repository}, and then {_LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        where = f"There is no folder {model.repository}, and no model of that name on the Hub that you may see."
        return f"{where}\nIf it is private, {_LOG_IN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{model.repository} has no branch, tag or commit {model.revision} on the Hub."
    where = f"There is no folder {model}, and no such model in the Hub's cache"
    cause = (isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__) or error
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return f"{where}; HF_HUB_OFFLINE forbids downloading it."
    if isinstance(cause, errors.HfHubHTTPError):
        return f"{where}; the Hub answered: {_first_line(cause)}"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{model} could not be downloaded: {cause.strerror} ({cause.filename or 'in the cache'})."
    return f"{where}; the Hub cannot be reached: {_first_line(cause)}."


def _first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)


def _converting(model: HubModel) -> str:
    revision = "" if model.revision is None else f", revision={model.revision!r}"
    code = "; ".join(f"{kind}.from_pretrained({model.repository!r}{revision}).save_pretrained('OUT')" for kind in "MT")
    return f'python -c "from transformers import GPT2LMHeadModel as M, AutoTokenizer as T; {code}"'
