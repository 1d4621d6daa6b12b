#!/usr/bin/env bash
# nltk 3.10.4 (Python 3.11): a smoothed n-gram model never writes what it has not seen.
#
# Smoothing gives a share of the probability to words that never followed a context, and score() and perplexity() of
# nltk.lm count it in. generate() draws from the words that did follow the context, with their scores as weights, and from
# no others: the share of all unseen words goes to the seen ones. Laplace, Lidstone, Witten-Bell, absolute discounting and
# Kneser-Ney all write the same pairs of words as MLE, which has no smoothing. Where a context had one follower, that one
# is written for sure, whatever its probability. No warning is given.
#
# Expected: pairs that are not in the texts are written about as often as score() says. Output seen, for the letter after
# "a", where the texts have three:
#   MLE: another one has the probability 0.00, written 0 of 2,000 times
#   Laplace: another one has the probability 0.50, written 0 of 2,000 times
#   Lidstone(0.5): another one has the probability 0.38, written 0 of 2,000 times
#   WittenBellInterpolated: another one has the probability 0.26, written 0 of 2,000 times
#   AbsoluteDiscountingInterpolated: another one has the probability 0.32, written 0 of 2,000 times
#   KneserNeyInterpolated: another one has the probability 0.04, written 0 of 2,000 times
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'nltk==3.10.4'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from nltk.lm import MLE, Laplace, Lidstone
from nltk.lm import AbsoluteDiscountingInterpolated, KneserNeyInterpolated, WittenBellInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline

texts = [list(text) for text in ("abcdacef", "efghabdg", "hgfedcba", "cabehdfg")]
models = {
    "MLE": MLE(2),
    "Laplace": Laplace(2),
    "Lidstone(0.5)": Lidstone(0.5, 2),
    "WittenBellInterpolated": WittenBellInterpolated(2),
    "AbsoluteDiscountingInterpolated": AbsoluteDiscountingInterpolated(2),
    "KneserNeyInterpolated": KneserNeyInterpolated(2),
}
for name, model in models.items():
    model.fit(*padded_everygram_pipeline(2, texts))
    seen = set(model.counts[["a"]])
    unseen = sum(model.score(word, ["a"]) for word in model.vocab if word not in seen)
    written = sum(model.generate(1, ["a"], seed) not in seen for seed in range(2000))
    print(f"{name}: another one has the probability {unseen:.2f}, written {written} of 2,000 times")
    if written or (name != "MLE" and unseen < 0.02):
        sys.exit("generate() no longer keeps to pairs that are in the texts.")
PYTHON
