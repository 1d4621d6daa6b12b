"""Texts in; measured losses, and the law that `minigpt train --minutes` plans by, out. Started by scripts/fit.

    scripts/fit measure TEXT...         train the grid below on each text; one line of scripts/measurements.jsonl a run
    scripts/fit law                     fit minigpt/training/law.json to these lines, and say how well it fits
    scripts/fit check TEXT --minutes M  a text that had no part in the fit: the plan against its neighbours
    scripts/fit levers TEXT...          what other ways of training would change, as listed in levers.py

The texts that were measured: tinyshakespeare (Karpathy's 1.1 MB), small (its first 100,000 characters), builtin (what
`minigpt train` reads without a text, Python 3.11) and stdlib (the .py files at the top of Python 3.11's library, joined
by name). Checked on fortunes (Debian's package of that name, its files joined by name).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lever_runs import add_command

from minigpt.checkpoint.folder import load
from minigpt.models.device import resolve_precision
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Split, read_corpus
from minigpt.text.learning import SMALLEST_VOCABULARY, train_tokenizer
from minigpt.text.shards import TokenData, tokenize
from minigpt.training.evaluate import Evaluation, evaluate
from minigpt.training.law import Law, Training
from minigpt.training.loop import train
from minigpt.training.search import SHAPES, adamw_rate
from minigpt.training.speed import heads_of

MEASUREMENTS = Path(__file__).with_name("measurements.jsonl")
LAW = Path(__file__).parent.parent / "minigpt" / "training" / "law.json"
CONTEXT, BATCH = 128, 8  # 1,024 tokens a step
SMALL, MIDDLE, LARGE = (2, 64), (4, 128), (5, 256)  # layers, width
SHORT, LONG, LONGER = 150_000, 500_000, 1_500_000  # tokens
FEW_TIMES, MANY_TIMES = 1_331_200, 2_662_400  # tokens: tinyshakespeare is seen 4 and 8 times, by bpe 2,048
MORE_TIMES, MOST_TIMES = 3_997_696, 7_700_480  # 12 and 22 times


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
    context: int = CONTEXT
    batch_size: int = BATCH


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
        _setting(LARGE, MORE_TIMES, vocab_size=512, dropout=0.2, batch_size=2 * BATCH),
        *(
            _setting(LARGE, tokens, vocab_size=size, dropout=dropout, batch_size=2 * BATCH)
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
                _setting(LARGE, MORE_TIMES, dropout=0.1, batch_size=2 * BATCH),
                _setting(LARGE, MORE_TIMES, vocab_size=2048, dropout=0.1, batch_size=2 * BATCH),
            )
        ),
    ]


def _setting(shape: tuple[int, int], tokens: int, **more: Any) -> Setting:
    return Setting(layers=shape[0], width=shape[1], tokens=tokens, **more)


def measure(path: str, setting: Setting) -> dict[str, Any]:
    """Train on the first 90 % of the text, on one core; the loss on the rest."""
    torch.set_num_threads(1)
    split = Split(read_corpus([path]), None, 0.1)
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
        precision=resolve_precision("auto", torch.device("cpu"), setting.width),
    )
    model = GPT(shape).initialise(torch.Generator().manual_seed(1))
    records = train(model, TokenData(data.train, data.validation[:0]), config, lengths)
    recent = [record.loss_nats for record in records if record.loss_nats is not None][-50:]
    return {
        "text": Path(path).stem,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "train_bytes": split.train_bytes,
        "train_tokens": len(data.train),
        **asdict(setting),
        "vocab_size": tokenizer.vocab_size,
        "tokens": steps * setting.context * setting.batch_size,
        "train_loss_nats": round(sum(recent) / len(recent), 4),
        "bits_per_byte": round(_evaluated(model, data, lengths).bits_per_byte, 4),
    }


def _evaluated(model: GPT, data: TokenData, lengths: np.ndarray) -> Evaluation:
    result = evaluate(model, data.validation, lengths)
    assert result is not None
    return result


def measure_all(arguments: argparse.Namespace) -> None:
    """What is not measured yet; it may be stopped at any time."""
    done = {_key(line) for line in _lines(arguments.out)} if arguments.out.exists() else set()
    todo = [(t, s) for s in grid() for t in arguments.texts if _key({"text": Path(t).stem, **asdict(s)}) not in done]
    with ProcessPoolExecutor(arguments.processes) as pool, arguments.out.open("a") as out:
        for future in as_completed([pool.submit(measure, text, setting) for text, setting in todo]):
            out.write(json.dumps(future.result()) + "\n")
            out.flush()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _key(line: dict[str, Any]) -> str:
    names = ("text", "layers", "width", "tokenizer", "dropout", "weight_decay", "context", "batch_size")
    vocabulary = line["vocab_size"] if line["tokenizer"] == "bpe" else 0
    return json.dumps([*(line[name] for name in names), vocabulary, round(line["tokens"] / 1024)])  # steps


# Where the fit begins; what few measurements tell about stays near it.
START = Law(
    floor=0.6,
    model_scale=0.6,
    model_power=0.2,
    model_bytes=0.3,
    data_dropout=1.0,
    data_decay=0.3,
    data_scale=0.6,
    data_power=0.3,
    data_bytes=0.3,
    repeats=6.0,
    overfit_scale=0.02,
    overfit_size=0.5,
    overfit_epochs=1.0,
    overfit_dropout=6.0,
    overfit_decay=2.0,
)
TIE = 0.01  # to START, in units of the residuals
MOST_DECAY = 0.3  # more was measured, and is worse for all but the shortest text, so the law need not tell by how much
NEAR = 0.08  # of its text's best loss: what is further off counts ever less, as the law has to tell good runs apart


class Fit:
    """Levenberg and Marquardt's least squares over the logarithms of the losses, each text with a factor of its own."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.names = [field.name for field in fields(Law)]
        self.texts = sorted({line["text"] for line in lines})
        self.trainings = [_training(line) for line in lines]
        self.losses = np.log([line["bits_per_byte"] for line in lines])
        self.text_of = np.array([self.texts.index(line["text"]) for line in lines])
        best = np.array([self.losses[self.text_of == text].min() for text in range(len(self.texts))])
        self.weights = (1 + (np.expm1(self.losses - best[self.text_of]) / NEAR) ** 2) ** -0.5
        self.start = np.log([getattr(START, name) for name in self.names])

    def law(self, x: np.ndarray) -> Law:
        """All numbers are positive: `x` holds their logarithms."""
        return Law(**dict(zip(self.names, np.exp(np.clip(x, -20, 20)).tolist(), strict=True)))

    def errors(self, x: np.ndarray) -> np.ndarray:
        """Of the logarithms of the losses, one a measurement."""
        law = self.law(x)
        errors = self.losses - np.log([law.bits_per_byte(training) for training in self.trainings])
        of_text = [self.text_of == text for text in range(len(self.texts))]
        factors = np.array([np.average(errors[these], weights=self.weights[these]) for these in of_text])
        return errors - factors[self.text_of]

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Of the measurements, by their weights, then of the tie."""
        return np.concatenate([self.weights * self.errors(x), TIE * (x - self.start)])

    def solve(self, rounds: int = 500) -> np.ndarray:
        x, damping = self.start, 1e-2
        now = self.residuals(x)
        for _ in range(rounds):
            nudges = 1e-5 * np.eye(len(x))
            slopes = np.stack([(self.residuals(x + nudge) - now) / 1e-5 for nudge in nudges], axis=1)
            step = np.linalg.solve(slopes.T @ slopes + damping * np.eye(len(x)), -slopes.T @ now)
            then = self.residuals(x + step)
            if then @ then < now @ now:
                x, now, damping = x + step, then, max(damping / 3, 1e-9)
            else:
                damping = min(damping * 4, 1e9)
        return x


def _training(line: dict[str, Any]) -> Training:
    return Training(
        block_parameters=12 * line["layers"] * line["width"] ** 2,
        embedding_parameters=line["vocab_size"] * line["width"],
        tokens=line["tokens"],
        bytes_per_token=line["train_bytes"] / line["train_tokens"],
        text_bytes=line["train_bytes"],
        dropout=line["dropout"],
        weight_decay=line["weight_decay"],
    )


def fitted_lines(path: Path) -> list[dict[str, Any]]:
    """The measurements that the law is fitted to."""
    return [line for line in _lines(path) if line["weight_decay"] <= MOST_DECAY]


def fit(arguments: argparse.Namespace) -> None:
    lines = fitted_lines(arguments.measurements)
    fitting = Fit(lines)
    x = fitting.solve()
    errors = fitting.errors(x)
    for line, error in sorted(zip(lines, errors, strict=True), key=lambda pair: -abs(pair[1]))[:8]:
        cut = line["tokenizer"] if line["tokenizer"] == "char" else f"bpe {line['vocab_size']}"
        run = f"{line['layers']}x{line['width']} {cut} {line['tokens'] / 1e6:.2f}M tokens, dropout {line['dropout']}"
        run += f", decay {line['weight_decay']}"
        print(f"{error:+.1%}  {line['text']} {run}: {line['bits_per_byte']}")
    quality = {
        "runs": len(lines),
        "root_mean_square_error": round(float(np.sqrt((errors**2).mean())), 4),
        "weighted_root_mean_square_error": round(float(np.sqrt(np.average(errors**2, weights=fitting.weights**2))), 4),
    }
    numbers = {name: round(value, 6) for name, value in asdict(fitting.law(x)).items()}
    LAW.write_text(json.dumps({"law": numbers, "fit": quality}, indent=2) + "\n")
    print(
        f"{len(lines)} runs, error {quality['root_mean_square_error']:.2%} (root mean square), "
        f"{quality['weighted_root_mean_square_error']:.2%} by their weights; wrote {LAW.name}"
    )


def check(arguments: argparse.Namespace) -> None:
    """Train the plan, and what differs from it in size or in vocabulary, each for the same time."""
    command = [sys.executable, "-m", "minigpt", "train", arguments.text, "--minutes", str(arguments.minutes)]
    dry = subprocess.run([*command, "--dry-run", "--json"], check=True, capture_output=True, text=True).stdout
    plan = json.loads(dry.splitlines()[0])
    results = {}
    for name, flags in _neighbours(plan):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder, "run")
            subprocess.run([*command, *flags, "--out", str(run), "-q"], check=True, stdout=subprocess.DEVNULL)
            checkpoint = load(run, torch.device("cpu"))
            data = tokenize(checkpoint.tokenizer, Split(read_corpus([arguments.text]), None, 0.1))
            results[name] = _evaluated(checkpoint.model, data, checkpoint.tokenizer.byte_lengths()).bits_per_byte
        print(f"{results[name]:.4f} bits per byte  {name}", flush=True)
    chosen, best = next(iter(results.values())), min(results.values())
    print(f"the plan is {chosen / best - 1:.1%} from the best of the {len(results)}")


def _neighbours(plan: dict[str, Any]) -> list[tuple[str, list[str]]]:
    at = SHAPES.index((plan["layers"], plan["width"]))
    shapes = [SHAPES[i] for i in (at, at - 1, at + 1) if 0 <= i < len(SHAPES)]
    cuts = [_cut(plan["tokenizer"], plan["vocab_size"])]
    if plan["tokenizer"] == "bpe":
        cuts += [_cut("bpe", max(SMALLEST_VOCABULARY, plan["vocab_size"] // 2)), _cut("bpe", plan["vocab_size"] * 2)]
    cuts.append(_cut("char" if plan["tokenizer"] == "bpe" else "bpe", 1024))
    ways = [(shapes[0], cut) for cut in cuts] + [(shape, cuts[0]) for shape in shapes[1:]]
    same = ["--dropout", str(plan["dropout"]), "--weight-decay", str(plan["weight_decay"])]
    return [
        (f"{layers} x {width}, {' '.join(cut)}", ["--layers", str(layers), "--width", str(width), *cut, *same])
        for (layers, width), cut in ways
    ]


def _cut(kind: str, size: int) -> list[str]:
    return ["--tokenizer", kind, *(["--vocab-size", str(size)] if kind == "bpe" else [])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fit", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="measure|law|check|levers")
    measuring = commands.add_parser("measure", help="train the grid on each text")
    measuring.add_argument("texts", nargs="+")
    measuring.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once, of one thread each")
    measuring.add_argument("--out", type=Path, default=MEASUREMENTS)
    measuring.set_defaults(run=measure_all)
    fitting = commands.add_parser("law", help="fit the law to the measurements")
    fitting.add_argument("--measurements", type=Path, default=MEASUREMENTS)
    fitting.set_defaults(run=fit)
    checking = commands.add_parser("check", help="the plan for a text, against its neighbours")
    checking.add_argument("text")
    checking.add_argument("--minutes", type=float, required=True)
    checking.set_defaults(run=check)
    add_command(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
