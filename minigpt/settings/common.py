"""The settings that commands share: a text and a checkpoint, the device, and how weights are stored."""

from dataclasses import dataclass
from pathlib import Path

from minigpt.errors import named
from minigpt.settings.fields import Range, Settings, require, require_choice, setting

SEEDS = 1 << 32  # torch's CPU generator, by which training draws, reads 32 bits of a seed
SEED = Range(0, SEEDS - 1, both=True)
MANY = 1_000_000_000
HUGE = 1e15  # float32 ends at 3e38, and products need room

PRECISIONS = ("auto", "float32", "mixed", "bfloat16")  # of training
DTYPES, QUANTIZATIONS = ("float32", "bfloat16"), ("none", "int8")  # of weights that are sampled from
# The types of weights in an export; the first is the usual one.
FOLDER_DTYPES, GGUF_DTYPES = ("float32", "bfloat16", "float16"), ("float32", "float16", "q8_0")
PAGE_DTYPES = ("bfloat16", "float32", "int8")
DEVICES = ("auto", "cpu", "cuda", "mps")  # and cuda:1 and so on


@dataclass(frozen=True, kw_only=True)
class Beginning(Settings):
    """What the model reads before a text."""

    no_bos: bool = setting(False, help="Leave out the token that some tokenizers put before every text.")


@dataclass(frozen=True, kw_only=True)
class Reading(Beginning):
    """How a prompt is read."""

    special: bool = setting(
        False, help="Read the names of special tokens, such as <|endoftext|>, as these tokens, not as letters."
    )


@dataclass(frozen=True, kw_only=True)
class _FileAndCheckpoint(Settings):
    file: Path | None = setting(
        None, help="Take the text from this file (- for standard input), with the newline at its end."
    )
    checkpoint: Path | None = setting(
        None,
        help="A run of ./checkpoints by name, the folder of a run or of any Hugging Face GPT-2, a .gguf file of one, "
        "or a GPT-2 of the Hub such as openai-community/gpt2. By default the newest run.",
        short="-c",
        variable="MINIGPT_CHECKPOINT",
        completes="model",
    )


@dataclass(frozen=True, kw_only=True)
class FileAndModel(Reading, _FileAndCheckpoint):
    """A file with a text, the checkpoint that reads it, and how: these flags come last."""


@dataclass(frozen=True, kw_only=True)
class Source(FileAndModel):
    """A text to inspect (from the command line, a file or standard input), and a checkpoint."""

    text: str | None = setting(None, argument=True, help="The text to look at; - or nothing reads standard input.")


@dataclass(frozen=True, kw_only=True)
class Machine(Settings):
    """The machine on which a command computes."""

    device: str = setting(
        "auto",
        help="{values}; of several GPUs also cuda:1 and so on.",
        choices=DEVICES,
        open=True,
        variable="MINIGPT_DEVICE",
    )
    threads: int | None = setting(
        None,
        help="CPU threads. By default all cores.",
        range=Range(1, 1024, both=True),
        shows_range=True,
        variable="MINIGPT_THREADS",
    )


@dataclass(frozen=True, kw_only=True)
class Weights(Settings):
    """How the weights of a loaded model are stored."""

    dtype: str = setting(
        "float32",
        help="{values}.",
        choices=DTYPES,
        remarks={"bfloat16": "half the memory, and faster for large models"},
    )
    quantize: str = setting(
        "none",
        help="{values}.",
        choices=QUANTIZATIONS,
        remarks={"int8": "8-bit products on a CPU, fastest for large models, slightly less accurate"},
    )


def check_stored(dtype: str, quantize: str) -> None:
    """Raise ConfigError unless weights can be stored so: quantized, or in another `dtype`, or neither."""
    require_choice("dtype", dtype, DTYPES)
    require_choice("quantize", quantize, QUANTIZATIONS)
    int8, bfloat16 = named("quantize", "int8"), named("dtype", "bfloat16")
    both = (dtype, quantize) == ("bfloat16", "int8")
    require(not both, f"{int8} keeps in float32 what it does not quantize: leave out {bfloat16}.")
