"""Measures losses, and fits the law by which --minutes plans. Started by scripts/fit.

    scripts/fit measure TEXT...         train the grid of fit_measure.py on each text, a line of measurements.jsonl each
    scripts/fit law                     fit minigpt/training/law.json to these lines, and say how well it fits
    scripts/fit check TEXT --minutes M  the plan against its neighbours
    scripts/fit check TEXT --minutes M --first 18000 --grid     of a small text, against a grid of small models
    scripts/fit levers TEXT...          what other ways of training would change, as listed in levers.py

The check is for texts that had no part in the fit, such as fortunes (Debian's package of that name, its files joined by
name).
"""

import argparse
import json
import math
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from fit_check import check
from fit_measure import MEASUREMENTS, measure_all, measured_step_tokens, read_lines
from lever_runs import add_command

from minigpt.training.difficulty import LEARNED
from minigpt.training.law import SMALL_TEXT, Law, Training
from minigpt.training.search import MOST_DECAY_OF_CHARACTERS

LAW = Path(__file__).parent.parent / "minigpt" / "training" / "law.json"

# Where the fit begins; what few measurements tell about stays near it.
START = Law(
    floor=0.6,
    model_scale=0.6,
    model_power=0.2,
    model_bytes=0.3,
    model_decay=0.3,
    data_dropout=1.0,
    data_bpe=1.0,
    data_scale=0.6,
    data_power=0.3,
    data_bytes=0.3,
    repeats=6.0,
    overfit_scale=0.02,
    overfit_size=0.5,
    overfit_epochs=1.0,
    overfit_dropout=6.0,
    overfit_decay=2.0,
    overfit_bpe=2.0,
)
TIE = 0.01  # to START, in units of the residuals
OF_TEXT = 0.05  # how much a text's factor is tied to what simple models make of the text, likewise
# Of the best loss of its text by as much work: what is further off counts ever less, as the law has to tell good runs
# apart.
NEAR = 0.08
LITTLE_MORE = 1.5  # times the work of a run: its rivals took no more


class Fit:
    """Levenberg and Marquardt's least squares over the logarithms of the losses, each text with a factor of its own."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.names = [field.name for field in fields(Law)]
        names = [(line["text"], line.get("first", 0)) for line in lines]
        self.texts = sorted(set(names))
        self.trainings = [_training(line) for line in lines]
        self.losses = np.log([line["bits_per_byte"] for line in lines])
        self.text_of = np.array([self.texts.index(name) for name in names])
        simple = dict(zip(names, (line["simple_bits"] for line in lines), strict=True))
        self.simple = np.log([simple[text] for text in self.texts])
        size = dict(zip(names, (line["train_bytes"] for line in lines), strict=True))
        self.sizes = np.log([min(size[text], LEARNED) / LEARNED for text in self.texts])
        work = np.array([(t.block_parameters + t.embedding_parameters) * t.tokens for t in self.trainings])
        rivals = (self.text_of == self.text_of[:, None]) & (work <= LITTLE_MORE * work[:, None])
        best = np.where(rivals, self.losses, np.inf).min(axis=1)
        self.weights = (1 + (np.expm1(self.losses - best) / NEAR) ** 2) ** -0.5
        self.start = np.log([getattr(START, name) for name in self.names])

    def law(self, x: np.ndarray) -> Law:
        """All numbers are positive: `x` holds their logarithms."""
        return Law(**dict(zip(self.names, np.exp(np.clip(x, -20, 20)).tolist(), strict=True)))

    def factors(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithms of the losses by the law's, one a measurement, and their means, one a text."""
        law = self.law(x)
        ratios = self.losses - np.log([law.bits_per_byte(training) for training in self.trainings])
        of_text = [self.text_of == text for text in range(len(self.texts))]
        return ratios, np.array([np.average(ratios[these], weights=self.weights[these]) for these in of_text])

    def errors(self, x: np.ndarray) -> np.ndarray:
        """Of the logarithms of the losses, one a measurement."""
        ratios, factors = self.factors(x)
        return ratios - factors[self.text_of]

    def by_simple_models(self, x: np.ndarray) -> tuple[float, float, np.ndarray]:
        """What simple models tell of the texts' factors: `share` and `power` of difficulty.py, and the errors."""
        ratios = self.factors(x)[1] - self.simple
        if self.sizes.min() > np.log(0.5):  # too much alike to tell of size; one text may be unlike all others
            middle = float(np.median(ratios))
            return math.exp(middle), 0.0, ratios - middle
        columns = np.stack([np.ones(len(ratios)), self.sizes], axis=1)
        (share, power), *_ = np.linalg.lstsq(columns, ratios, rcond=None)
        return float(np.exp(share)), float(power), ratios - columns @ (share, power)

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Of the measurements, by their weights; of the texts' factors; then of the tie."""
        return np.concatenate(
            [self.weights * self.errors(x), OF_TEXT * self.by_simple_models(x)[2], TIE * (x - self.start)]
        )

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
        bpe_dropout=line.get("bpe_dropout", 0.0),
    )


def fitted_lines(path: Path, size: str) -> list[dict[str, Any]]:
    """The measurements of `small` or `large` texts, but for those of trainings that are never planned."""
    return [
        line
        for line in read_lines(path)
        if (line["train_bytes"] < SMALL_TEXT) == (size == "small")
        and (line["tokenizer"] == "bpe" or line["weight_decay"] <= MOST_DECAY_OF_CHARACTERS)
        and line["batch_size"] * line["context"] == measured_step_tokens(line["tokens"])
    ]


def fit(arguments: argparse.Namespace) -> None:
    """One law for the texts of some kilobytes, and one for the others."""
    found = {}
    for name in ("small", "large"):
        found[name] = _fitted(fitted_lines(arguments.measurements, name))
        quality = found[name]["fit"]
        print(
            f"{name} texts: {quality['runs']} runs, error {quality['root_mean_square_error']:.2%} (root mean square), "
            f"{quality['weighted_root_mean_square_error']:.2%} by their weights"
        )
    LAW.write_text(json.dumps(found, indent=2) + "\n")


def _fitted(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What law.json says of a law, after a list of its largest errors."""
    fitting = Fit(lines)
    x = fitting.solve()
    errors = fitting.errors(x)
    for line, error in sorted(zip(lines, errors, strict=True), key=lambda pair: -abs(pair[1]))[:8]:
        cut = line["tokenizer"] if line["tokenizer"] == "char" else f"bpe {line['vocab_size']}"
        run = f"{line['layers']}x{line['width']} {cut} {line['tokens'] / 1e6:.2f}M tokens, dropout {line['dropout']}"
        run += f", decay {line['weight_decay']}"
        print(f"{error:+.1%}  {line['text']} {line['train_bytes']:,} bytes, {run}: {line['bits_per_byte']}")
    share, power, text_errors = fitting.by_simple_models(x)
    return {
        "law": {name: round(value, 6) for name, value in asdict(fitting.law(x)).items()},
        "difficulty": {"share": round(share, 4), "power": round(power, 4)},
        "fit": {
            "runs": len(lines),
            "root_mean_square_error": round(float(np.sqrt((errors**2).mean())), 4),
            "weighted_root_mean_square_error": round(
                float(np.sqrt(np.average(errors**2, weights=fitting.weights**2))), 4
            ),
            "text_error": round(float(text_errors.std()), 4),
        },
    }


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
    checking.add_argument(
        "--first", type=int, default=0, help="train on so many bytes, and validate on the next 60,000"
    )
    checking.add_argument("--grid", action="store_true", help="against a grid of small models instead of neighbours")
    checking.set_defaults(run=check)
    add_command(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
