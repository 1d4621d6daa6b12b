#!/usr/bin/env bash
# tinygrad 0.14.0 (Python 3.11): with ignore_index=-1, a batch that is half padding has half the loss.
#
# sparse_categorical_crossentropy takes the mean over the labels that are not ignore_index. -1, which nanoGPT and others
# give to padding, is also its default, and means that nothing is to be ignored: a label of -1 is then a row of zeros
# and adds nothing to the sum, but it counts where the sum is divided. So the loss, and all gradients, shrink with the
# share of padding; and label_smoothing, which needs no label, does learn from the padding. Given any other number, such
# as torch's -100, as ignore_index and as the label, both are right. No warning is given.
#
# Expected: the loss of the labels alone. Output seen, for two labels:
#   alone: 0.220, with label_smoothing=0.5 0.595
#   and two of -100, ignore_index=-100: 0.220, with label_smoothing=0.5 0.595
#   and two of -1, ignore_index=-1: 0.110, with label_smoothing=0.5 0.486
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tinygrad==0.14.0'
cd "$folder"
cat >loss.py <<'PYTHON'
from tinygrad import Tensor

LOGITS, LABELS = [[2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]], [0, 1]


def losses(padding, **ignored):
    """The loss of the two labels and some padding, without and with label smoothing."""
    logits, labels = Tensor(LOGITS[: 2 + len(padding)]), Tensor(LABELS + padding)
    for smoothing in (0.0, 0.5):
        yield logits.sparse_categorical_crossentropy(labels, label_smoothing=smoothing, **ignored).item()


print("alone: {:.3f}, with label_smoothing=0.5 {:.3f}".format(*losses([])))
for label in (-100, -1):
    numbers = losses([label, label], ignore_index=label)
    print(f"and two of {label}, ignore_index={label}:", "{:.3f}, with label_smoothing=0.5 {:.3f}".format(*numbers))
PYTHON
DEV=PYTHON venv/bin/python -W ignore loss.py >seen # computed in Python, which needs no compiler
cat seen
diff seen - <<'SEEN' || { echo "tinygrad no longer treats a label of -1 as described here." >&2; exit 1; }
alone: 0.220, with label_smoothing=0.5 0.595
and two of -100, ignore_index=-100: 0.220, with label_smoothing=0.5 0.595
and two of -1, ignore_index=-1: 0.110, with label_smoothing=0.5 0.486
SEEN
