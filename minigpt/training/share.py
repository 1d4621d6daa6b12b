"""Broadcasts the run of rank 0 to every rank: plan, folder and model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Engine

from minigpt.checkpoint.files import read_json_object
from minigpt.checkpoint.run_folder import OthersFolder, RunFolder, load_tokens
from minigpt.checkpoint.runs import RUN
from minigpt.errors import CheckpointError
from minigpt.models.kinds import Model
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Corpus
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.distributed import Ranks
from minigpt.training.plan import Plan
from minigpt.training.run import build_model

StartedRun = tuple[Plan, RunFolder, Model]  # the model whole, on the CPU


def share_run(ranks: Ranks, begin: Callable[[], StartedRun | None]) -> StartedRun | None:
    """Return on every rank what `begin`, called on rank 0 only, returns: None if there is nothing to do.

    On the other ranks the plan has no text, and the folder writes nothing.
    """
    begun = begin() if ranks.is_main else None
    if ranks.size == 1:
        return begun
    received = ranks.tell(None if begun is None else _described(*begun))
    if received is None:
        return None
    plan, folder, model = begun or _followed(received)
    if plan.base is not None:
        _share_weights(ranks, model)
    return replace(plan, data=_shared_ids(ranks, plan.data, folder)), folder, model


def _shared_ids(ranks: Ranks, data: TokenData, folder: RunFolder) -> TokenData:
    """Rank 0's ids: mapped from the run's folder if every machine sees it, otherwise broadcast."""
    if ranks.highest(not ranks.is_main and _date(folder.path) != folder.info["date"]):
        return TokenData(ranks.ids(data.train), ranks.ids(data.validation))
    return ranks.together(lambda: data if ranks.is_main else load_tokens(folder.path))


def _share_weights(ranks: Ranks, model: Model) -> None:
    """Broadcast rank 0's weights, which no seed reproduces."""
    own = dict(model.named_parameters())
    for name, tensor in ranks.tensors((name, p.detach()) for name, p in model.named_parameters()):
        own[name].detach().copy_(tensor)


def _described(plan: Plan, folder: RunFolder, model: Model) -> dict[str, Any]:
    tokenizer = {"json": plan.tokenizer.to_json(), "end_of_text": plan.tokenizer.end_of_text_name}
    return {"path": str(folder.path.resolve()), "info": folder.info, "tokenizer": tokenizer}


def _followed(received: dict[str, Any]) -> StartedRun:
    info, made = received["info"], received["tokenizer"]
    tokenizer = Tokenizer(Engine.from_str(made["json"]), made["end_of_text"])
    none = np.zeros(0, np.uint16)
    plan = Plan(
        corpus=Corpus(info["name"], ()),
        tokenizer=tokenizer,
        data=TokenData(none, none),
        model=ModelConfig(**info["model"]),
        train=TrainConfig(**info["train"]),
        validation=info["corpus"]["validation"],
        notes=(),
        base=info["choices"].get("base"),
    )
    return plan, OthersFolder(Path(received["path"]), tokenizer, info), build_model(plan)


def _date(run: Path) -> str | None:
    """When the run in a folder began, which tells it from others of the same name."""
    try:
        return read_json_object(run / RUN).get("date")
    except CheckpointError:
        return None
