"""Begins a comparison: one plan, shared by all contenders, and no measurements yet."""

from dataclasses import asdict, replace

import torch

from minigpt.checkpoint.claim import Scratch
from minigpt.contest.lengths import USUAL_RATES
from minigpt.contest.records import Comparison, Contender
from minigpt.models.kinds import equal_shape
from minigpt.settings import PRESETS, Choices, ModelConfig, TrainConfig
from minigpt.text.corpus import Corpus, Source
from minigpt.text.records import TextSource
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.plan import Plan, Stages, make_plan

ORDER = ("window", "rnn", "lstm", "gpt")  # of invention
PRESET = "nano"  # whose weights are as many as all others get
CONTEXT = 256
_STEP_TOKENS = {"cpu": 1024}  # enough to keep it busy; on a GPU:
_MANY_STEP_TOKENS = 16_384


def begin(
    corpus: Corpus,
    *,
    minutes: float,
    quick: bool,
    seed: int,
    device: torch.device,
    scratch: Scratch | None = None,
    progress: Stages,
) -> tuple[Comparison, Plan]:
    """Tokenize the text and size the models. Raises ConfigError and CorpusError."""
    batch = _STEP_TOKENS.get(device.type, _MANY_STEP_TOKENS) // CONTEXT
    choices = Choices(preset=PRESET, context=CONTEXT, batch_size=batch)
    plan = make_plan(corpus, None, choices, _settings(seed), device, scratch, progress)
    assert plan.has_validation, "of a text that is long enough to train on, a tenth is left"
    contenders = (equal_shape(plan.model, kind) for kind in ORDER)
    comparison = Comparison(
        name=corpus.name,
        sources=tuple(TextSource(**asdict(source)) for source in corpus.sources),
        text_bytes=corpus.utf8_bytes,
        validation=plan.validation,
        vocab_size=plan.model.vocab_size,
        context=plan.model.context,
        batch_size=batch,
        minutes=minutes,
        quick=quick,
        seed=seed,
        machine=machine_name(device),
        contenders=tuple(map(_contender, contenders)),
    )
    return comparison, plan


def _settings(seed: int) -> TrainConfig:
    return TrainConfig(optimizer="adamw", precision="float32", seed=seed, snapshots=0)


def _contender(config: ModelConfig) -> Contender:
    return Contender(
        model=config.model,
        layers=config.layers,
        width=config.width,
        window=config.window,
        parameters=config.parameter_count(),
        learning_rate=USUAL_RATES[config.model],
    )


def reopened(comparison: Comparison, tokenizer: Tokenizer, data: TokenData) -> Plan:
    """The plan that `begin` made, restored from a comparison's folder."""
    preset = PRESETS[PRESET]
    return Plan(
        corpus=Corpus(
            comparison.name, tuple(Source(**asdict(s)) for s in comparison.sources), utf8_bytes=comparison.text_bytes
        ),
        tokenizer=tokenizer,
        data=data,
        model=ModelConfig(
            vocab_size=comparison.vocab_size,
            context=comparison.context,
            layers=preset.layers,
            heads=preset.heads,
            width=preset.width,
        ),
        train=replace(_settings(comparison.seed), batch_size=comparison.batch_size),
        validation=comparison.validation,
        notes=(),
        bytes_per_token=data.train_bytes / len(data.train),
    )


def machine_name(device: torch.device) -> str:
    """A general description of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU core{'s' if threads > 1 else ''}" if device.type == "cpu" else device.type
