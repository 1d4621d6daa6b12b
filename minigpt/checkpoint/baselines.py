"""Converts the configuration and weights of models other than GPT-2 to config.json and tensors, and back."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minigpt.checkpoint.files import MODEL_TYPES
from minigpt.checkpoint.hf_gpt2 import POSITIVE, TOKEN, Weights, check_tensors, copied, model_config, read_field
from minigpt.checkpoint.tensors import StoredTensor, rounded
from minigpt.errors import CheckpointError
from minigpt.settings import PAIR_MODELS, ModelConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from minigpt.models.baselines import Baseline
    from minigpt.models.encoder_decoder import EncoderDecoder

    Other = Baseline | EncoderDecoder

_SHAPE = ("vocab_size", "context", "layers", "width")


def config_to_json(config: ModelConfig, end_of_text: int, dtype: "torch.dtype") -> dict[str, Any]:
    """The contents of config.json. The model_type is unknown to other tools, so none loads it as something else."""
    return {
        "model_type": f"minigpt-{config.model}",
        **{name: getattr(config, name) for name in _SHAPE},
        **({} if config.window is None else {"window": config.window}),
        **({} if config.end is None else {"end": config.end}),
        "dropout": config.dropout,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": str(dtype).removeprefix("torch."),
    }


def config_from_json(values: Mapping[str, Any], where: str) -> ModelConfig:
    """Read a config.json. Raises CheckpointError, naming the field, for whatever is missing or out of range."""
    model = MODEL_TYPES[values["model_type"]]
    names = (*_SHAPE, "window") if model == "window" else _SHAPE
    shape = {name: read_field(values, name, POSITIVE, where) for name in names}
    if model in PAIR_MODELS:
        shape["end"] = read_field(values, "end", TOKEN, where)
    return model_config(where, model=model, heads=1, **shape)


def weights_to_tensors(model: "Other", dtype: "torch.dtype") -> "dict[str, Tensor]":
    """The tensors for model.safetensors, contiguous, on the CPU."""
    return {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}


def weights_from_tensors(
    tensors: Mapping[str, StoredTensor], config: ModelConfig, where: str, values: Mapping[str, Any]
) -> Weights:
    """The weights, of which some are read-only. Raises CheckpointError if they do not fit `config`."""
    count, stored = config.parameter_count(), sum(math.prod(t.shape) for t in tensors.values())
    if stored != count:  # before a model of that size is built
        raise CheckpointError(f"{where} holds {stored:,} numbers, but config.json asks for {count:,}.")
    shapes = {name: tuple(t.shape) for name, t in _new_model(config).state_dict().items()}
    check_tensors(tensors, shapes, config, where)
    return {name: rounded(t.read(), "F32") for name, t in tensors.items()}


def model_of(weights: Weights, config: ModelConfig) -> "Other":
    """A model in torch of `weights`, which are copied one by one and taken out of the table."""
    model = _new_model(config)
    model.load_state_dict({name: copied(weights.pop(name)) for name in list(weights)})
    return model


def _new_model(config: ModelConfig) -> "Other":
    from minigpt.models.gpt import GPT
    from minigpt.models.kinds import new_model

    model = new_model(config)
    assert not isinstance(model, GPT)
    return model
