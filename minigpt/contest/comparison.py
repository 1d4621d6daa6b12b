"""Begins a comparison: one plan, shared by all contenders, and a folder that holds all that is needed to continue.

comparison.json   a Comparison, replaced after every measurement
tokenizer.json    of all contenders
resume/tokens/    the ids that they learn from
gpt-tokens/ ...   a run for each contender: with as many tokens as the others
gpt-time/ ...     and with as much time
"""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import torch

from minigpt.checkpoint.claim import Scratch, check_out, claim, make_folder
from minigpt.checkpoint.files import TOKENIZER, read_own_json, write_text
from minigpt.checkpoint.run_folder import load_tokens, save_tokens
from minigpt.checkpoint.runs import RESUME, RUN, near_run
from minigpt.checkpoint.tokenizer_files import tokenizer_from_file
from minigpt.contest.lengths import USUAL_RATES
from minigpt.contest.records import Comparison, Contender
from minigpt.errors import CheckpointError, CorpusError, OutputError, named
from minigpt.models.kinds import equal_shape
from minigpt.records import record_of, to_plain
from minigpt.settings import PRESETS, Choices, ContestSettings, ModelConfig, TrainConfig
from minigpt.text.blocks import Stages
from minigpt.text.corpus import Corpus
from minigpt.training.plan import PAIR_BATCH, Plan, make_plan, pair_shape

COMPARISON = "comparison.json"
ORDER, PAIRS_ORDER = ("window", "rnn", "lstm", "gpt"), ("seq2seq", "seq2seq-attention", "transformer")  # of invention
PRESET = "nano"  # whose number of weights all contenders have, unless they read pairs
CONTEXT = 256
_CPU_STEP_TOKENS, _GPU_STEP_TOKENS, _GPU_PAIRS = 1024, 16_384, 512  # enough to keep it busy


def begin(
    corpus: Corpus, wanted: ContestSettings, device: torch.device, scratch: Scratch | None, progress: Stages
) -> tuple[Comparison, Plan]:
    """Tokenize the text, or the pairs, and size the models: all have as many parameters as that of the plan.

    Nothing is measured yet. Raises ConfigError and CorpusError.
    """
    on_cpu, kinds = device.type == "cpu", PAIRS_ORDER if wanted.pairs else ORDER
    if wanted.pairs:
        choices = Choices(model="transformer", batch_size=PAIR_BATCH if on_cpu else _GPU_PAIRS)
    else:
        batch = (_CPU_STEP_TOKENS if on_cpu else _GPU_STEP_TOKENS) // CONTEXT
        choices = Choices(preset=PRESET, context=CONTEXT, batch_size=batch)
    plan = make_plan(corpus, None, choices, _settings_of_all(wanted.seed), device, scratch, progress)
    if wanted.pairs and not plan.has_validation:
        raise CorpusError(
            f"{corpus.called} has too few pairs to compare models on: none is left for validation.\nGive more of them."
        )
    assert plan.has_validation, "of a text that is long enough to train on, a tenth is left"
    comparison = Comparison(
        name=plan.corpus.name,
        sources=plan.corpus.sources,
        text_bytes=plan.corpus.utf8_bytes,
        validation=plan.validation,
        vocab_size=plan.model.vocab_size,
        context=plan.model.context,
        batch_size=plan.train.batch_size,
        minutes=wanted.budget_minutes,
        quick=wanted.quick,
        pairs=wanted.pairs,
        seed=wanted.seed,
        machine=machine_name(device),
        contenders=tuple(_contender(equal_shape(plan.model, kind)) for kind in kinds),
    )
    return comparison, plan


def _settings_of_all(seed: int) -> TrainConfig:
    """What is the same for all contenders: AdamW in float32."""
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


def machine_name(device: torch.device) -> str:
    """A general description of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU core{'s' if threads > 1 else ''}" if device.type == "cpu" else device.type


def check_new(out: Path | None) -> None:
    """Raise OutputError if `out` cannot become the folder of a new comparison; nothing is replaced."""
    if out is None:
        return
    if (out / COMPARISON).exists():
        command = f"minigpt compare --resume {shlex.quote(str(out))}"
        raise OutputError(f"{named('out', out)} already holds a comparison. Continue it with: {command}")
    if (out / RUN).exists():
        raise OutputError(f"{named('out', out)} already holds a run. Choose another folder.")
    check_out(out, overwrite=False)


def claim_comparison(name: str, out: Path | None) -> Path:
    """Create `out`, or checkpoints/compare-NAME, compare-NAME-2, ... Raises OutputError, as `check_new` does."""
    check_new(out)
    return claim(f"compare-{name}", out, overwrite=False)


def newest_comparison(root: Path = Path("checkpoints")) -> Path:
    """The folder below `root` whose comparison was measured last. Raises CheckpointError if there is none."""
    found = [(path.stat().st_mtime, path.parent) for path in root.glob(f"*/{COMPARISON}")]
    if not found:
        raise CheckpointError(f"There is no comparison in ./{root} yet. Begin one with: minigpt compare YOUR-TEXT.txt")
    return max(found)[1]


def save_new(folder: Path, comparison: Comparison, plan: Plan) -> None:
    """Write everything that a comparison needs to continue."""
    write_text(folder / TOKENIZER, plan.tokenizer.to_json() + "\n")
    make_folder(folder / RESUME)
    save_tokens(folder, plan.data)
    save(folder, comparison)


def save(folder: Path, comparison: Comparison) -> None:
    """Replace the measurements so far."""
    write_text(folder / COMPARISON, json.dumps(to_plain(comparison), allow_nan=False) + "\n")


def open_comparison(folder: Path) -> tuple[Comparison, Plan]:
    """Read what `save_new` and `save` wrote, with the plan that the comparison began with. Raises CheckpointError."""
    path = folder / COMPARISON
    if not path.exists():
        raise CheckpointError(f"{folder} contains no comparison: it has no {COMPARISON}.{near_run(folder)}")
    comparison = record_of(Comparison, read_own_json(path), path)
    tokenizer, data = tokenizer_from_file(folder / TOKENIZER), load_tokens(folder)
    is_short = not comparison.pairs and len(data.train) <= comparison.context
    if tokenizer.vocab_size != comparison.vocab_size or is_short:
        raise CheckpointError(f"{folder} cannot be resumed: its tokenizer, its ids and {path.name} do not match.")
    plan = Plan(
        corpus=Corpus(comparison.name, comparison.sources, utf8_bytes=comparison.text_bytes),
        tokenizer=tokenizer,
        data=data,
        model=_model_of(comparison),
        train=replace(_settings_of_all(comparison.seed), batch_size=comparison.batch_size),
        validation=comparison.validation,
        notes=(),
        bytes_per_token=data.train_bytes / len(data.train),
    )
    return comparison, plan


def _model_of(comparison: Comparison) -> ModelConfig:
    """The model whose number of parameters all contenders have."""
    vocab_size, context, last = comparison.vocab_size, comparison.context, comparison.contenders[-1]
    if comparison.pairs:
        return pair_shape(Choices(model="transformer", layers=last.layers, width=last.width), vocab_size, context)
    preset = PRESETS[PRESET]
    return ModelConfig(
        vocab_size=vocab_size, context=context, layers=preset.layers, heads=preset.heads, width=preset.width
    )
