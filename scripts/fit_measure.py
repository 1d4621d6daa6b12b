"""The trainings from which the law is learned: which settings, on which texts, and what came out.

The texts that were measured: tinyshakespeare (Karpathy's 1.1 MB), small (its first 100,000 characters), builtin (what
`minigpt train` reads without a text, Python 3.11, its documents joined by line breaks), stdlib (the .py files at the
top of Python 3.11's library, joined in the order of their names' bytes) and russian (the .md files of docs/ru in
FastAPI 0.100.0's source distribution, likewise). Of three of them also the first 5, 10, 18, 50 and 100 kB, with the
next 60 kB to validate.

What was measured before 2026-11-29 (lines without `first`) drew its windows with replacement, which costs up to 0.8 %.
24 lines are runs of `minigpt train` on whole texts instead, two each on 0.5 MB of French and of Japanese manual pages
of Debian 12. Three of these have no training loss (null), because it was not kept; two of the three, by bpe 1,024, have
the number of tokens that was planned. Lines whose steps were smaller or larger than measured_step_tokens says take no
part in the fit.
"""

import argparse
import hashlib
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minigpt.models.device import resolve_precision
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Split, read_corpus
from minigpt.text.learning import train_tokenizer
from minigpt.text.shards import TokenData, tokenize
from minigpt.training.difficulty import simple_bits_per_byte
from minigpt.training.evaluate import Evaluation, evaluate
from minigpt.training.law import SMALL_TEXT
from minigpt.training.loop import train
from minigpt.training.pace import adamw_rate
from minigpt.training.search import tokens_per_step
from minigpt.training.speed import heads_of
from minigpt.training.step import merge_parents

MEASUREMENTS = Path(__file__).with_name("measurements.jsonl")
CONTEXT = 128
MOST_STEP_TOKENS = 2048  # the longest trainings did as well with these as with the larger steps that are planned
ONE, SMALL, NARROW, MIDDLE = (1, 64), (2, 64), (3, 96), (4, 128)  # layers, width
BETWEEN, LARGE, LARGER = (4, 192), (5, 256), (6, 384)
BRIEF, SHORT, MIDDLING, LONG, LONGER = 50_000, 150_000, 300_000, 500_000, 1_500_000  # tokens
TWICE_LONG = 1_000_000
TEN_MINUTES = 10_768_384, 3_809_280  # what LARGE and LARGER took of tinyshakespeare in this time
FIRST, NEXT = (5_000, 10_000, 18_000, 50_000), 60_000  # bytes
FEW_TIMES, MANY_TIMES = 1_331_200, 2_662_400  # tokens: tinyshakespeare is seen 4 and 8 times, by bpe 2,048
SIX_TIMES, MORE_TIMES, MOST_TIMES = 1_998_848, 3_997_696, 7_700_480  # 6, 12 and 22 times
TWENTY_TIMES, FORTY_TIMES = 2_500_608, 3_999_744  # builtin is seen 22 and 34 times, by bpe 1,024
IN_SEVEN_MINUTES = 7_938_048  # what LARGE took of tinyshakespeare
OF_CODE = 4_999_168  # stdlib is seen 4 times, by bpe 4,096
OF_CODE_TOO = 4_300_800  # by 3 x 96, which takes as long for them as 2 x 64 for OF_CODE by bpe 8,192
A_HUNDRED_KB = 100_000  # bytes
# What two cores with AVX2 train in about a minute, and half of it; and NARROW likewise.
SMALL_MINUTE, SMALL_HALF, NARROW_HALF, NARROW_MINUTE = 2_700_288, 1_349_632, 1_099_776, 2_199_552


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One run of the grid."""

    layers: int
    width: int
    tokens: int  # to be trained on
    tokenizer: str = "bpe"
    vocab_size: int = 1024
    dropout: float = 0.0
    weight_decay: float = TrainConfig.weight_decay
    bpe_dropout: float = 0.0
    context: int = CONTEXT
    batch_size: int
    first: int = 0  # bytes of the text that train, the next 60,000 of which validate; 0: all but the last tenth


def grid() -> list[Setting]:
    """Sizes by tokens; other tokenizers, dropout and weight decay. What tells most comes first."""
    return [
        _setting(MIDDLE, SHORT),
        _setting(MIDDLE, LONG),
        _setting(SMALL, LONG),
        _setting(LARGE, LONG),
        _setting(MIDDLE, LONG, tokenizer="char"),
        _setting(MIDDLE, LONG, vocab_size=4096),
        _setting(MIDDLE, LONGER),
        _setting(MIDDLE, LONGER, dropout=0.1),
        _setting(MIDDLE, LONGER, vocab_size=4096),
        _setting(MIDDLE, LONGER, vocab_size=4096, dropout=0.1),
        _setting(MIDDLE, LONG, vocab_size=2048),
        _setting(MIDDLE, LONG, vocab_size=512, dropout=0.2),
        _setting(MIDDLE, LONG, tokenizer="char", dropout=0.2),
        _setting(MIDDLE, LONG, vocab_size=8192),
        _setting(MIDDLE, LONGER, tokenizer="char"),
        _setting(SMALL, LONGER, vocab_size=4096),
        _setting(LARGE, LONG, vocab_size=4096, dropout=0.1),
        _setting(LARGE, LONGER, dropout=0.1),
        _setting(MIDDLE, LONGER, vocab_size=2048),
        _setting(LARGE, LONG, vocab_size=2048, dropout=0.2),
        _setting(LARGE, FEW_TIMES, vocab_size=2048),
        _setting(LARGE, FEW_TIMES, vocab_size=4096, dropout=0.1),
        _setting(LARGE, MANY_TIMES, vocab_size=4096, dropout=0.1),
        _setting(LARGE, MANY_TIMES, vocab_size=4096, dropout=0.2),
        _setting(LARGE, MANY_TIMES, vocab_size=4096),
        _setting(LARGE, MANY_TIMES, vocab_size=1024, dropout=0.1),
        _setting(LARGE, MANY_TIMES, vocab_size=2048, dropout=0.1),
        _setting(LARGE, MANY_TIMES, vocab_size=1024, dropout=0.2),
        _setting(LARGE, MORE_TIMES, vocab_size=512, dropout=0.2),
        *(
            _setting(LARGE, tokens, vocab_size=size, dropout=dropout)
            for tokens in (MORE_TIMES, MOST_TIMES)
            for size in (1024, 2048)
            for dropout in (0.1, 0.2)
        ),
        *(
            replace(setting, weight_decay=decay)
            for decay in (0.3, 0.6)
            for setting in (
                _setting(MIDDLE, SHORT),
                _setting(MIDDLE, LONG),
                _setting(MIDDLE, LONG, vocab_size=4096),
                _setting(MIDDLE, LONGER),
                _setting(MIDDLE, LONGER, dropout=0.1),
                _setting(MIDDLE, LONGER, vocab_size=2048),
                _setting(MIDDLE, LONGER, vocab_size=4096),
                _setting(LARGE, LONG),
                _setting(LARGE, LONG, vocab_size=2048),
                _setting(LARGE, FEW_TIMES, vocab_size=2048),
                _setting(LARGE, MANY_TIMES, dropout=0.1),
                _setting(LARGE, MANY_TIMES, vocab_size=2048, dropout=0.1),
                _setting(LARGE, MORE_TIMES, dropout=0.1),
                _setting(LARGE, MORE_TIMES, vocab_size=2048, dropout=0.1),
            )
        ),
        *(
            _setting(MIDDLE, tokens, weight_decay=decay, dropout=dropout, bpe_dropout=undone)
            for tokens, decay, dropout, undone in (
                (LONG, 0.1, 0.0, 0.1),
                (LONG, 1.0, 0.0, 0.0),
                (LONG, 0.6, 0.0, 0.1),
                (LONG, 1.0, 0.0, 0.1),
                (LONG, 1.0, 0.1, 0.0),
                (LONGER, 0.1, 0.0, 0.1),
                (LONGER, 1.0, 0.0, 0.0),
                (LONGER, 1.0, 0.0, 0.1),
                (LONGER, 1.6, 0.0, 0.2),
                (LONGER, 1.0, 0.1, 0.1),
            )
        ),
        *(
            _setting(MIDDLE, MORE_TIMES, vocab_size=2048, weight_decay=decay, bpe_dropout=undone)
            for decay, undone in ((0.6, 0.0), (0.6, 0.1), (1.0, 0.0), (1.0, 0.1))
        ),
        _setting(LARGE, TEN_MINUTES[0], vocab_size=512, weight_decay=0.6, bpe_dropout=0.1),
        _setting(LARGER, TEN_MINUTES[1], vocab_size=4096, weight_decay=1.0, bpe_dropout=0.1),
        *(
            _setting(
                shape,
                tokens,
                vocab_size=2048,
                weight_decay=decay,
                bpe_dropout=0.1,
                dropout=dropout,
            )
            for shape, tokens, decay, dropout in (
                (LARGE, MORE_TIMES, 0.3, 0.0),
                (LARGE, MORE_TIMES, 0.6, 0.0),
                (LARGE, MORE_TIMES, 1.0, 0.0),
                (LARGE, MORE_TIMES, 0.3, 0.1),
                (LARGE, MOST_TIMES, 0.3, 0.1),
                (LARGE, MOST_TIMES, 1.0, 0.0),
                (BETWEEN, MOST_TIMES, 1.0, 0.0),
                (LARGER, SIX_TIMES, 1.0, 0.0),
            )
        ),
        *(
            _setting(MIDDLE, tokens, tokenizer="char", weight_decay=decay)
            for tokens in (LONG, TWICE_LONG)
            for decay in (0.3, 1.0)
        ),
        *(
            _setting(
                shape,
                tokens,
                vocab_size=size,
                dropout=dropout,
                weight_decay=decay,
                bpe_dropout=undone,
            )
            for shape, tokens, size, dropout, decay, undone in (
                (MIDDLE, TWENTY_TIMES, 1024, 0.0, 0.6, 0.1),
                (MIDDLE, TWENTY_TIMES, 1024, 0.0, 0.6, 0.2),
                (BETWEEN, TWENTY_TIMES, 512, 0.1, 0.3, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.0, 0.1, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.0, 0.1, 0.3),
                (BETWEEN, TWENTY_TIMES, 1024, 0.0, 0.3, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.0, 0.6, 0.3),
                (BETWEEN, TWENTY_TIMES, 1024, 0.0, 1.0, 0.3),
                (BETWEEN, TWENTY_TIMES, 1024, 0.1, 0.3, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.1, 0.3, 0.3),
                (BETWEEN, TWENTY_TIMES, 1024, 0.1, 0.6, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.1, 1.0, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.2, 0.3, 0.2),
                (BETWEEN, TWENTY_TIMES, 1024, 0.2, 0.6, 0.2),
                (LARGE, TWENTY_TIMES, 1024, 0.1, 0.3, 0.3),
                (LARGE, TWENTY_TIMES, 1024, 0.0, 0.6, 0.3),
                (LARGE, FORTY_TIMES, 1024, 0.1, 0.3, 0.2),
                (BETWEEN, MORE_TIMES, 2048, 0.0, 0.1, 0.2),
                (BETWEEN, MORE_TIMES, 2048, 0.0, 0.3, 0.2),
                (BETWEEN, MORE_TIMES, 2048, 0.0, 0.3, 0.3),
                (BETWEEN, MORE_TIMES, 2048, 0.1, 0.1, 0.2),
                (LARGE, MOST_TIMES, 2048, 0.1, 0.3, 0.2),
                (LARGE, IN_SEVEN_MINUTES, 1024, 0.1, 0.3, 0.2),
                (LARGE, IN_SEVEN_MINUTES, 1024, 0.0, 0.6, 0.2),
                (BETWEEN, OF_CODE, 4096, 0.0, 0.1, 0.0),
                (BETWEEN, OF_CODE, 4096, 0.0, 0.1, 0.1),
                (BETWEEN, OF_CODE, 4096, 0.0, 0.1, 0.2),
                (BETWEEN, OF_CODE, 4096, 0.0, 0.1, 0.3),
            )
        ),
        *(  # as `train --minutes 10` planned them
            _setting(shape, tokens, vocab_size=size, weight_decay=decay, bpe_dropout=0.2)
            for shape, tokens, size, decay in (
                (LARGER, 1_902_592, 1024, 0.6),
                (LARGER, 1_423_360, 1024, 0.6),
                (LARGER, 1_514_496, 1024, 0.6),
                (LARGER, 4_003_840, 2048, 0.6),
                (LARGE, 9_388_032, 4096, 0.1),
            )
        ),
        _setting(SMALL, SMALL_MINUTE, vocab_size=1024),
        *(
            _setting(shape, tokens, vocab_size=2048, dropout=dropout, weight_decay=decay, bpe_dropout=undone)
            for shape, tokens, dropout, decay, undone in (
                (SMALL, SMALL_MINUTE, 0.0, 0.1, 0.2),
                (SMALL, SMALL_MINUTE, 0.0, 0.3, 0.2),
                (SMALL, SMALL_MINUTE, 0.0, 0.6, 0.2),
                (SMALL, SMALL_MINUTE, 0.1, 0.3, 0.2),
                (SMALL, SMALL_HALF, 0.0, 0.1, 0.0),
                (NARROW, NARROW_HALF, 0.0, 0.1, 0.2),
                (NARROW, NARROW_MINUTE, 0.0, 0.1, 0.0),
                (NARROW, NARROW_MINUTE, 0.0, 0.3, 0.2),
                (NARROW, NARROW_MINUTE, 0.1, 0.3, 0.2),
            )
        ),
        *(  # how large the vocabulary of a small model should be
            _setting(shape, tokens, vocab_size=size, bpe_dropout=undone)
            for shape, tokens, sizes in (
                (SMALL, SMALL_HALF, (1024, 2048, 4096, 8192)),
                (NARROW, NARROW_HALF, (1024, 4096, 8192)),
            )
            for size in sizes
            for undone in (0.0, 0.2)
            if (shape, size, undone) != (SMALL, 2048, 0.0)  # which is above
        ),
        _setting(SMALL, OF_CODE, vocab_size=8192),
        _setting(NARROW, OF_CODE_TOO, vocab_size=4096),
        _setting(MIDDLE, LONGER, vocab_size=2048, weight_decay=0.3, bpe_dropout=0.2),
        *(
            _setting(MIDDLE, TWICE_LONG, first=A_HUNDRED_KB, weight_decay=decay, bpe_dropout=undone)
            for decay, undone in ((0.3, 0.2), (0.1, 0.3))
        ),
        *(
            _setting(MIDDLE, TWICE_LONG, tokenizer="char", first=A_HUNDRED_KB, weight_decay=decay)
            for decay in (0.3, 0.6)
        ),
        *(replace(setting, first=size) for size in FIRST for setting in small_grid()),
    ]


def small_grid() -> list[Setting]:
    """For texts of some kilobytes."""
    return [
        _setting(SMALL, BRIEF, tokenizer="char", weight_decay=0.3),
        _setting(SMALL, SHORT, tokenizer="char", weight_decay=1.0),
        _setting(ONE, SHORT, tokenizer="char", weight_decay=1.0),
        _setting(SMALL, SHORT, tokenizer="char", weight_decay=0.3, dropout=0.1),
        _setting(SMALL, BRIEF, vocab_size=512, weight_decay=0.3),
        _setting(SMALL, SHORT, vocab_size=512, weight_decay=1.0),
        _setting(SMALL, SHORT, vocab_size=512, weight_decay=1.0, bpe_dropout=0.1),
        _setting(MIDDLE, BRIEF, tokenizer="char", weight_decay=1.0),
        _setting(MIDDLE, SHORT, tokenizer="char", weight_decay=1.6),
        _setting(MIDDLE, BRIEF, vocab_size=512, weight_decay=1.0),
        _setting(MIDDLE, BRIEF, vocab_size=1024, weight_decay=1.0, bpe_dropout=0.1),
        _setting(MIDDLE, SHORT, vocab_size=1024, weight_decay=1.6, bpe_dropout=0.1),
        _setting(SMALL, BRIEF, vocab_size=512, weight_decay=1.0),
        _setting(MIDDLE, BRIEF, vocab_size=512, weight_decay=0.3),
        _setting(MIDDLE, BRIEF, vocab_size=512, weight_decay=0.3, bpe_dropout=0.1),
        _setting(MIDDLE, SHORT, vocab_size=512, weight_decay=0.6, bpe_dropout=0.1),
        _setting(MIDDLE, MIDDLING, vocab_size=512, weight_decay=0.6, bpe_dropout=0.1),
        _setting(MIDDLE, MIDDLING, tokenizer="char", weight_decay=0.6),
        _setting(SMALL, SHORT, vocab_size=512, weight_decay=0.3, bpe_dropout=0.2),
        _setting(MIDDLE, SHORT, vocab_size=1024, weight_decay=0.3, bpe_dropout=0.2),
        _setting(MIDDLE, SHORT, vocab_size=512, weight_decay=0.3, bpe_dropout=0.3),
        _setting(MIDDLE, MIDDLING, vocab_size=1024, weight_decay=0.3, bpe_dropout=0.3),
    ]


def _setting(shape: tuple[int, int], tokens: int, **more: Any) -> Setting:
    return Setting(
        layers=shape[0], width=shape[1], tokens=tokens, batch_size=measured_step_tokens(tokens) // CONTEXT, **more
    )


def measured_step_tokens(tokens: float) -> int:
    """The tokens of a step in a training of so many."""
    return min(tokens_per_step(tokens), MOST_STEP_TOKENS)


def measure(path: str, setting: Setting) -> dict[str, Any]:
    """Train on the first 90 % of the text, or less, on one core; the loss on what follows."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return _measured(Path(path), split_of(Path(path), setting.first, Path(folder)), setting)


def _measured(path: Path, split: Split, setting: Setting) -> dict[str, Any]:
    size = setting.vocab_size if setting.tokenizer == "bpe" else None
    tokenizer = train_tokenizer(setting.tokenizer, (block.text for block in split.train()), size)
    data, lengths = tokenize(tokenizer, split), tokenizer.byte_lengths()
    shape = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        context=setting.context,
        layers=setting.layers,
        heads=heads_of(setting.width),
        width=setting.width,
        dropout=setting.dropout,
    )
    steps = round(setting.tokens / (setting.context * setting.batch_size))
    config = TrainConfig(
        steps=steps,
        batch_size=setting.batch_size,
        learning_rate=adamw_rate(setting.width),
        warmup_steps=min(20, steps // 10),
        weight_decay=setting.weight_decay,
        bpe_dropout=setting.bpe_dropout,
        precision=resolve_precision("auto", torch.device("cpu"), setting.width),
    )
    model = GPT(shape).initialise(torch.Generator().manual_seed(1))
    parents = merge_parents(tokenizer)
    records = train(model, TokenData(data.train, data.validation[:0]), config, lengths, parents=parents)
    recent = [record.loss_nats for record in records if record.loss_nats is not None][-50:]
    return {
        "text": path.stem,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "train_bytes": split.train_bytes,
        "train_tokens": len(data.train),
        **asdict(setting),
        "vocab_size": tokenizer.vocab_size,
        "tokens": steps * setting.context * setting.batch_size,
        "simple_bits": round(simple_bits_per_byte(split, copies=split.train_bytes >= SMALL_TEXT) or 0.0, 4),
        "train_loss_nats": round(sum(recent) / len(recent), 4),
        "bits_per_byte": round(evaluated(model, data, lengths).bits_per_byte, 4),
    }


def split_of(path: Path, first: int, folder: Path) -> Split:
    """The text's parts, which for the `first` bytes are files in `folder`."""
    if not first:
        return Split(read_corpus([str(path)]), None, 0.1)
    parts, data = [folder / "train", folder / "validation"], path.read_bytes()
    for part, piece in zip(parts, (data[:first], data[first : first + NEXT]), strict=True):
        part.write_text(piece.decode(errors="ignore"))
    train, validation = (read_corpus([str(part)]) for part in parts)
    return Split(train, validation)


def evaluated(model: GPT, data: TokenData, lengths: np.ndarray) -> Evaluation:
    result = evaluate(model, data.validation, lengths)
    assert result is not None
    return result


def measure_all(arguments: argparse.Namespace) -> None:
    """What is not measured yet; it may be stopped at any time."""
    done = {_key(line) for line in read_lines(arguments.out)} if arguments.out.exists() else set()
    todo = [(t, s) for s in grid() for t in arguments.texts if _key({"text": Path(t).stem, **asdict(s)}) not in done]
    with ProcessPoolExecutor(arguments.processes) as pool, arguments.out.open("a") as out:
        for future in as_completed([pool.submit(measure, text, setting) for text, setting in todo]):
            out.write(json.dumps(future.result()) + "\n")
            out.flush()


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _key(line: dict[str, Any]) -> str:
    names = (
        "text",
        "layers",
        "width",
        "tokenizer",
        "dropout",
        "weight_decay",
        "bpe_dropout",
        "context",
        "batch_size",
        "first",
    )
    vocabulary = line["vocab_size"] if line["tokenizer"] == "bpe" else 0
    return json.dumps([*(line.get(name, 0) for name in names), vocabulary, round(line["tokens"] / 1024)])  # steps
