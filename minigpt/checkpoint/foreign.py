"""A folder of weights in other forms than safetensors in; how to convert them, as the error that refuses them, out."""

from pathlib import Path
from shlex import quote

from minigpt.checkpoint.runs import WEIGHTS
from minigpt.checkpoint.tensors import INDEX
from minigpt.errors import CheckpointError

_TENSORFLOW = ("*.ckpt.index", "*.ckpt.meta", "*.ckpt.data-*", "hparams.json")
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def refuse_other_formats(folder: Path) -> None:
    """Raise CheckpointError for weights that only programs could read which may run what is in them, or that are old.

    Where there are safetensors too, these are loaded, and the others left alone.
    """
    if (folder / WEIGHTS).exists() or (folder / INDEX).exists():
        return
    if name := _first(folder, _TENSORFLOW):
        raise CheckpointError(
            f"{folder / name} is of a TensorFlow checkpoint, which is not read. OpenAI's own models are on the Hub:\n"
            f"-c openai-community/gpt2 (and gpt2-medium, gpt2-large, gpt2-xl). This converts another:\n"
            f"  pip install tensorflow 'transformers<5' && python -m transformers.models.gpt2."
            f"convert_gpt2_original_tf_checkpoint_to_pytorch --gpt2_checkpoint_path {quote(str(folder))} "
            f"--pytorch_dump_folder_path OUT && {_to_safetensors('OUT')}"
        )
    if name := _first(folder, _PICKLES):
        raise CheckpointError(
            f"{folder / name} is a pickle, which can run any program, and is not read. If you trust who made it, this "
            f"converts it, with transformers installed:\n  {_to_safetensors(str(folder))}"
        )


def _to_safetensors(folder: str) -> str:
    code = f"from transformers import GPT2LMHeadModel as M; M.from_pretrained({folder!r}).save_pretrained({folder!r})"
    return f"python -c {quote(code)}"


def _first(folder: Path, patterns: tuple[str, ...]) -> str:
    return next((path.name for pattern in patterns for path in sorted(folder.glob(pattern))), "")
