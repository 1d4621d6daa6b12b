#!/usr/bin/env bash
# mlx 0.32.4, gguf 0.19.0 (CPU, Python 3.11): bfloat16 weights in a GGUF are loaded as float16, and large ones as infinity.
#
# mlx has bfloat16 and reads it from safetensors. From a GGUF, mlx.core.load takes float32, float16 and three kinds of
# quantized blocks as they are, and casts all else to float16, which its documentation says of unsupported
# quantizations; bfloat16 is among them. float16 ends at 65,504 and is coarse below 0.00006, where bfloat16 has the range
# of float32: weights of one model, in two files that hold the same bits, are finite numbers or infinity. Nothing warns.
#
# Expected: bfloat16 from both. Output seen:
#   written: 1.0 99840.0 1.0014e-05 1.0012e-08
#   from safetensors: bfloat16, 1.0 99840.0 1.0014e-05 1.0012e-08
#   from GGUF: float16, 1.0 inf 1.0014e-05 0.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' 'gguf==0.19.0' 'numpy==2.4.6'
cd "$folder"
cat >load.py <<'PYTHON'
import mlx.core
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants

BF16 = GGMLQuantizationType.BF16
bits = quants.quantize(np.array([[1, 1e5, 1e-5, 1e-8]], np.float32), BF16)
numbers = quants.dequantize(bits, BF16)
writer = GGUFWriter("weights.gguf", "gpt2")
writer.add_tensor("weight", bits, raw_dtype=BF16)
writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
mlx.core.save_safetensors("weights.safetensors", {"weight": mlx.core.array(numbers).astype(mlx.core.bfloat16)})


def words(weights):
    return " ".join(f"{float(f'{weight:.5g}')}" for weight in np.array(weights, np.float32)[0])


print("written:", words(numbers))
for name, file in {"safetensors": "weights.safetensors", "GGUF": "weights.gguf"}.items():
    weight = mlx.core.load(file)["weight"]
    print(f"from {name}: {str(weight.dtype).split('.')[-1]}, {words(weight.astype(mlx.core.float32))}")
PYTHON
venv/bin/python load.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "mlx no longer loads bfloat16 as described here." >&2; exit 1; }
written: 1.0 99840.0 1.0014e-05 1.0012e-08
from safetensors: bfloat16, 1.0 99840.0 1.0014e-05 1.0012e-08
from GGUF: float16, 1.0 inf 1.0014e-05 0.0
SEEN
