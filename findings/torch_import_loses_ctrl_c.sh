#!/usr/bin/env bash
# torch 2.13.0 and NumPy 2.4.6 (Python 3.11): Ctrl-C during `import torch` is lost if it comes while torch imports NumPy.
#
# torch imports NumPy from C when its own extension is initialised, and drops whatever exception that raises, as it does
# where NumPy is not installed. A KeyboardInterrupt is such an exception: the import goes on, and so does the program,
# which has not been told to stop. Imported by itself, NumPy passes the interrupt on.
#
# Expected: KeyboardInterrupt from each. Output seen, with SIGINT sent as the module numpy.linalg is looked up:
#   import numpy: KeyboardInterrupt
#   import torch: went on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
cat >interrupted.py <<'PYTHON'
import importlib
import os
import signal
import sys


class CtrlC:
    """A finder that finds nothing, and sends SIGINT when numpy.linalg is looked for."""

    sent = False

    def find_spec(self, name, path=None, target=None):
        if name == "numpy.linalg" and not CtrlC.sent:
            CtrlC.sent = True
            os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, CtrlC())
try:
    importlib.import_module(sys.argv[1])
    print(f"import {sys.argv[1]}:", "went on" if CtrlC.sent else "was not interrupted")
except KeyboardInterrupt:
    print(f"import {sys.argv[1]}: KeyboardInterrupt")
PYTHON
for package in numpy torch; do venv/bin/python -W ignore interrupted.py "$package" 2>/dev/null; done >seen
cat seen
diff seen - <<'SEEN' || { echo "torch no longer loses an interrupt as described here." >&2; exit 1; }
import numpy: KeyboardInterrupt
import torch: went on
SEEN
