"""How many bytes a decoding step reads, and how fast this machine reads as many: the memory's share of the time.

The streaming read is a loop in C that adds up a buffer of the same size, each thread its part, compiled here for this
CPU; without a compiler, numpy's largest number of each part.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minigpt.settings import ModelConfig

LEAST_READ = 1_000_000_000  # bytes in one turn, for a time that can be measured
SIZES = {"float32": 4, "bfloat16": 2, "int8": 1}  # bytes of a number in a matrix

# Four streams at once, of two lines of the cache each in turn, keep more requests to the memory under way than one.
_SOURCE = """
typedef float lanes __attribute__((vector_size(32), aligned(4)));

float stream_read(const lanes *from, long count, long passes)
{
    lanes sum[16] = {0}, total = {0};
    long quarter = count / 4;
    for (long pass = 0; pass < passes; pass++) {
        __asm__ volatile("" ::: "memory"); /* each pass reads again */
        for (long i = 0; i + 4 <= quarter; i += 4)
            for (int s = 0; s < 4; s++)
                for (int k = 0; k < 4; k++) sum[4 * s + k] += from[s * quarter + i + k];
    }
    for (int k = 0; k < 16; k++) total += sum[k];
    return total[0] + total[1] + total[2] + total[3] + total[4] + total[5] + total[6] + total[7];
}
"""
_LANES = 128  # floats that the loop reads at once
_LINE = 64  # bytes of a line of the cache: numbers that lie across two take longer

Reader = Callable[[np.ndarray, int], object]  # an array to read, and how many times


def bytes_per_token(config: ModelConfig, kind: str) -> int:
    """The bytes of weights that one step of a GPT reads, `kind` of SIZES: every matrix and vector once.

    The output head counts once, tied or not; of the embeddings, a step reads a row each, which is not counted. Vectors
    are in float32, as is the scale that int8 has for each output.
    """
    c, i, layers = config.width, config.mlp_width, config.layers
    matrices = layers * (4 * c * c + 2 * c * i) + c * config.vocab_size
    outputs = layers * (5 * c + i)
    vectors = layers * 4 * c + 2 * c + outputs
    scales = outputs + config.vocab_size if kind == "int8" else 0
    return SIZES[kind] * matrices + 4 * (vectors + scales)


class StreamingRead:
    """Reads a buffer of `size` bytes with `threads` threads; `passes` times in one call."""

    def __init__(self, size: int, threads: int) -> None:
        memory = np.ones(size // 4 + _LINE // 4, np.float32)
        start = -memory.ctypes.data % _LINE // 4
        buffer = memory[start : start + size // 4]
        self._parts = [part[: part.size // _LANES * _LANES] for part in np.array_split(buffer, threads)]
        self.passes = -(-LEAST_READ // size)
        self._threads = ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        read = reader()
        list(self._threads.map(lambda part: read(part, self.passes), self._parts))


@cache
def reader() -> Reader:
    """The fastest that can be had here."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    with TemporaryDirectory() as folder:
        source, library = Path(folder) / "read.c", Path(folder) / "read.so"
        source.write_text(_SOURCE, "utf-8")
        for flags in (["-march=native"], []):
            command = [compiler or "cc", "-O3", "-funroll-loops", *flags, "-shared", "-fPIC", source, "-o", library]
            if compiler and subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return _in_c(ctypes.CDLL(str(library)))
    return read_in_numpy


def _in_c(library: ctypes.CDLL) -> Reader:
    stream_read = library.stream_read
    stream_read.restype, stream_read.argtypes = ctypes.c_float, (ctypes.c_void_p, ctypes.c_long, ctypes.c_long)
    return lambda part, passes: stream_read(part.ctypes.data, part.nbytes // 32, passes)


def read_in_numpy(part: np.ndarray, passes: int) -> None:
    for _ in range(passes):
        part.max(initial=0.0)
