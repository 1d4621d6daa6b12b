"""Settings for finetuning a pretrained model, which changes it only a little.

AdamW trains it alone, at small learning rates, and in its upper layers only if asked to.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import named
from minigpt.models.gpt import GPT
from minigpt.models.kinds import gpt_of
from minigpt.settings import Choices, ModelConfig, TrainConfig, require

# Belong to the given model and are kept.
OWN = ("preset", "tokenizer", "vocab_size", "model", "layers", "heads", "width", "window", "positions")
_STEP_TOKENS = {"cpu": 1024}  # a window of GPT-2's: the logits of one take 200 MB, and three copies of them
_STEP_TOKENS_ELSEWHERE = 8192
_EVALUATED = 8192  # tokens: a few steps' work
_SMALL = 1 << 24  # parameters: a dozen snapshots of more would fill a disk
_FEW_SNAPSHOTS = 2
_LONGEST_CHARACTER = 4  # bytes of UTF-8
_FEW_BYTES = 1.5  # per token of a tokenizer that knows words; on its own text it has 2 to 5
_WHOLE_CHARACTERS = 0.95  # per token; below this, characters are split into bytes
_MOST_ACTIVATIONS = 1 << 30  # bytes of activations that may be kept for the backward pass


@dataclass(frozen=True)
class Base:
    """The checkpoint that a training starts from, and the name by which the user asked for it."""

    name: str
    checkpoint: Checkpoint

    @property
    def config(self) -> ModelConfig:
        return self.checkpoint.model.config


def finetune_settings(
    base: Base,
    choices: Choices,
    settings: TrainConfig,
    explicit: Collection[str],
    device: torch.device,
    processes: int = 1,
) -> tuple[Choices, TrainConfig]:
    """`choices` and `settings`, with what suits a pretrained model for those that are not `explicit`.

    Raises ConfigError where they do not fit the model.
    """
    for name in OWN:
        require(name not in explicit, f"{named(name)} does not go with {named('base')}, which keeps the model's own.")
    model = gpt_of(base.checkpoint.torch_model, f"{named('base')} continues the training of blocks").config
    context = choices.context or model.context
    require(
        context <= model.context,
        f"{named('context', f'{context:,}')} is more than the {model.context:,} of {base.name}.",
    )
    require(
        settings.freeze <= model.layers,
        f"{named('freeze', settings.freeze)} is more than its {model.layers} layer{'s' * (model.layers != 1)}.",
    )
    tokens = _STEP_TOKENS.get(device.type, _STEP_TOKENS_ELSEWHERE)
    choices = replace(
        choices,
        context=context,
        dropout=model.dropout if choices.dropout is None else choices.dropout,
        batch_size=choices.batch_size or processes * max(1, tokens // context),
        learning_rate=choices.learning_rate or finetune_rate(model.width),
    )
    assert choices.batch_size is not None
    suits: dict[str, Any] = {
        "optimizer": "adamw",
        "muon_learning_rate": TrainConfig.muon_learning_rate / 10,
        "warmup_steps": min(TrainConfig.warmup_steps, max(1, settings.steps // 10)),
        "eval_tokens": _EVALUATED,
        "snapshots": TrainConfig.snapshots if model.parameter_count() <= _SMALL else _FEW_SNAPSHOTS,
        "gradient_checkpointing": activation_bytes(model, choices.batch_size * context) > _MOST_ACTIVATIONS,
    }
    return choices, replace(settings, **{name: value for name, value in suits.items() if name not in explicit})


def misfit(base: Base, bytes_per_token: float, characters_per_token: float) -> Iterator[str]:
    """A warning if the base's tokenizer splits the text into little more than bytes.

    A tokenizer of single characters fits if it knows them.
    """
    knows_words = int(base.checkpoint.tokenizer.byte_lengths().max()) > _LONGEST_CHARACTER
    if characters_per_token < _WHOLE_CHARACTERS or (knows_words and bytes_per_token < _FEW_BYTES):
        yield (
            f"the tokenizer of {base.name} does not fit this text: it cuts it into tokens of {bytes_per_token:.1f} "
            f"bytes, so the model begins far behind. Without {named('base')}, a new model has its own tokenizer."
        )


def finetune_rate(width: int) -> float:
    """AdamW's highest rate: 0.00005 at GPT-2's width of 768, as is usual, and more for narrower models, as measured."""
    return float(f"{5e-5 * (768 / width) ** 1.5:.2g}")


def activation_bytes(model: ModelConfig, tokens: int) -> int:
    """A rough estimate of the activations kept for the backward pass, in float32."""
    return 4 * tokens * model.layers * (12 * model.width + 3 * model.mlp_width)


def further(model: ModelConfig, choices: Choices) -> ModelConfig:
    """The shape of a given model as it will be trained."""
    context, dropout = choices.context or model.context, model.dropout if choices.dropout is None else choices.dropout
    return replace(model, context=context, dropout=dropout)


def begun_with(base: Base, config: ModelConfig, frozen_layers: int) -> GPT:
    """The base's model in the shape of `config`, whose context may be shorter; it shares the base's weights."""
    weights = base.checkpoint.torch_model.state_dict()
    weights["wpe.weight"] = weights["wpe.weight"][: config.context].clone()
    with torch.device("meta"):
        model = GPT(config)
    model.load_state_dict(weights, assign=True)
    return freeze(model, frozen_layers)


def freeze(model: GPT, layers: int) -> GPT:
    """Freeze the embeddings and the first `layers`; a tied output head is frozen with the embeddings."""
    if layers:
        for part in (model.wte, model.wpe, *model.blocks[:layers]):
            part.requires_grad_(False)
    return model
