"""llama.cpp's side of scripts/bench decode --llama: it samples from our random weights, which it reads as a GGUF file.

Each step is llama_decode of one token and llama_sampler_sample with a chain of temperature 1 and its own draw, called
through llama-cpp-python's bare C functions: create_completion, in Python, would take several times as long at 4x128.
The cache is in float32, as ours is. All else is as the binding chooses: the weights mapped, and no flash attention.
"""

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.gguf import save_gguf
from minigpt.models.decoder import decoder_for
from minigpt.models.gpt import GPT
from minigpt.models.native import NativeGPT
from minigpt.text.tokenizer import Tokenizer

STORED = {"none": "float32", "int8": "q8_0"}  # ours -> the GGUF file's
NAMES = {"none": "llama.cpp", "int8": "llama.cpp q8_0"}
EXPECTED = {  # times llama.cpp's speed, on 2 CPU cores
    "none": {"4x128": 1.5, "6x384": 1.5, "12x768": 1.0},
    "int8": {"12x768": 1.0},
}
# Between the two models' logits. llama.cpp looks GELU up in a table of float16, and rounds activations with q8_0.
LARGEST_DIFFERENCE = {"none": 1e-2, "int8": 0.5}


def require_llama() -> None:
    for package in ("llama_cpp", "gguf"):
        if find_spec(package) is None:
            sys.exit("scripts/bench decode --llama compares with llama.cpp. Install it with: pip install -e '.[llama]'")


class LlamaCpp:
    """llama.cpp with the weights of a model of ours, as it is sampled from one text at a time."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, quantize: str, threads: int) -> None:
        import llama_cpp

        self._lib = llama_cpp
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            save_gguf(path, Checkpoint(path, model, tokenizer), STORED[quantize])
            self._llama = llama_cpp.Llama(
                str(path),
                n_ctx=model.config.context,
                n_threads=threads,
                n_threads_batch=threads,
                type_k=llama_cpp.GGML_TYPE_F32,  # else float16
                type_v=llama_cpp.GGML_TYPE_F32,
                verbose=False,
            )
        self._context, self._vocab_size = self._llama.ctx, model.config.vocab_size
        self._sampler = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        llama_cpp.llama_sampler_chain_add(self._sampler, llama_cpp.llama_sampler_init_temp(1.0))
        llama_cpp.llama_sampler_chain_add(self._sampler, llama_cpp.llama_sampler_init_dist(1))
        self._token = (llama_cpp.llama_token * 1)()
        self._batch = llama_cpp.llama_batch_get_one(self._token, 1)

    def sample(self, prompt: int, count: int) -> list[int]:
        """`count` ids drawn after the token `prompt`."""
        self._begin()
        ids = [prompt]
        for _ in range(count):
            self._decode(ids[-1])
            ids.append(self._lib.llama_sampler_sample(self._sampler, self._context, -1))
        return ids[1:]

    def logits(self, ids: list[int]) -> np.ndarray:
        """[T, V], each row the logits after a token, read one by one as in sampling."""
        self._begin()
        rows = []
        for token in ids:
            self._decode(token)
            row = self._lib.llama_get_logits_ith(self._context, -1)
            rows.append(np.ctypeslib.as_array(row, shape=(self._vocab_size,)).copy())
        return np.stack(rows)

    def _begin(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)

    def _decode(self, token: int) -> None:
        self._token[0] = token
        if self._lib.llama_decode(self._context, self._batch):
            sys.exit("llama.cpp could not decode a token.")


def llama_text(
    ours: GPT | NativeGPT, exported: GPT, tokenizer: Tokenizer, prompt: str, arguments: Namespace
) -> Callable[[], object]:
    """Sampling with llama.cpp from one token, after a check that both have the same logits; `exported` holds the
    weights of `ours` in float32.
    """
    theirs = LlamaCpp(exported, tokenizer, arguments.quantize, arguments.threads)
    check_same_logits(ours, theirs, LARGEST_DIFFERENCE[arguments.quantize])
    (token,) = tokenizer.encode(prompt)

    def sample() -> None:
        assert len(theirs.sample(token, arguments.tokens)) == arguments.tokens, "as many tokens as ours"

    return sample


def check_same_logits(ours: GPT | NativeGPT, theirs: LlamaCpp, largest: float) -> None:
    """Exit, with the difference, unless both give the same logits, step by step."""
    ids = np.random.default_rng(1).integers(ours.config.vocab_size, size=32).tolist()
    decoder = decoder_for(ours)
    rows = [decoder.prefill(ids[:1]), *(decoder.step([token]) for token in ids[1:])]
    expected = np.stack([row[0] for row in rows])
    difference = float(np.abs(theirs.logits(ids) - expected).max())
    if not difference < largest:
        sys.exit(f"llama.cpp and we differ by {difference:.2g} in our logits; a comparison of speed means nothing.")
    print(f"largest difference of logits: {difference:.2g}", file=sys.stderr)
