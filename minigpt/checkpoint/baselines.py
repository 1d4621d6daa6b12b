"""Converts the configuration and weights of models other than GPT-2 to config.json and tensors, and back."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from minigpt.checkpoint.hf_gpt2 import Stored
from minigpt.errors import CheckpointError, ConfigError, brief
from minigpt.models.baselines import Baseline
from minigpt.models.kinds import new_model
from minigpt.settings import MODELS, ModelConfig

_TYPES = {f"minigpt-{model}": model for model in MODELS if model != "gpt"}  # model_type -> model
_SHAPE = ("vocab_size", "context", "layers", "width")


def is_baseline(values: Mapping[str, Any]) -> bool:
    """Whether a config.json describes one of the baselines."""
    kind = values.get("model_type")
    return isinstance(kind, str) and kind in _TYPES


def config_to_json(config: ModelConfig, end_of_text: int, dtype: torch.dtype) -> dict[str, Any]:
    """The contents of config.json. The model_type is unknown to other tools, so none loads it as something else."""
    return {
        "model_type": f"minigpt-{config.model}",
        **{name: getattr(config, name) for name in _SHAPE},
        **({} if config.window is None else {"window": config.window}),
        "dropout": config.dropout,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": str(dtype).removeprefix("torch."),
    }


def config_from_json(values: Mapping[str, Any], where: str) -> ModelConfig:
    """Read a config.json. Raises CheckpointError, naming the field, for whatever is missing or out of range."""
    model = _TYPES[values["model_type"]]
    names = (*_SHAPE, "window") if model == "window" else _SHAPE
    for name in names:
        if type(values.get(name)) is not int or values[name] < 1:
            given = f"is {brief(repr(values[name]))}" if name in values else "is missing"
            raise CheckpointError(f"{where}: {name} {given}; it must be a whole number of 1 or more.")
    try:
        return ModelConfig(model=model, heads=1, **{name: values[name] for name in names})
    except ConfigError as error:
        raise CheckpointError(f"{where} contradicts itself: {error.message}") from error


def weights_to_tensors(model: Baseline, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors for model.safetensors, contiguous, on the CPU."""
    return {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}


def model_from_tensors(tensors: Mapping[str, Stored], config: ModelConfig, where: str) -> Baseline:
    """A model in float32 with these weights. Raises CheckpointError if they do not fit `config`."""
    count, stored = config.parameter_count(), sum(math.prod(t.shape) for t in tensors.values())
    if stored != count:  # before a model of that size is built
        raise CheckpointError(f"{where} holds {stored:,} numbers, but config.json asks for {count:,}.")
    model = new_model(config)
    assert isinstance(model, Baseline)
    for name, expected in model.state_dict().items():
        if name not in tensors:
            raise CheckpointError(f"{where} lacks the tensor {name}.")
        if tensors[name].shape != tuple(expected.shape) or not tensors[name].dtype.is_floating_point:
            raise CheckpointError(
                f"{where}: {name} is {tensors[name].dtype} {list(tensors[name].shape)}, but config.json asks for "
                f"floating-point numbers {list(expected.shape)}."
            )
    model.load_state_dict({name: t.read().to(torch.float32) for name, t in tensors.items()})
    return model
